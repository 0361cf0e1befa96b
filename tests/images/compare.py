"""Runs every file of a folder that `fetch.py` has filled through the plugin, and compares what comes out with what Pillow
makes of it, and where that is something else, or nothing, with libvips: `compare.py FOLDER HOST LIBRARY`.

Prints the table of docs/RESIZE.md, and what no line of `known.txt` explains; fails where there is such a thing."""

import base64
import fnmatch
import io
import json
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import readers
from PIL import Image

# The longest side of what is made of each file, in pixels.
SIDE = 64
# The most that two readers may be apart, of 255. Where light and dark are side by side, it matters in which order a scaler
# goes along rows and columns, and how colours of half the size are spread; on average over squares of a few pixels, it
# doesn't: each bound is one of the mean, and one of what is furthest apart.
SQUARE = 4
SQUARES_MAX = (2.0, 20.0)
PIXELS_MAX = (8.0, 128.0)
TIMEOUT_S = 120
KINDS = ["same", "same as libvips", "differ", "both refuse", "only we refuse", "only they refuse"]
# Of this program, in bytes.
MEMORY_MAX = 6 << 30


class Plugin:
    """The plugin in a host of its own."""

    def __init__(self, host, library, sources):
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        plugins = folder / "plugins"
        plugins.mkdir()
        shutil.copy(library, plugins)
        config = folder / "host.toml"
        config.write_text(f"[plugins.resize.config]\nfolders = {{ read = [{json.dumps(str(sources))}] }}\n")
        command = [host, "--plugins", plugins, "--listen", "127.0.0.1:0", "--config", config, "--log", "error"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        said = self.process.stdout.readline()
        address, port = said.strip().removeprefix("listening on ").rsplit(":", 1)
        self.connection = socket.create_connection((address, int(port)), timeout=TIMEOUT_S)
        self.lines = self.connection.makefile("rw", encoding="utf-8", newline="\n")

    def call(self, function, **args):
        self.lines.write(json.dumps({"function": function, "args": args}) + "\n")
        self.lines.flush()
        reply = json.loads(self.lines.readline())
        if reply["ok"]:
            return reply["result"], None
        error = reply["error"]
        kind = error.get("data", {}).get("kind") or error.get("code") or error.get("kind")
        return None, f"{kind}: {error['message']}"

    def close(self):
        self.connection.close()
        self.process.terminate()
        self.process.wait(30)


def tried(read, *args):
    """What a reader sees, and why it refuses."""
    try:
        return read(*args), None
    except Exception as error:  # noqa: BLE001 - readers raise whatever they like
        return None, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def upright(found):
    size = (found["width"], found["height"])
    return size[::-1] if found["orientation"] >= 5 else size


def apart(ours, theirs):
    """How far: the mean and the most, of squares and of pixels."""
    difference = ours - theirs
    rows = np.add.reduceat(difference, range(0, difference.shape[0], SQUARE), axis=0)
    squares = np.add.reduceat(rows, range(0, difference.shape[1], SQUARE), axis=1)
    ones = np.ones(difference.shape[:2])
    count = np.add.reduceat(ones, range(0, ones.shape[0], SQUARE), axis=0)
    count = np.add.reduceat(count, range(0, ones.shape[1], SQUARE), axis=1)
    squares = np.abs(squares / count[..., None])
    difference = np.abs(difference)
    return squares.mean(), squares.max(), difference.mean(), difference.max()


def is_apart(found):
    return any(value > most for value, most in zip(found, SQUARES_MAX + PIXELS_MAX))


def told(found):
    return "apart by {:.1f}, {:.0f} at most, in squares by {:.1f}, {:.0f} at most".format(*found[2:], *found[:2])


def faults(header, picture, seen):
    """In what the plugin and a reader differ."""
    said = []
    if upright(header) != seen.size:
        return [f"size {upright(header)} for {seen.size}"]
    if header["format"] != "avif" and header["orientation"] != seen.orientation:
        said.append(f"orientation {header['orientation']} for {seen.orientation}")
    if header["format"] in ("gif", "webp") and header["pages"] != seen.frames:
        said.append(f"frames {header['pages']} for {seen.frames}")
    ways = [readers.shrunk(seen.pixels, picture.size)]
    if seen.reduced is not None:
        ways.append(readers.shrunk(seen.reduced, picture.size, seen.box))
    found = min(apart(readers.premultiplied(picture), way) for way in ways)
    if is_apart(found):
        said.append(f"pixels {told(found)}")
    return said


def faults_of_frames(data, seen):
    """In what an animation differs: what is shown in the middle of each frame's time."""
    with Image.open(io.BytesIO(data)) as image:
        ends, shown, end = [], [], 0
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            end += image.info.get("duration", 0)
            ends.append(end)
            shown.append(readers.premultiplied(image))
            if end > seen.ends[-1]:
                break
        size = image.size
    begin = 0
    for number, (end, theirs) in enumerate(zip(seen.ends, seen.shown)):
        middle, begin = (begin + end) / 2, end
        if begin == middle:
            continue
        at = next((index for index, end in enumerate(ends) if middle < end), len(ends) - 1)
        found = apart(shown[at], readers.shrunk(theirs, size))
        if is_apart(found):
            return [f"frame {number} {told(found)}"]
    return []


def judged(plugin, folder, path):
    """What becomes of a file, and why."""
    source = str(path.relative_to(folder))
    found, refusal = plugin.call("identify", source=source)
    made = None
    if found:
        made, refusal = plugin.call(
            "resize", source=source, width=SIDE, height=SIDE, fit="inside", enlarge=False, format="png"
        )
    picture = Image.open(io.BytesIO(base64.b64decode(made["base64"]))) if made else None
    seen, their_refusal = tried(readers.pillow, path, picture and picture.size)
    if made is None:
        if refusal.startswith("file_too_large") or refusal.startswith("handler"):
            return "differ", refusal
        if seen is None:
            return "both refuse", refusal
        _, second = tried(readers.vips, path)
        return "only we refuse", refusal + ("; libvips refuses it, too" if second else "")
    said = faults(found, picture, seen) if seen else ["Pillow refuses it: " + their_refusal]
    if not said and seen.frames > 1:
        animated, refusal = plugin.call(
            "resize", source=source, width=SIDE, height=SIDE, fit="inside", enlarge=False, format="webp",
            quality=101, animated=True,
        )  # fmt: skip
        if animated is None:
            return "only we refuse", refusal
        frames, _ = tried(readers.frames, path)
        said = faults_of_frames(base64.b64decode(animated["base64"]), frames) if frames else []
    if not said:
        return "same", ""
    second, second_refusal = tried(readers.vips, path)
    if second is not None and not faults(found, picture, second) and not said[0].startswith("frame "):
        return "same as libvips", "; ".join(said)
    if seen is None:
        if second is None:
            return "only they refuse", their_refusal
        return "differ", f"{'; '.join(said)}; libvips: {'; '.join(faults(found, picture, second))}"
    theirs = second_refusal or "; ".join(faults(found, picture, second)) or "the same as ours"
    return "differ", f"{'; '.join(said)}; libvips: {theirs}"


def known():
    """Patterns of paths, what is said of them, and why it is so."""
    lines = Path(__file__).with_name("known.txt").read_text().splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]


