"""The table of examples/bench.rs by XlsxWriter with constant memory: xlsxwriter_table.py ROWS FILE."""

import datetime
import sys

import xlsxwriter

rows, path = int(sys.argv[1]), sys.argv[2]
workbook = xlsxwriter.Workbook(path, {"constant_memory": True})
sheet = workbook.add_worksheet("Orders")
bold = workbook.add_format({"bold": True})
day_format = workbook.add_format({"num_format": "yyyy-mm-dd"})
money = workbook.add_format({"num_format": "#,##0.00"})
names = ["id", "region", "customer", "day", "pieces", "price", "amount", "discount", "paid", "note"]
for column, name in enumerate(names):
    sheet.write_string(0, column, name, bold)
regions = ["North", "South", "East", "West"]
first = datetime.date(1970, 1, 1)
for row in range(rows):
    pieces, price = row * 7 % 100, row * 37 % 100_000
    line = row + 1
    sheet.write_number(line, 0, row)
    sheet.write_string(line, 1, regions[row % 4])
    sheet.write_string(line, 2, f"Customer {row % 5000}")
    sheet.write_datetime(line, 3, first + datetime.timedelta(20_000 + row % 1000), day_format)
    sheet.write_number(line, 4, pieces)
    sheet.write_number(line, 5, price / 100, money)
    sheet.write_number(line, 6, pieces * price / 100, money)
    sheet.write_number(line, 7, row % 1000 / 1000)
    sheet.write_boolean(line, 8, row % 3 == 0)
    sheet.write_string(line, 9, f"order {row} of the day")
sheet.freeze_panes(1, 0)
sheet.autofilter(0, 0, rows, len(names) - 1)
workbook.close()
