"""Runs the report plugin through a host beside its peers, round after round, and prints the medians as Markdown."""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
MB = 1 << 20


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def write_once(path, lines):
    """Made once; a file that is there was made whole."""
    if not path.exists():
        say(f"making {path}")
        partial = path.with_suffix(".part")
        with open(partial, "w", encoding="utf-8") as file:
            file.writelines(lines)
        partial.rename(path)
    return path


def group_lines(rows):
    source = random.Random(1)
    stores = [f"store-{number:03}" for number in range(400)]
    yield "day,store,quantity,amount\n"
    for _ in range(rows // 1000):
        yield "".join(
            f"2026-{source.randint(1, 12):02}-{source.randint(1, 28):02},{source.choice(stores)},{source.randint(1, 99)},{source.randint(100, 99999) / 100}\n"
            for _ in range(1000)
        )


def wide_lines(rows):
    source = random.Random(2)
    yield "name,city,note,a,b,c,d,e,f,g\n"
    for number in range(rows):
        numbers = ",".join(f"{source.randint(0, 10 ** 6) / 100}" for _ in range(7))
        yield f"customer {number},city {number % 97},text number {number % 1009},{numbers}\n"


def narrow_lines(rows):
    source = random.Random(3)
    yield "name,city,note,quantity,price,total\n"
    for number in range(rows):
        quantity, price = source.randint(1, 9), source.randint(100, 9999) / 100
        yield f"Customer {number},City {number % 97},order {number % 1009},{quantity},{price},{quantity * price:.2f}\n"


class Host:
    """A host with one worker at a time, so that it is known whose memory it is."""

    def __init__(self, built, folder):
        self.binary = built / "host"
        plugins = Path(folder, "plugins")
        plugins.mkdir()
        shutil.copy(built / "libreport.so", plugins)
        config = Path(folder, "host.toml")
        config.write_text(f'[plugins.report]\nworkers = 1\n[plugins.report.config]\nfolders = {{ read = ["{folder}", "{DATA}"], write = ["{folder}"] }}\n')
        command = [self.binary, "--plugins", plugins, "--config", config, "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.address = self.process.stdout.readline().split()[-1]

    def call(self, args):
        command = [self.binary, "call", "--connect", self.address, "report", json.dumps(args)]
        begin = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        wall = time.perf_counter() - begin
        if done.returncode != 0:
            raise SystemExit(f"{done.stdout}{done.stderr}")
        return wall, json.loads(done.stdout)

    def workers(self):
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]

    def usage(self):
        """CPU seconds of host and workers, and the most memory that a worker had."""
        ticks, peak = 0, 0
        for pid in [self.process.pid, *self.workers()]:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
            if pid != self.process.pid:
                status = Path(f"/proc/{pid}/status").read_text()
                peak = max(peak, int(status.split("VmHWM:")[1].split()[0]) * 1024)
        return ticks / os.sysconf("SC_CLK_TCK"), peak

    def close(self):
        self.process.terminate()
        self.process.wait()


def through_host(args):
    def run(options, folder):
        host = Host(options.built, folder)
        try:
            # The library is loaded, and its worker runs; the first report is no colder than the peers, who have imported.
            host.call({"query": "SELECT 1 AS one"})
            before, _ = host.usage()
            wall, result = host.call(args(folder))
            after, peak = host.usage()
            return wall, after - before, peak, result
        finally:
            host.close()
    return run


def peer(name, source, ending="out"):
    def run(_, folder):
        command = [sys.executable, HERE / "peers.py", name, source, Path(folder, f"out.{ending}")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        wall = float(process.stdout.read())
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0
        return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, None
    return run


def pages(path):
    text = subprocess.run(["pdfinfo", path], check=True, capture_output=True, text=True).stdout
    return int(text.split("Pages:")[1].split()[0])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--built", type=Path, required=True, help="the folder of the release build")
    parser.add_argument("--data", type=Path, required=True, help="where the generated files are kept")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--group-rows", type=int, default=10_000_000)
    parser.add_argument("--xlsx-rows", type=int, default=1_000_000)
    parser.add_argument("--pdf-rows", type=int, default=4_000)
    parser.add_argument("--only", help="one of the three: group, xlsx, pdf")
    options = parser.parse_args()
    global DATA
    DATA = options.data.resolve()
    DATA.mkdir(parents=True, exist_ok=True)

    wanted = [options.only] if options.only else ["group", "xlsx", "pdf"]
    jobs = []
    if "group" in wanted:
        source = write_once(DATA / f"group-{options.group_rows}.csv", group_lines(options.group_rows))
        query = "SELECT store, sum(amount) AS amount FROM sales GROUP BY store ORDER BY store"
        size = source.stat().st_size // MB
        jobs.append((f"{options.group_rows:,} rows of CSV ({size} MB), sums of 400 groups", [
            ("`report`", through_host(lambda _: {"sources": {"sales": {"csv": str(source)}}, "query": query, "output": "csv"})),
            ("pandas", peer("group", source)),
            ("pandas, `usecols`", peer("group_two_columns", source)),
        ]))
    if "xlsx" in wanted:
        source_x = write_once(DATA / f"wide-{options.xlsx_rows}.csv", wide_lines(options.xlsx_rows))
        jobs.append((f"{options.xlsx_rows:,} rows × 10 columns, CSV to XLSX", [
            ("`report`", through_host(lambda folder: {"sources": {"wide": {"csv": str(source_x)}}, "output": {"path": f"{folder}/out.xlsx"}})),
            ("XlsxWriter, `constant_memory`", peer("xlsx", source_x, "xlsx")),
        ]))
    if "pdf" in wanted:
        source_p = write_once(DATA / f"narrow-{options.pdf_rows}.csv", narrow_lines(options.pdf_rows))
        jobs.append((f"{options.pdf_rows:,} rows as PDF", [
            ("`report`", through_host(lambda folder: {"sources": {"narrow": {"csv": str(source_p)}}, "output": {"path": f"{folder}/out.pdf"}})),
            ("ReportLab", peer("pdf", source_p, "pdf")),
        ]))

    print(f"{options.rounds} rounds, {os.cpu_count()} processors; medians, and the ratios of the same round's figures.\n")
    print("| work | by | seconds | × faster | CPU seconds | MB |\n|---|---|--:|--:|--:|--:|")
    for title, rows in jobs:
        found = {name: [] for name, _ in rows}
        notes = {}
        for number in range(options.rounds):
            for name, run in rows:
                with tempfile.TemporaryDirectory() as folder:
                    wall, cpu, peak, _ = run(options, folder)
                    made = Path(folder, "out.pdf")
                    if made.exists():
                        notes[name] = f", {pages(made)} pages"
                found[name].append((wall, cpu, peak))
                say(f"round {number + 1}: {title}: {name}: {wall:.2f} s, {cpu:.2f} s CPU, {peak / MB:.0f} MB")
        ours = found[rows[0][0]]
        for name, figures in found.items():
            walls, cpus, peaks = zip(*figures)
            ratio = statistics.median(theirs[0] / mine[0] for theirs, mine in zip(figures, ours))
            shown = "" if figures is ours else f"**{ratio:.1f}**"
            print(f"| {title} | {name}{notes.get(name, '')} | {statistics.median(walls):.2f} | {shown} | {statistics.median(cpus):.2f} | {statistics.median(peaks) / MB:,.0f} |")
            title = ""


main()