def all_judged(folder, host, library):
    """Package, verdict, path and reason of each file."""
    plugin = Plugin(host, library, folder)
    # Some files are bombs, which neither reader has a fuse for.
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    for package in sorted(path for path in folder.glob("*/*-*") if path.parent.name in ("debian", "npm", "pypi")):
        for path in sorted(path for path in package.rglob("*") if path.is_file()):
            kind, why = judged(plugin, folder, path)
            case = package.relative_to(folder), kind, str(path.relative_to(folder)), why
            print(*case[1:], sep="\t", file=sys.stderr, flush=True)
            yield case
    plugin.close()


def told_of(cases):
    """Prints the table, and tells whether there is something in it that nothing explains."""
    explained = known()
    packages, reasons, unexplained = defaultdict(Counter), defaultdict(Counter), []
    for package, kind, path, why in cases:
        packages[package][kind] += 1
        if kind in ("same", "both refuse"):
            continue
        said = f"{kind}: {why}"
        fitting = (line for line in explained if fnmatch.fnmatch(path, line[0]) and re.search(line[1], said))
        line = next(fitting, None)
        if line:
            reasons[kind][line[2]] += 1
        else:
            unexplained.append(f"{kind}: {path}: {why}")
    print("| registry | package | version | files | " + " | ".join(KINDS) + " |")
    print("|---|---|---|" + "--:|" * (len(KINDS) + 1))
    total = Counter()
    for package, counts in packages.items():
        # A version begins with its first digit behind a hyphen.
        name, version = re.match(r"(.+?)-((?:\d+:)?\d.*)$", package.name).groups()
        print(row(package.parent.name, name, version, counts))
        total += counts
    print(row("", "all", "", total))
    for kind in KINDS:
        for reason, count in reasons[kind].most_common():
            print(f"- {kind}, {count}: {reason}")
    for case in unexplained:
        print(f"not explained: {case}")
    return bool(unexplained)


def row(registry, name, version, counts):
    cells = [registry, name, version, counts.total(), *(counts[kind] for kind in KINDS)]
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    sys.exit(told_of(all_judged(Path(sys.argv[1]).absolute(), sys.argv[2], sys.argv[3])))
