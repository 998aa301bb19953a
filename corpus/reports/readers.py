"""Clinical text from files: one reader a format, all yielding `Report`.

A reader yields plain rows; `read_reports` tidies them, rejects what can't be used, and honours the limit. To add a
format, write a function `(where, path, source) -> Iterator[Row | Reject]` and enter it into `READERS`.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import sys
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, cast

import pyarrow as pa
import pyarrow.parquet as pq

from corpus.errors import InputError
from corpus.params import params_dataclass, read_yaml

Tag = Literal["S1", "S2", "S3"]
"""S1 expert reports, S2 lay questions, S3 synthetic sentences."""
STYLES: dict[str, str] = {"S1": "expert", "S2": "lay", "S3": "synthetic"}
"""The style of a report whose source names none."""
SYNTHETIC = "synthetic"
"""The source of the synthetic sentences. No configured source may have this name."""


@params_dataclass
class ReportSource:
    """One source of clinical text."""

    reader: str
    """A key of `READERS`: builtin, txt, csv, tsv, jsonl or parquet."""
    path: str
    """The folder (builtin, txt) or file (the others; may end in .gz)."""
    tag: Tag = "S1"
    id_column: str = "id"
    """Written into the passages as it stands: where ids are identifiers (record numbers), give pseudonyms."""
    text_column: str = "text"
    style_column: str | None = None
    limit: int | None = None
    """Read no more than this many reports."""


@params_dataclass
class ReportParams:
    """Section `reports` of params.yaml."""

    sources: dict[str, ReportSource] = field(default_factory=dict)
    """Name -> source. The name is the folder's and the passages' `source`."""

    def __post_init__(self) -> None:
        for name in self.sources:
            if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
                raise InputError(
                    "params.yaml", f"`reports.sources`: {name!r} can't name a folder", "use a-z, 0-9, _ and - alone"
                )
            if name == SYNTHETIC:
                raise InputError(
                    "params.yaml",
                    f"`reports.sources`: {name!r} is the name of the sentences that the stage `synthesize` writes",
                    "give the source another name",
                )


@dataclass(frozen=True)
class Report:
    """One clinical text. Line ends in `text` are \\n, and headings such as "FINDINGS:" stand in it."""

    id: str
    text: str
    source: str
    tag: str
    style: str


@dataclass(frozen=True)
class Reject:
    """A report that was left out, and why. The reason never quotes the text."""

    report_id: str
    reason: str


class Row(NamedTuple):
    """What a reader yields: values as the file has them."""

    id: Any
    text: Any
    style: Any = None
    tag: Tag | None = None


Reader = Callable[[str, Path, ReportSource], Iterator[Row | Reject]]


def read_reports(name: str, source: ReportSource) -> Iterator[Report | Reject]:
    """The reports of `source` in the order of its file (or of file names), with the rejected ones among them.

    Raises:
        InputError: No such reader, the file or folder is missing, or it lacks the expected columns.
    """
    where = f"params.yaml: reports.sources.{name}"
    if source.reader not in READERS:
        raise InputError(where, f"`reader` is {source.reader!r}", f"use one of: {', '.join(READERS)}")
    path = _existing(where, source)
    n_reports = 0
    try:
        for row in READERS[source.reader](where, path, source):
            if n_reports == source.limit:
                return
            item = row if isinstance(row, Reject) else _report(row, name, source)
            n_reports += isinstance(item, Report)
            yield item
    except (gzip.BadGzipFile, zlib.error, EOFError, csv.Error, pa.ArrowInvalid) as error:
        problem = f"expected a {source.reader} file, but it is damaged: {error}"
        raise InputError(path.resolve(), problem, f"restore the file, or correct {where}") from None


def _existing(where: str, source: ReportSource) -> Path:
    path = Path(source.path)
    expected, found = ("folder", path.is_dir()) if source.reader in ("builtin", "txt") else ("file", path.is_file())
    if not found:
        state = f"found a {'folder' if path.is_dir() else 'file'}" if path.exists() else "it is missing"
        raise InputError(path.resolve(), f"expected a {expected}, but {state}", f"correct `path` in {where}")
    return path


def _report(row: Row, name: str, source: ReportSource) -> Report | Reject:
    report_id = "" if row.id is None else str(row.id).strip()
    if not report_id:
        return Reject("", "no id")
    if not isinstance(row.text, str) or not row.text.strip():
        return Reject(report_id, "no text")
    if "\ufffd" in row.text:
        return Reject(report_id, "the text isn't UTF-8")
    tag = row.tag or source.tag
    style = str(row.style).strip() if row.style else STYLES[tag]
    return Report(report_id, tidy(row.text), name, tag, style)


_FLATTENED = re.compile(r"[.:] ?,\s*[A-Z\d]")


def tidy(text: str) -> str:
    """`text` in NFC with \\n line ends, and with the line ends back where an export made commas of them.

    MTSamples' export turned every line end into a comma: "flare up.,MEDICATIONS: , Her only ..." and "If ,he lost".
    """
    text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n").replace("\xa0", " ")
    if "\n" not in text and _FLATTENED.search(text):
        text = re.sub(r":\s*,\s*", ": ", text)
        text = re.sub(r"(?<=[.!?;])\s*,(?=\S)|,(?=[A-Z][A-Z /&-]{2,50}:)", "\n", text)
        text = re.sub(r"\s,(?=\S)", " ", text)
    return "\n".join(line.strip() for line in text.split("\n")).strip()


def _need_columns(path: Path, found: Iterable[str], source: ReportSource, where: str) -> list[str]:
    """The columns to read. Raises InputError where one is missing."""
    columns = [source.id_column, source.text_column, *([source.style_column] if source.style_column else [])]
    present = list(found)
    if missing := [column for column in columns if column not in present]:
        raise InputError(
            path.resolve(),
            f"expected the columns {', '.join(columns)}; found {', '.join(present) or 'none'}",
            f"set id_column, text_column or style_column of {where} (missing: {', '.join(missing)})",
        )
    return columns


def _row(record: Mapping[str, Any], source: ReportSource) -> Row:
    style = record.get(source.style_column) if source.style_column else None
    return Row(record.get(source.id_column), record.get(source.text_column), style)


def _open_text(path: Path) -> IO[str]:
    """A text file, gzipped or not; bytes that aren't UTF-8 become U+FFFD, by which the report is rejected."""
    if path.suffix == ".gz":
        return cast(IO[str], gzip.open(path, "rt", encoding="utf-8-sig", errors="replace", newline=""))
    return path.open(encoding="utf-8-sig", errors="replace", newline="")


