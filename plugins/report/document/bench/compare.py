"""Measures the writers beside XlsxWriter and ReportLab, in turns: compare.py BENCH PYTHON [XLSX_ROWS] [PDF_ROWS] [RUNS]."""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

here = Path(__file__).parent
bench, python = sys.argv[1], sys.argv[2]
xlsx_rows, pdf_rows, runs = (sys.argv[3:] + ["300000", "2800", "3"][len(sys.argv) - 3 :])[:3]


def run(command):
    """Wall time and CPU time in seconds, and peak memory in MB."""
    start = time.monotonic()
    pid = os.spawnvp(os.P_NOWAIT, command[0], command)
    _, status, usage = os.wait4(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, command
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def compare(name, ours, theirs):
    ours_runs, theirs_runs = [], []
    for _ in range(int(runs)):
        ours_runs.append(run(ours))
        theirs_runs.append(run(theirs[1]))
    medians = [[statistics.median(column) for column in zip(*table)] for table in (ours_runs, theirs_runs)]
    print(f"{name}")
    for label, (wall, cpu, memory) in zip(("report-document", theirs[0]), medians):
        print(f"  {label:16} {wall:7.2f} s wall {cpu:7.2f} s CPU {memory:7.1f} MB")
    print(f"  ratio            {medians[1][0] / medians[0][0]:7.1f} x wall {medians[1][1] / medians[0][1]:5.1f} x CPU")


with tempfile.TemporaryDirectory() as folder:
    ours, theirs = f"{folder}/ours", f"{folder}/theirs"
    compare(
        f"XLSX, {xlsx_rows} rows x 10 columns",
        [bench, "xlsx", xlsx_rows, ours],
        ("XlsxWriter", [python, str(here / "xlsxwriter_table.py"), xlsx_rows, theirs]),
    )
    print(f"  sizes: {os.path.getsize(ours) / 1e6:.1f} MB and {os.path.getsize(theirs) / 1e6:.1f} MB")
    compare(
        f"PDF, {pdf_rows} rows x 10 columns",
        [bench, "pdf", pdf_rows, ours],
        ("ReportLab", [python, str(here / "reportlab_table.py"), pdf_rows, theirs]),
    )
    print(f"  sizes: {os.path.getsize(ours) / 1e6:.1f} MB and {os.path.getsize(theirs) / 1e6:.1f} MB")
