"""Makes the files of this folder with Pillow (libavif, libjpeg-turbo, littleCMS), and prints what `colorimetry.rs` of
the tests expects of them: figures of littleCMS, and of the standards' formulas, never of the plugin.

    pip install pillow numpy pyexiv2 simplejpeg && python3 make.py
"""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

HERE = Path(__file__).parent
PATCHES = [(200, 80, 40), (60, 170, 90), (90, 60, 200), (128, 128, 128)]


def patches():
    """Four squares of 16 by 16."""
    picture = Image.new("RGB", (32, 32))
    for index, color in enumerate(PATCHES):
        at = (index % 2 * 16, index // 2 * 16)
        picture.paste(color, (*at, at[0] + 16, at[1] + 16))
    return picture


# ---- what colours mean: ITU-T H.273, ITU-R BT.2100 and BT.2408, IEC 61966-2-1

D65 = (0.3127, 0.3290)
PRIMARIES = {
    1: [(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)],
    9: [(0.708, 0.292), (0.170, 0.797), (0.131, 0.046)],
    12: [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)],
    "adobe": [(0.64, 0.33), (0.21, 0.71), (0.15, 0.06)],
}


def to_xyz(primaries):
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    white = np.array([D65[0] / D65[1], 1, (1 - D65[0] - D65[1]) / D65[1]])
    return columns * np.linalg.solve(columns, white)


def light_of(transfer, v):
    if transfer == 13:
        return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    if transfer in (1, 14):
        return np.where(v < 0.081, v / 4.5, ((v + 0.099) / 1.099) ** (1 / 0.45))
    if transfer == 16:
        m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
        p = v ** (1 / m2)
        return (np.maximum(p - c1, 0) / (c2 - c3 * p)) ** (1 / m1) * 10000 / 203
    if transfer == 18:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        return np.where(v <= 0.5, v * v / 3, (np.exp((v - c) / a) + b) / 12) ** 1.2 * 1000 / 203
    return v ** transfer[1]


def srgb(primaries, transfer, color):
    light = np.clip(light_of(transfer, np.array(color) / 255), 0, 1)
    light = np.linalg.inv(to_xyz(PRIMARIES[1])) @ to_xyz(PRIMARIES[primaries]) @ light
    light = np.clip(light, 0, 1)
    v = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return [int(round(x)) for x in v * 255]


def expect(name, primaries, transfer):
    print(name, [srgb(primaries, transfer, color) for color in PATCHES])


def avif(name, nclx):
    """Pillow writes sRGB; what the container says goes before what the stream says."""
    out = io.BytesIO()
    patches().save(out, "AVIF", quality=100, subsampling="4:4:4", range="full")
    data = out.getvalue()
    at = data.index(b"nclx") + 4
    primaries, transfer = nclx
    (HERE / name).write_bytes(data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4:])
    expect(name, primaries, transfer)


def avif_of_stream(name, primaries):
    """P3 in AV1's own sequence header, and a container that says nothing: its `colr` is renamed."""
    out = io.BytesIO()
    patches().save(out, "AVIF", quality=100, subsampling="4:4:4", range="full", codec="aom",
                   advanced={"color-primaries": "smpte432"})
    data = out.getvalue()
    (HERE / name).write_bytes(data.replace(b"colrnclx", b"freenclx"))
    expect(name, primaries, 13)


def png(name, chunks, late=()):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    picture = patches()
    rows = b"".join(b"\0" + picture.crop((0, y, 32, y + 1)).tobytes() for y in range(32))
    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0))]
    parts += [chunk(*part) for part in chunks] + [chunk(b"IDAT", zlib.compress(rows, 9))]
    parts += [chunk(*part) for part in late] + [chunk(b"IEND", b"")]
    (HERE / name).write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def chrm(primaries):
    points = [D65, *PRIMARIES[primaries]]
    return b"cHRM", b"".join(struct.pack(">II", round(x * 100000), round(y * 100000)) for x, y in points)


