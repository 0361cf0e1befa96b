"""The table of examples/bench.rs by ReportLab: reportlab_table.py ROWS FILE."""

import datetime
import sys

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.platypus import LongTable, SimpleDocTemplate, TableStyle

rows, path = int(sys.argv[1]), sys.argv[2]
regions = ["North", "South", "East", "West"]
first = datetime.date(1970, 1, 1)
data = [["id", "region", "customer", "day", "pieces", "price", "amount", "discount", "paid", "note"]]
for row in range(rows):
    pieces, price = row * 7 % 100, row * 37 % 100_000
    day = first + datetime.timedelta(20_000 + row % 1000)
    data.append([
        str(row), regions[row % 4], f"Customer {row % 5000}", f"{day.month}/{day.day}/{day.year}", str(pieces),
        f"{price / 100:,.2f}", f"{pieces * price / 100:,.2f}", f"{row % 1000 / 1000:g}",
        "Yes" if row % 3 == 0 else "No", f"order {row} of the day",
    ])
style = TableStyle([
    ("FONT", (0, 0), (-1, 0), "Helvetica-Bold", 8),
    ("FONT", (0, 1), (-1, -1), "Helvetica", 8),
    ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor("#e6ecf3")),
    ("LINEBELOW", (0, 0), (-1, -1), 0.5, colors.HexColor("#d9dfe6")),
    ("ALIGN", (4, 0), (7, -1), "RIGHT"),
    ("TOPPADDING", (0, 0), (-1, -1), 1),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
])


def number(canvas, document):
    canvas.setFont("Helvetica", 8)
    canvas.drawRightString(document.pagesize[0] - 51, 25, str(document.page))


widths = [36, 36, 68, 52, 36, 44, 56, 40, 28, 97]
document = SimpleDocTemplate(path, pagesize=A4, margin=51)
document.build([LongTable(data, colWidths=widths, style=style, repeatRows=1)], onFirstPage=number, onLaterPages=number)
