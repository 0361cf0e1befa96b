"""Two readers of images that share no code with the plugin but the libraries in C below: Pillow, and libvips. Each gives
an image upright, in sRGB, as rows of RGBA."""

import io
import warnings
from dataclasses import dataclass, field

import numpy as np
import pyvips
from PIL import Image, ImageCms, ImageOps

Image.MAX_IMAGE_PIXELS = None
warnings.simplefilter("ignore")
SRGB = ImageCms.createProfile("sRGB")
# White, red, green and blue, as PNG has them.
SRGB_PLACES = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
FRAMES_MAX = 40
PIXELS_MAX = 100_000_000


@dataclass
class Seen:
    """What a reader makes of a file."""

    size: tuple
    pixels: np.ndarray
    orientation: int = 1
    frames: int = 1
    # JPEG, as it comes when the decoder is asked for a part of its size, and how much of that is the image.
    reduced: np.ndarray = None
    box: tuple = None


@dataclass
class Frames:
    """An animation: when each frame ends, in milliseconds, and what it shows."""

    ends: list = field(default_factory=list)
    shown: list = field(default_factory=list)


def pillow(path, made=None):
    """`made`: how large the plugin's picture is. JPEG is read at a half, a quarter or an eighth of its size as well where
    that isn't smaller, as the plugin has it."""
    with Image.open(path) as image:
        if image.width * image.height > PIXELS_MAX:
            raise ValueError("too many pixels")
        kind = image.format
        frames = getattr(image, "n_frames", 1) if kind in ("GIF", "WEBP") else 1
        orientation = orientation_of(image)
        image.load()
        upright = ImageOps.exif_transpose(image)
        seen = Seen(upright.size, rgba(upright, image.info, kind), orientation, frames)
    if kind == "JPEG" and made and orientation == 1:
        with Image.open(path) as image:
            width, height = image.size
            image.draft(None, made)
            image.load()
            share = round(max(width / image.width, height / image.height))
            seen.box = (0, 0, min(width / share, image.width), min(height / share, image.height))
            seen.reduced = rgba(image, image.info, kind)
    return seen


def frames(path):
    with Image.open(path) as image:
        seen, end = Frames(), 0
        for number in range(min(image.n_frames, FRAMES_MAX)):
            image.seek(number)
            image.load()
            duration = image.info.get("duration", 0)
            # As browsers have it, and docs/RESIZE.md.
            end += 100 if image.format == "GIF" and duration < 20 else duration
            seen.ends.append(end)
            seen.shown.append(np.asarray(image.convert("RGBA")))
        return seen


def orientation_of(image):
    value = image.getexif().get(0x112, 1)
    return value if value in range(1, 9) else 1


def rgba(image, info, kind):
    """Pixels in sRGB."""
    alpha = None
    if image.mode == "P" or "transparency" in info and image.mode in ("1", "L", "RGB", "I", "I;16"):
        deep = image.mode in ("I", "I;16")
        if deep:
            key = info["transparency"]
            samples = np.asarray(image).astype(np.int64)
            alpha = Image.fromarray(np.where(samples == key, 0, 255).astype(np.uint8))
        else:
            image = image.convert("RGBA" if "transparency" in info or image.mode == "P" else "RGB")
    if image.mode in ("I", "I;16", "I;16B"):
        deep = np.asarray(image).astype(np.float64) / 65535
        curve = gamma_of(info, kind)
        image = as_bytes(to_srgb(deep[..., None], curve) if curve and "icc_profile" not in info else deep)
        info = {key: value for key, value in info.items() if key not in ("gamma", "chromaticity")}
    if image.mode == "1":
        image = image.convert("L")
    if image.mode in ("RGBA", "LA", "PA"):
        image = image.convert("RGBA") if image.mode == "PA" else image
        alpha = image.getchannel("A")
        image = image.convert("RGB" if image.mode == "RGBA" else "L")
    image = converted(image, info, kind)
    out = image.convert("RGB").convert("RGBA")
    if alpha is not None:
        out.putalpha(alpha)
    return np.asarray(out)