def _builtin(where: str, path: Path, source: ReportSource) -> Iterator[Row]:
    for report in read_yaml(path / "reports.yaml"):
        parts = [("FINDINGS", report["findings"]), ("IMPRESSION", report["impression"])]
        text = "\n\n".join(f"{heading}:\n" + "\n".join(lines) for heading, lines in parts if lines)
        yield Row(report["id"], text, report["style"], "S1")
    for question in read_yaml(path / "questions.yaml"):
        yield Row(question["id"], question["text"], question["style"], "S2")


def _txt(where: str, path: Path, source: ReportSource) -> Iterator[Row | Reject]:
    files = sorted(path.glob("*.txt"))
    if not files:
        raise InputError(path.resolve(), "expected .txt files, found none", f"correct `path` in {where}")
    for file in files:
        try:
            yield Row(file.stem, file.read_bytes().decode("utf-8-sig", errors="replace"))
        except OSError as error:
            yield Reject(file.stem, f"can't be read: {error.strerror}")


def _delimited(delimiter: str) -> Reader:
    def read(where: str, path: Path, source: ReportSource) -> Iterator[Row | Reject]:
        csv.field_size_limit(sys.maxsize)
        with _open_text(path) as lines:
            records = csv.DictReader(lines, delimiter=delimiter)
            _need_columns(path, records.fieldnames or (), source, where)
            for record in records:
                yield _row(record, source)

    return read


def _jsonl(where: str, path: Path, source: ReportSource) -> Iterator[Row | Reject]:
    checked = False
    with _open_text(path) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                yield Reject(f"line {number}", f"not JSON: {error.msg}")
                continue
            if not isinstance(record, dict):
                yield Reject(f"line {number}", f"expected a JSON object, found {type(record).__name__}")
                continue
            if not checked:
                _need_columns(path, record, source, where)
                checked = True
            yield _row(record, source)


def _parquet(where: str, path: Path, source: ReportSource) -> Iterator[Row]:
    with pq.ParquetFile(path) as table:
        columns = _need_columns(path, table.schema_arrow.names, source, where)
        for batch in table.iter_batches(columns=columns):
            for record in batch.to_pylist():
                yield _row(record, source)


READERS: dict[str, Reader] = {
    "builtin": _builtin,
    "txt": _txt,
    "csv": _delimited(","),
    "tsv": _delimited("\t"),
    "jsonl": _jsonl,
    "parquet": _parquet,
}