def colors():
    for name, nclx in [("p3.avif", (12, 13)), ("bt2020.avif", (9, 14)), ("pq.avif", (9, 16)), ("hlg.avif", (9, 18))]:
        avif(name, nclx)
    avif_of_stream("stream.avif", 12)
    png("cicp.png", [(b"cICP", bytes([12, 13, 0, 1])), (b"gAMA", struct.pack(">I", 100000))])
    expect("cicp.png", 12, 13)
    png("gamma.png", [(b"gAMA", struct.pack(">I", 100000))])
    expect("gamma.png", 1, ("power", 1.0))
    png("chrm.png", [(b"gAMA", struct.pack(">I", 45470)), chrm("adobe")])
    expect("chrm.png", "adobe", 13)
    # libjpeg itself writes an Adobe marker with inks; without it, they mean the same to every viewer.
    out = io.BytesIO()
    inks = patches().convert("CMYK")
    inks.save(out, "JPEG", quality=100, subsampling=0)
    data = out.getvalue()
    at = data.index(b"\xff\xee")
    data = data[:at] + data[at + 2 + int.from_bytes(data[at + 2:at + 4]):]
    (HERE / "inks.jpg").write_bytes(data)
    # Red beside black that is made of all four inks.
    edge = Image.new("CMYK", (64, 16), (0, 255, 255, 0))
    edge.paste((255, 255, 255, 255), (35, 0, 64, 16))
    edge.save(HERE / "edge.jpg", quality=100, subsampling=0)
    seen = Image.open(io.BytesIO(data)).convert("RGB")
    print("inks.jpg", [seen.getpixel(at) for at in [(8, 8), (24, 8), (8, 24), (24, 24)]])


# ---- how pictures are turned: Pillow says what is up