def converted(image, info, kind):
    icc = info.get("icc_profile")
    if icc:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            space = profile.profile.xcolor_space.strip()
            wanted = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}.get(image.mode)
            if space == wanted:
                mode = "RGB"
                return ImageCms.profileToProfile(image, profile, SRGB, outputMode=mode, renderingIntent=0)
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
        return image
    curve, places = gamma_of(info, kind), places_of(info, kind)
    if image.mode not in ("L", "RGB") or not curve and not (places and image.mode == "RGB"):
        return image
    samples = np.asarray(image).astype(np.float64) / 255
    return as_bytes(to_srgb(samples, curve, places if image.mode == "RGB" else None))


def gamma_of(info, kind):
    """The exponent that makes light of a PNG file's samples, where it isn't about that of sRGB."""
    gamma = info.get("gamma", 0) if kind == "PNG" and "srgb" not in info else 0
    return 1 / gamma if 0.05 <= gamma <= 10 and abs(gamma * 2.2 - 1) > 0.05 else None


def places_of(info, kind):
    """Where a PNG file's white, red, green and blue lie, where that isn't where sRGB has them."""
    found = info.get("chromaticity") if kind == "PNG" and "srgb" not in info else None
    if not found or np.allclose(found, SRGB_PLACES, atol=1e-3) or 0 in found[1::2]:
        return None
    return found


def to_xyz(places):
    """The matrix from light of these primaries to CIE XYZ under D50, adapted by Bradford's method."""
    white, *primaries = [np.array([x / y, 1, (1 - x - y) / y]) for x, y in zip(places[::2], places[1::2])]
    matrix = np.array(primaries).T
    matrix = matrix * np.linalg.solve(matrix, white)
    cones = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    d50 = np.array([0.9642, 1.0, 0.8249])
    return np.linalg.inv(cones) @ np.diag((cones @ d50) / (cones @ white)) @ cones @ matrix


def to_srgb(samples, exponent, places=None):
    """Samples from 0 to 1 in sRGB. Without an exponent they have sRGB's curve."""
    light = samples**exponent if exponent else np.where(samples <= 0.04045, samples / 12.92, ((samples + 0.055) / 1.055) ** 2.4)
    if places:
        light = light @ (np.linalg.inv(to_xyz(SRGB_PLACES)) @ to_xyz(places)).T
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def as_bytes(samples):
    pixels = np.round(samples * 255).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)


def vips(path):
    """Refuses what is damaged, unlike Pillow."""
    image = pyvips.Image.new_from_file(str(path), fail_on="warning")
    if image.width * image.height > PIXELS_MAX:
        raise ValueError("too many pixels")
    frames = image.get("n-pages") if image.get_typeof("n-pages") else 1
    orientation = image.get("orientation") if image.get_typeof("orientation") else 1
    image = image.autorot()
    if image.get_typeof("icc-profile-data"):
        try:
            image = image.icc_transform("srgb", embedded=True, intent="perceptual")
            image.avg()
        except pyvips.Error:
            image = pyvips.Image.new_from_file(str(path), fail_on="warning").autorot()
    image = image.colourspace("srgb")
    if image.format != "uchar":
        image = image.cast("uchar")
    if image.bands == 3:
        image = image.bandjoin(255)
    return Seen((image.width, image.height), image.numpy(), orientation, frames)


def shrunk(pixels, size, box=None):
    """Scaled by Pillow, as premultiplied RGBA in floating point, 0 to 255."""
    image = Image.fromarray(np.ascontiguousarray(pixels[..., :4]), "RGBA").convert("RGBa")
    if image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS, box)
    return np.asarray(image).astype(np.float64)


def premultiplied(image):
    """The same of what the plugin has made."""
    if image.mode in ("I", "I;16"):
        image = narrowed(image)
    return np.asarray(image.convert("RGBA").convert("RGBa")).astype(np.float64)


def narrowed(image):
    """16 bits of grey as 8."""
    return Image.fromarray(np.round(np.asarray(image).astype(np.float64) / 257).astype(np.uint8))
