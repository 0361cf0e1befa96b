"""Runs both sides turn by turn, and writes the tables for docs/BENCH.md."""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROWS = [
    # Name, what it is, the reference: source, width, height; endings of the results.
    ("jpeg-24mp", "JPEG 6000 × 4000 → JPEG 800, q80", ("photo24.png", 800, 533), ".jpg"),
    ("png-12mp", "PNG 4000 × 3000 → PNG 400", ("photo12.png", 400, 300), ".png"),
    ("jpeg-webp", "JPEG 6000 × 4000 → WebP 800, q80", ("photo24.png", 800, 533), ".webp"),
    ("avif", "PNG 800 × 533 → AVIF", ("photo800.png", 800, 533), ".avif"),
    ("thumbnails", "JPEG 6000 × 4000 → 5 JPEGs, 1600 to 100", ("photo24.png", 800, 533), "-800.jpg"),
    ("jpeg-1mp", "JPEG 1200 × 840 → JPEG 200, q80", ("photo1.png", 200, 140), ".jpg"),
]


def run(command):
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout) if done.stdout.strip() else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--measure", required=True)
    parser.add_argument("--pictures", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rows", default=",".join(row[0] for row in ROWS))
    options = parser.parse_args()
    pictures = Path(options.pictures)
    has_sharp = bool(os.environ.get("NODE_PATH")) and shutil.which("node")
    wanted = options.rows.split(",")
    speed, likeness = [], []
    for row, title, reference, ending in ROWS:
        if row not in wanted:
            continue
        for threads in (1, 2):
            # The testing kit runs each task on a thread of its own; a worker has the same one for all, and its memory.
            ours = ["env", f"MALLOC_ARENA_MAX={threads}", options.measure]
            sides = {"resize": ours + ["run", str(pictures), row, str(options.seconds), str(threads)]}
            if has_sharp:
                script = ["node", str(HERE / "sharp.js"), str(pictures), row, str(options.seconds), str(threads)]
                # With two tasks at once, libvips may have one thread for each, or two: the better one counts.
                sides["sharp"] = script + ["1"]
                if threads == 2:
                    sides["sharp, 2 threads each"] = script + ["2"]
            results = {side: [] for side in sides}
            for number in range(options.rounds):
                print(f"bench: {row}, {threads} at once, round {number + 1}", file=sys.stderr)
                for side, command in sides.items():
                    results[side].append(run(command))
            median = {
                side: {key: statistics.median(result[key] for result in rounds) for key in rounds[0]}
                for side, rounds in results.items()
            }
            ours = median.pop("resize")
            theirs = max(median.values(), key=lambda side: side["per_second"], default=None)
            speed.append((title, threads, ours, theirs))
        likeness.append((title, *compare(options.measure, pictures, row, reference, ending, has_sharp)))
    write(speed, likeness)


def compare(measure, pictures, row, reference, ending, has_sharp):
    source, width, height = reference
    expected = pictures / f"reference-{row}.png"
    subprocess.run([measure, "reference", str(pictures / source), str(width), str(height), str(expected)], check=True)
    sides = []
    for side, file in (("resize", f"made-{row}-0{ending}"), ("sharp", f"sharp-{row}-0{ending}")):
        if side == "sharp" and not has_sharp:
            sides.append(None)
            continue
        file = pictures / file
        decoded = pictures / f"decoded-{side}-{row}.png"
        subprocess.run([measure, "decode", str(file), str(decoded)], check=True)
        result = run([measure, "compare", str(expected), str(decoded)])
        result["bytes"] = file.stat().st_size
        sides.append(result)
    return sides


def write(speed, likeness):
    print("| | at once | images/s | sharp | × sharp | median ms | sharp | CPU ms | sharp | × sharp by CPU | peak MB | sharp | × sharp |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
    for title, threads, ours, theirs in speed:
        line = [title, str(threads), f"{ours['per_second']:.1f}"]
        if theirs is None:
            line += ["", "", f"{ours['median_ms']:.1f}", "", f"{ours['cpu_ms']:.1f}", "", "", f"{ours['peak_mb']:.0f}", "", ""]
        else:
            line += [
                f"{theirs['per_second']:.1f}",
                f"**{ours['per_second'] / theirs['per_second']:.2f}**",
                f"{ours['median_ms']:.1f}",
                f"{theirs['median_ms']:.1f}",
                f"{ours['cpu_ms']:.1f}",
                f"{theirs['cpu_ms']:.1f}",
                f"**{theirs['cpu_ms'] / ours['cpu_ms']:.2f}**",
                f"{ours['peak_mb']:.0f}",
                f"{theirs['peak_mb']:.0f}",
                f"**{ours['peak_mb'] / theirs['peak_mb']:.2f}**",
            ]
        print("| " + " | ".join(line) + " |")
    print()
    print("| | SSIM | sharp | SSIM of RGB | sharp | PSNR | sharp | bytes | sharp |")
    print("|---|---|---|---|---|---|---|---|---|")
    for title, ours, theirs in likeness:
        line = [title]
        for key, form in (("ssim", ".4f"), ("ssim_rgb", ".4f"), ("psnr", ".2f"), ("bytes", ",")):
            line += [format(ours[key], form), format(theirs[key], form) if theirs else ""]
        print("| " + " | ".join(line) + " |")


main()