def turned():
    exif = struct.pack("<2sHIHHHII", b"II", 42, 8, 1, 0x0112, 3, 1, 6) + bytes(4)
    long = exif[:12] + struct.pack("<H", 4) + exif[14:]
    png("late.png", [], [(b"eXIf", exif)])
    out = io.BytesIO()
    patches().save(out, "JPEG", quality=100, subsampling=0)
    jpeg = out.getvalue()

    def segment(body):
        return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body

    xmp = (b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
           b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
           b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>')
    files = {
        # Behind the JFIF segment.
        "zeros.jpg": jpeg[:20] + b"\0\0\0\0" + segment(b"Exif\0\0" + exif) + jpeg[20:],
        "long.jpg": jpeg[:2] + segment(b"Exif\0\0" + long) + jpeg[2:],
        "xmp.jpg": jpeg[:2] + segment(xmp) + jpeg[2:],
    }
    for name, data in files.items():
        (HERE / name).write_bytes(data)
    for name in ["late.png", "long.jpg", "xmp.jpg"]:
        picture = Image.open(HERE / name)
        picture.load()
        print(name, "orientation", picture.getexif().get(0x0112))


# ---- a grid of two pictures that have their own transparency

def boxed(name, body):
    return struct.pack(">I", len(body) + 8) + name + body


def full(name, body, version=0):
    return boxed(name, bytes([version, 0, 0, 0]) + body)


def streams(color):
    """The AV1 streams of colours and alpha, as libavif wrote them, and their configurations."""
    out = io.BytesIO()
    Image.new("RGBA", (64, 64), color).save(out, "AVIF", quality=90, subsampling="4:4:4")
    data = out.getvalue()
    at = data.index(b"iloc") + 4
    assert data[at] == 0 and data[at + 4:at + 6] == b"\x44\x00", data[at:at + 8]
    count, at, found = struct.unpack(">H", data[at + 6:at + 8])[0], at + 8, []
    for _ in range(count):
        number, _, extents, offset, length = struct.unpack(">HHHII", data[at:at + 14])
        assert extents == 1
        found.append((number, data[offset:offset + length]))
        at += 14
    configs, at = [], 0
    while (at := data.find(b"av1C", at)) >= 0:
        configs.append(data[at - 4:at - 4 + int.from_bytes(data[at - 4:at])])
        at += 4
    found.sort()
    return found[0][1], found[1][1], configs


def grid():
    left = streams((200, 80, 40, 250))
    right = streams((60, 170, 90, 96))
    config, alpha_config = left[2]
    # 1: the grid; 2, 3: colours; 4, 5: their alpha.
    layout = bytes([0, 0, 0, 1]) + struct.pack(">HH", 128, 64)
    data = [layout, left[0], right[0], left[1], right[1]]
    properties = boxed(b"ipco", full(b"ispe", struct.pack(">II", 128, 64)) + full(b"ispe", struct.pack(">II", 64, 64))
                       + config + alpha_config + full(b"pixi", bytes([3, 8, 8, 8])) + full(b"pixi", bytes([1, 8]))
                       + full(b"auxC", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0")
                       + boxed(b"colr", b"nclx" + struct.pack(">HHHB", 1, 13, 6, 0x80)))
    uses = [(1, [1, 5, 8]), (2, [2, 0x83, 5, 8]), (3, [2, 0x83, 5, 8]), (4, [2, 0x84, 6, 7]), (5, [2, 0x84, 6, 7])]
    ipma = struct.pack(">I", 5) + b"".join(struct.pack(">HB", item, len(use)) + bytes(use) for item, use in uses)
    kinds = [b"grid", b"av01", b"av01", b"av01", b"av01"]
    infos = b"".join(boxed(b"infe", bytes([2, 0, 0, int(number > 0)]) + struct.pack(">HH", number + 1, 0) + kind + b"\0")
                     for number, kind in enumerate(kinds))
    refs = (boxed(b"dimg", struct.pack(">HHHH", 1, 2, 2, 3)) + boxed(b"auxl", struct.pack(">HHH", 4, 1, 2))
            + boxed(b"auxl", struct.pack(">HHH", 5, 1, 3)))
    ftyp = boxed(b"ftyp", b"avif\0\0\0\0avifmif1miaf")

    def meta(start):
        places, at = b"", start
        for number, part in enumerate(data):
            places += struct.pack(">HHHII", number + 1, 0, 1, at, len(part))
            at += len(part)
        return full(b"meta", full(b"hdlr", bytes(4) + b"pict" + bytes(13)) + full(b"pitm", struct.pack(">H", 1))
                    + full(b"iloc", b"\x44\0" + struct.pack(">H", 5) + places)
                    + full(b"iinf", struct.pack(">H", 5) + infos) + full(b"iref", refs)
                    + boxed(b"iprp", properties + full(b"ipma", ipma)))

    start = len(ftyp) + len(meta(0)) + 8
    (HERE / "grid_alpha.avif").write_bytes(ftyp + meta(start) + boxed(b"mdat", b"".join(data)))
    seen = Image.open(HERE / "grid_alpha.avif").convert("RGBA")
    print("grid_alpha.avif", seen.size, seen.getpixel((32, 32)), seen.getpixel((96, 32)))


# ---- who made it, whose it is, and where it was: libexiv2 writes it

def described():
    import pyexiv2

    out = io.BytesIO()
    patches().save(out, "JPEG", quality=90, dpi=(300, 150))
    small = io.BytesIO()
    patches().resize((8, 8)).save(small, "JPEG", comment="SECRET THUMBNAIL")
    path = HERE / "described.jpg"
    path.write_bytes(out.getvalue())
    image = pyexiv2.Image(str(path))
    image.modify_exif({
        "Exif.Image.Artist": "EXIF ARTIST", "Exif.Image.Copyright": "EXIF COPYRIGHT", "Exif.Image.Make": "EXIF MAKE",
        "Exif.Image.Orientation": "6", "Exif.Image.XResolution": "300/1", "Exif.Image.YResolution": "150/1",
        "Exif.Image.ResolutionUnit": "2", "Exif.Photo.PixelXDimension": "32", "Exif.Photo.PixelYDimension": "32",
        "Exif.Photo.DateTimeOriginal": "2024:01:02 03:04:05", "Exif.GPSInfo.GPSLatitudeRef": "N",
        "Exif.Photo.MakerNote": " ".join(str(byte) for byte in b"SECRET NOTE"),
        "Exif.GPSInfo.GPSLatitude": "52/1 30/1 4711/100", "Exif.GPSInfo.GPSAreaInformation": "SECRET AREA",
    })
    image.modify_thumbnail(small.getvalue())
    image.modify_iptc({
        "Iptc.Envelope.CharacterSet": "\x1b%G", "Iptc.Application2.Copyright": "IPTC COPYRIGHT",
        "Iptc.Application2.Byline": ["IPTC ARTIST"], "Iptc.Application2.Caption": "IPTC CAPTION",
        "Iptc.Application2.City": "SECRET CITY",
    })
    image.modify_raw_xmp("""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
  xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:drone="http://www.dji.com/drone-dji/1.0/"
  xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/" exif:GPSLatitude="SECRET LATITUDE" tiff:Orientation="6"
  drone:GpsLongtitude="SECRET LONGITUDE" photoshop:City="SECRET TOWN" photoshop:Credit="XMP CREDIT"
  xmpRights:WebStatement='https://example.org/"XMP"' tiff:ImageWidth="32"/>
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
  xmlns:ext="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
 <dc:rights><rdf:Alt><rdf:li xml:lang="x-default">XMP &amp; COPYRIGHT</rdf:li></rdf:Alt></dc:rights>
 <dc:creator><rdf:Seq><rdf:li>XMP ARTIST</rdf:li></rdf:Seq></dc:creator>
 <dc:title><rdf:Alt><rdf:li xml:lang="x-default">XMP TITLE</rdf:li></rdf:Alt></dc:title>
 <ext:LocationCreated><rdf:Bag><rdf:li rdf:parseType="Resource"><ext:City>SECRET VILLAGE</ext:City></rdf:li></rdf:Bag>
 </ext:LocationCreated>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>""")
    image.close()


# ---- what is passed over

def strayed():
    x, y = np.meshgrid(np.arange(96), np.arange(96))
    pixels = np.stack([x * 2, y * 2, (x * y) % 200], axis=2).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90, restart_marker_rows=1)
    data = out.getvalue()
    at = data.index(b"\xff\xd3")
    data = data[:at] + b"\x11\x22" + data[at:]
    (HERE / "strayed.jpg").write_bytes(data)
    seen = np.asarray(Image.open(io.BytesIO(data))).astype(int)
    print("strayed.jpg", np.abs(seen - pixels).mean())


# ---- chroma of a quarter of the width: libjpeg-turbo by simplejpeg

def waves():
    import simplejpeg

    x, y = np.meshgrid(np.arange(320), np.arange(240))
    pixels = np.stack([128 + 100 * np.sin(x / 9), 128 + 100 * np.sin(y / 11), 128 + 100 * np.sin((x + y) / 13)], axis=2)
    pixels = pixels.round().astype(np.uint8)
    for name, sampling in [("quarter.jpg", "411"), ("tall.jpg", "440")]:
        data = simplejpeg.encode_jpeg(pixels, quality=95, colorspace="RGB", colorsubsampling=sampling)
        (HERE / name).write_bytes(data)


# ---- times

def times():
    def webp(name, durations):
        frames = [Image.new("RGB", (16, 16), (index * 8, 255 - index * 8, 90)) for index in range(len(durations))]
        frames[0].save(HERE / name, "WEBP", save_all=True, append_images=frames[1:], duration=durations, lossless=True,
                       minimize_size=False, kmin=1, kmax=1)

    webp("times.webp", [33, 16, 5, 0])
    webp("thirds.webp", [33, 33, 34] * 10)


if __name__ == "__main__":
    strayed()
    times()
    colors()
    turned()
    grid()
    described()
    waves()
