"""Puts sample images into the folder that is named: `photo.jpg` (4000 x 3000, like a photograph), `logo.png`
(800 x 400, with transparency), `clip.gif` (3 frames of 200 x 100)."""

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter


def photo(width, height):
    """Sky, ground, and detail at several scales."""
    sky = Image.linear_gradient("L").resize((width, height))
    layers = []
    for channel in range(3):
        layer = sky.point(lambda value, channel=channel: 60 + value * (3 - channel) // 4)
        for scale, strength in ((64, 60), (16, 40), (4, 25)):
            noise = Image.effect_noise((width // scale + 1, height // scale + 1), strength)
            noise = noise.resize((width, height), Image.Resampling.BICUBIC)
            layer = Image.blend(layer, noise, 0.25)
        layers.append(layer)
    image = Image.merge("RGB", layers)
    draw = ImageDraw.Draw(image)
    for index in range(40):
        x, y = index * 997 % width, index * 613 % height
        color = (index * 53 % 256, index * 97 % 256, index * 31 % 256)
        draw.ellipse((x, y, x + 90 + index * 5, y + 60 + index * 7), fill=color)
    return image.filter(ImageFilter.GaussianBlur(1))


def logo():
    image = Image.new("RGBA", (800, 400), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((40, 40, 760, 360), 80, fill=(30, 90, 200, 255))
    draw.ellipse((300, 100, 500, 300), fill=(255, 255, 255, 128))
    return image


def clip():
    frames = []
    for index in range(3):
        frame = Image.new("RGB", (200, 100), (20, 20, 60))
        ImageDraw.Draw(frame).rectangle((index * 60, 20, index * 60 + 50, 80), fill=(250, 200, 40))
        frames.append(frame)
    return frames


folder = Path(sys.argv[1])
photo(4000, 3000).save(folder / "photo.jpg", quality=90)
logo().save(folder / "logo.png")
first, *others = clip()
first.save(folder / "clip.gif", save_all=True, append_images=others, duration=100, loop=0)
