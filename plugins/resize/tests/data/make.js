// Makes the files of this folder with sharp: what the plugin itself can't write.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const sharp = require('sharp');

const file = (name) => path.join(__dirname, name);
const size = 64;
const pixels = Buffer.alloc(size * size * 3);
for (let y = 0; y < size; y++)
  for (let x = 0; x < size; x++) {
    const at = (y * size + x) * 3;
    pixels[at] = x * 4;
    pixels[at + 1] = y * 4;
    pixels[at + 2] = 128 + Math.round(90 * Math.sin(x / 5) * Math.cos(y / 7));
  }
const picture = () => sharp(pixels, { raw: { width: size, height: size, channels: 3 } });
// Quarters of cyan, magenta, yellow and black ink, without a profile.
const inks = Buffer.alloc(size * size * 3);
for (let y = 0; y < size; y++)
  for (let x = 0; x < size; x++) {
    const color = [[0, 255, 255], [255, 0, 255], [255, 255, 0], [0, 0, 0]][(y < 32 ? 0 : 2) + (x < 32 ? 0 : 1)];
    inks.set(color, (y * size + x) * 3);
  }

async function main() {
  await picture().png({ progressive: true }).toFile(file('interlaced.png'));
  await picture().png().toFile(file('plain.png'));
  await picture().jpeg({ quality: 95, progressive: true }).toFile(file('progressive.jpg'));
  await picture().jpeg({ quality: 95 }).toFile(file('baseline.jpg'));
  const rgb = sharp(inks, { raw: { width: size, height: size, channels: 3 } });
  await rgb.toColourspace('cmyk').jpeg({ quality: 95, chromaSubsampling: '4:4:4' }).toFile(file('cmyk.jpg'));
  await picture().avif({ quality: 80 }).toFile(file('sharp.avif'));
  await picture().avif({ quality: 80, bitdepth: 10 }).toFile(file('sharp10.avif')).catch((e) => console.log(e.message));
  for (const name of fs.readdirSync(__dirname)) console.log(name, fs.statSync(file(name)).size);
}

main();
