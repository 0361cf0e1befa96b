"""Makes seeds for the fuzzers of images of the files that `fetch.py` has put into FOLDER: `seeds.py FOLDER SEEDS`. A folder
for each fuzzer in SEEDS; the byte before a file or a profile says what is wanted of it."""

import hashlib
import sys
import warnings
from pathlib import Path

from PIL import Image

LEN_MAX = 16 << 10
PIXELS_MAX = 1 << 16
TARGETS = {"JPEG": "jpeg_files", "PNG": "png_files", "GIF": "gif_files", "WEBP": "webp_files", "AVIF": "avif_files"}
MAGICS = {b"\xff\xd8\xff": "JPEG", b"\x89PN": "PNG", b"GIF": "GIF", b"RIF": "WEBP"}
# Of each, what is wanted: `plugins/resize/src/fuzzing.rs` reads these.
WANTED = bytes([0x00, 0x18, 0x24, 0x41, 0x86, 0xC4])


def main(folder, seeds):
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = None

    def write(target, data):
        place = seeds / target
        place.mkdir(parents=True, exist_ok=True)
        (place / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)

    for path in sorted(folder.glob("*/*-*/**/*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        kind = MAGICS.get(data[:3]) or ("AVIF" if data[4:8] == b"ftyp" else None)
        if kind is None:
            continue
        is_small = True
        try:
            with Image.open(path) as image:
                is_small = image.width * image.height <= PIXELS_MAX
                if image.info.get("exif"):
                    write("image_tags", image.info["exif"][:4096])
                xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
                if xmp:
                    write("image_tags", (xmp.encode() if isinstance(xmp, str) else xmp)[:4096])
                icc = image.info.get("icc_profile", b"")
                if 0 < len(icc) <= LEN_MAX:
                    space = {b"GRAY": 0, b"RGB ": 2, b"CMYK": 5}.get(icc[16:20], 3)
                    write("image_profiles", bytes([space]) + icc)
        except Exception:  # noqa: BLE001 - what is broken is a seed, too
            pass
        if kind == "JPEG":
            write("image_tags", data[:4096])
        if kind == "AVIF":
            write("avif_boxes", data[:4096])
        if len(data) <= LEN_MAX and is_small:
            digest = hashlib.sha256(data).digest()[0]
            write(TARGETS[kind], bytes([WANTED[digest % len(WANTED)]]) + data)


main(Path(sys.argv[1]), Path(sys.argv[2]))
