// A row's work by sharp, again and again; the same JSON as `measure run` prints.
//
// sharp.js FOLDER ROW SECONDS THREADS CONCURRENCY
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const sharp = require('sharp');

const [folder, row, seconds, threads, concurrency] = process.argv.slice(2);
sharp.concurrency(Number(concurrency));
// A cache of results would measure nothing.
sharp.cache(false);

const source = (name) => sharp(path.join(folder, name));
const target = (number, name) => path.join(folder, `sharp-${row}-${number}${name}`);

const rows = {
  'jpeg-24mp': (n) => source('photo24.jpg').resize({ width: 800 }).jpeg({ quality: 80 }).toFile(target(n, '.jpg')),
  'png-12mp': (n) => source('photo12.png').resize({ width: 400 }).png().toFile(target(n, '.png')),
  'jpeg-webp': (n) => source('photo24.jpg').resize({ width: 800 }).webp({ quality: 80 }).toFile(target(n, '.webp')),
  avif: (n) => source('photo800.png').resize({ width: 800 }).avif({ quality: 50 }).toFile(target(n, '.avif')),
  'avif-420': (n) =>
    source('photo800.png').resize({ width: 800 }).avif({ quality: 50, chromaSubsampling: '4:2:0' }).toFile(target(n, '.avif')),
  'jpeg-1mp': (n) => source('photo1.jpg').resize({ width: 200 }).jpeg({ quality: 80 }).toFile(target(n, '.jpg')),
  thumbnails: (n) =>
    Promise.all(
      [1600, 800, 400, 200, 100].map((width) =>
        source('photo24.jpg').resize({ width }).jpeg({ quality: 80 }).toFile(target(n, `-${width}.jpg`)),
      ),
    ),
};

async function main() {
  const work = rows[row];
  await work(0);
  const start = process.hrtime.bigint();
  const elapsed = () => Number(process.hrtime.bigint() - start) / 1e9;
  const processor = process.cpuUsage();
  const times = [];
  const loop = async (number) => {
    while (elapsed() < Number(seconds)) {
      const before = elapsed();
      await work(number);
      times.push((elapsed() - before) * 1000);
    }
  };
  await Promise.all(Array.from({ length: Number(threads) }, (_, number) => loop(number)));
  const wall = elapsed();
  const used = process.cpuUsage(processor);
  times.sort((a, b) => a - b);
  const peak = /VmHWM:\s+(\d+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'));
  console.log(
    JSON.stringify({
      per_second: times.length / wall,
      median_ms: times[Math.floor(times.length / 2)],
      cpu_ms: (used.user + used.system) / 1000 / times.length,
      peak_mb: Number(peak[1]) / 1024,
    }),
  );
}

main();
