"""Tables as CSV that Excel and LibreOffice open cleanly, read back however they saved them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pandas as pd

from corpus.errors import InputError
from corpus.files import replacing

# What a spreadsheet would run as a formula (some know the full-width signs too), or read as a number and spoil: an id
# may be 1234567890123456, or 12345678901234e5.
_GUARDED = re.compile(r"'*(?:[=+\-@\t\r\n＝＋－＠]|\d{16,}$|\d+e\d+$)", re.IGNORECASE)
_MARKS = (b"\xff\xfe", b"\xfe\xff")
"""The byte order marks of UTF-16: "Unicode text" as Excel saves it."""


def guarded(cell: Any) -> Any:
    """A cell as it is written: text that a spreadsheet would run or spoil gets an apostrophe; nulls are empty."""
    if isinstance(cell, str):
        return f"'{cell}" if _GUARDED.match(cell) else cell
    return "" if pd.isna(cell) else cell


def unguarded(cell: str) -> str:
    """The text that `guarded` was given."""
    return cell[1:] if cell.startswith("'") and _GUARDED.match(cell) else cell


def write_sheet(table: pd.DataFrame, path: Path) -> None:
    """Write a table as UTF-8 CSV with a byte order mark, every text quoted, lines ended as spreadsheets end them.

    The file appears whole or not at all: a killed process leaves the one that was there.
    """
    with replacing(path) as part, part.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(table.columns)
        writer.writerows([guarded(cell) for cell in row] for row in table.itertuples(index=False))


def read_sheet(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Read a CSV as a spreadsheet saved it.

    Comma, semicolon or tab; UTF-8 or UTF-16, with or without byte order mark, or else Windows-1252, which Excel's plain
    "CSV" is in; any line ends, and line breaks inside cells.

    Returns:
        (row number in the spreadsheet, column -> text without its guard), blank rows left out. Text outside the named
        columns is under "".

    Raises:
        InputError: It isn't such a file, or one of `columns` is missing or there twice.
    """
    save = "save the sheet as 'CSV UTF-8 (comma delimited)', or restore the file"
    try:
        text = _decoded(path.read_bytes())
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        # strict: an open quote is an error, where it would else swallow the rest of the file in silence.
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            path, f"expected a CSV file with the columns {', '.join(columns)}, but {error}", save
        ) from None
    except OSError as error:
        raise InputError(path, f"can't be read: {error.strerror}", "restore the file, or move it away") from None
    header = [name.strip().lower() for name in rows[0]] if rows else []
    if twice := [column for column in columns if header.count(column) > 1]:
        found = f"expected each column once, found {', '.join(twice)} twice"
        raise InputError(path, found, "leave one of them, with all that was filled in")
    if missing := [column for column in columns if column not in header]:
        found = ", ".join(header) or "an empty file"
        raise InputError(
            path,
            f"expected the columns {', '.join(columns)}, found {found}",
            f"name the missing columns in the first row ({', '.join(missing)}), or fill data/review/review.csv anew",
        )
    result = []
    for number, row in enumerate(rows[1:], start=2):
        named = list(zip_longest(header, row, fillvalue=""))
        cells = {name: unguarded(cell) for name, cell in named if name}
        cells[""] = "".join(cell for name, cell in named if not name).strip()
        if any(cell.strip() for cell in cells.values()):
            result.append((number, cells))
    return result


def _decoded(content: bytes) -> str:
    if content.startswith(_MARKS):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        if b"\0" in content:  # not text at all: a workbook under a wrong name
            raise
        return content.decode("cp1252")
