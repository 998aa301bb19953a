"""Clinical text from files: one reader a format, all yielding `Report`.

A reader yields plain rows of one file; `read_reports` finds the files, tidies the rows, rejects what can't be used, and
honours the limit. To add a format, write a function `(where, path, source) -> Iterator[Row | Reject]` and enter it into
`READERS` and `ENDINGS`.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Annotated, Any, Literal, NamedTuple, cast

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from corpus.errors import InputError
from corpus.params import check_names, params_dataclass, read_yaml
from corpus.reports.fhir import diagnostic_reports, text_of
from corpus.reports.tidy import no_plain_text, tidy

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
    """A key of `READERS`: builtin, txt, csv, tsv, jsonl, parquet or fhir (DiagnosticReport as JSON or NDJSON)."""
    path: str
    """A file, which may end in .gz, or a folder, whose files of the reader's kind are read, subfolders included."""
    tag: Tag = "S1"
    id_column: str = "id"
    """Written into the passages as it stands: where ids are identifiers (record numbers), give pseudonyms. The readers
    txt (the file's path in the folder), fhir (the resource's id) and builtin need no columns."""
    text_column: str = "text"
    style_column: str | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    """Read no more than this many reports, each with all its rows, where they stand together."""


@params_dataclass
class ReportParams:
    """Section `reports` of params.yaml."""

    sources: dict[str, ReportSource] = field(default_factory=dict)
    """Name -> source. The name is the folder's and the passages' `source`."""

    def __post_init__(self) -> None:
        check_names(self.sources, "reports.sources")
        if SYNTHETIC in self.sources:
            raise InputError(
                "params.yaml",
                f"`reports.sources`: {SYNTHETIC!r} is the name of the sentences that the stage `synthesize` writes",
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
"""(where the source is configured, one file, source) -> its rows."""


def read_reports(name: str, source: ReportSource) -> Iterator[Report | Reject]:
    """The reports of `source` in the order of its files' names and their rows, with the rejected ones among them.

    Rows of one id with different texts are parts of one report, as in a file of sentences; a repeated row is rejected.

    Raises:
        InputError: No such reader, the file or folder is missing, holds no file of the reader's kind, or a file is
        damaged or lacks the expected columns.
    """
    where = f"params.yaml: reports.sources.{name}"
    if source.reader not in READERS:
        raise InputError(where, f"`reader` is {source.reader!r}", f"use one of: {', '.join(READERS)}")
    seen: set[tuple[str, str]] = set()
    ids: set[str] = set()
    for path in _files(where, source):
        try:
            for row in READERS[source.reader](where, path, source):
                item = row if isinstance(row, Reject) else _report(row, name, source)
                if isinstance(item, Report) and (item.id, item.text) in seen:
                    item = Reject(item.id, "another report has this id and text")
                if isinstance(item, Report):
                    if len(ids) == source.limit and item.id not in ids:
                        return
                    seen.add((item.id, item.text))
                    ids.add(item.id)
                    yield item
                else:
                    yield replace(item, report_id=_HALF_PAIR.sub("?", item.report_id))
        except (gzip.BadGzipFile, zlib.error, EOFError, csv.Error, pa.ArrowInvalid) as error:
            problem = f"expected a {source.reader} file, but it is damaged: {error}"
            raise InputError(path.resolve(), problem, f"restore the file, or correct {where}") from None
        except OSError as error:
            if not error.strerror:  # not the system's, but pyarrow's, of a damaged file
                problem = f"expected a {source.reader} file, but it is damaged: {error}"
                raise InputError(path.resolve(), problem, f"restore the file, or correct {where}") from None
            yield Reject(path.name, f"can't be read: {error.strerror}")


def _files(where: str, source: ReportSource) -> list[Path]:
    path = Path(source.path)
    if source.reader == "builtin" or path.is_file():
        if source.reader == "builtin" and not path.is_dir():
            raise InputError(
                path.resolve(), "expected the folder of the built-in reports", f"correct `path` in {where}"
            )
        return [path]
    if not path.exists():
        raise InputError(path.resolve(), "expected a file or folder, but it is missing", f"correct `path` in {where}")
    endings = ENDINGS[source.reader]
    found = sorted(
        (
            file
            for file in path.rglob("*")
            if file.is_file()
            and re.sub(r"\.gz$", "", file.name.lower()).endswith(endings)
            and not any(part.startswith(".") for part in file.relative_to(path).parts)  # such as macOS's "._" copies
        ),
        key=lambda file: file.relative_to(path).parts,
    )
    if not found:
        kinds = " or ".join(endings)
        raise InputError(path.resolve(), f"expected {kinds} files, found none", f"correct `path` in {where}")
    return found


def _report(row: Row, name: str, source: ReportSource) -> Report | Reject:
    report_id = "" if row.id is None else str(row.id).strip()
    if not report_id:
        return Reject("", "no id")
    if row.text is not None and not isinstance(row.text, str):
        return Reject(report_id, f"expected text, found {type(row.text).__name__}")
    if not row.text or not row.text.strip():
        return Reject(report_id, "no text")
    if "\ufffd" in row.text:
        return Reject(report_id, "the text isn't UTF-8")
    if _HALF_PAIR.search(f"{report_id}{row.text}{row.style}"):
        return Reject(report_id, "half of a surrogate pair: a character was cut in two")
    if "\x00" in row.text:
        return Reject(report_id, "the text holds null characters: it is UTF-16 or binary")
    if reason := no_plain_text(row.text):
        return Reject(report_id, reason)
    if not (text := tidy(row.text)):
        return Reject(report_id, "no text, but markup")
    tag = row.tag or source.tag
    style = str(row.style).strip() if row.style else STYLES[tag]
    return Report(report_id, text, name, tag, style)


_HALF_PAIR = re.compile("[\ud800-\udfff]")


_COLUMN_NAME = re.compile(r"[^\W\d]\w{0,39}(?:[ .:/-]\w{1,20}){0,2}(?<!\d{4})")


def _need_columns(path: Path, found: Iterable[str], source: ReportSource, where: str) -> list[str]:
    """The columns to read. Raises InputError where one is missing, or there twice.

    What stands in their place is told only where it looks like names of columns, not like the first report.
    """
    columns = [source.id_column, source.text_column, *([source.style_column] if source.style_column else [])]
    present = list(found)
    if twice := [column for column in columns if present.count(column) > 1]:
        raise InputError(path.resolve(), f"expected each column once, found {', '.join(twice)} twice", "rename one")
    if missing := [column for column in columns if column not in present]:
        if not all(_COLUMN_NAME.fullmatch(name) for name in present):
            problem = f"expected the columns {', '.join(columns)}; found no row of column names"
            raise InputError(path.resolve(), problem, f"name the columns in the first row, or correct {where}")
        raise InputError(
            path.resolve(),
            f"expected the columns {', '.join(columns)}; found {', '.join(present) or 'none'}",
            f"set id_column, text_column or style_column of {where} (missing: {', '.join(missing)})",
        )
    return columns


def _need_table(path: Path, names: Sequence[str], delimiter: str) -> None:
    """Raises InputError where a table is encoded, or its cells are told apart, in another way."""
    if any("\ufffd" in name or "\x00" in name for name in names):
        found = "expected UTF-8, found another encoding, such as UTF-16"
        raise InputError(path.resolve(), found, "save it as CSV UTF-8")
    if len(names) == 1 and (other := next((each for each in ",;\t|" if each in names[0] and each != delimiter), None)):
        fix = {",": "use the reader csv", "\t": "use the reader tsv"}.get(other, f"save it with {delimiter!r}")
        raise InputError(path.resolve(), f"expected cells between {delimiter!r}, found {other!r}", fix)


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


def _txt(where: str, path: Path, source: ReportSource) -> Iterator[Row]:
    """One report a file; its id is the file's path in the source's folder, without the ending."""
    folder = Path(source.path)
    inside = path.relative_to(folder) if folder.is_dir() else Path(path.name)
    report_id = re.sub(r"\.txt(\.gz)?$", "", inside.as_posix(), flags=re.IGNORECASE)
    with _open_text(path) as stream:
        yield Row(report_id, stream.read())


def _records(records: csv.DictReader) -> Iterator[dict[Any, Any]]:
    """The records; an error names the line that the record before it ended on."""
    try:
        yield from records
    except csv.Error as error:
        raise csv.Error(f"after line {records.line_num}, {error}") from None


def _delimited(delimiter: str) -> Reader:
    def read(where: str, path: Path, source: ReportSource) -> Iterator[Row | Reject]:
        csv.field_size_limit(sys.maxsize)
        with _open_text(path) as lines:
            # strict: an open quote is an error, where it would else swallow the reports that follow.
            records = csv.DictReader(lines, delimiter=delimiter, strict=True)
            names = records.fieldnames or ()
            if not {source.id_column, source.text_column} <= set(names):
                _need_table(path, names, delimiter)
            _need_columns(path, names, source, where)
            for record in _records(records):
                if any(record.get(None, ())):
                    at = f"{path.name}, line {records.line_num}"  # what stands under "id" may be text
                    yield Reject(at, "more cells than columns: quote a text that holds the delimiter")
                else:
                    yield _row(record, source)

    return read


def _json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]] | Reject]:
    """(where it stands, object) for each line."""
    with _open_text(path) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            at = f"{path.name}, line {number}"
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:  # not JSON, a number of 5,000 digits, or nested too deep
                yield Reject(at, f"not JSON: {getattr(error, 'msg', error)}")
                continue
            if isinstance(record, dict):
                yield at, record
            else:
                yield Reject(at, f"expected a JSON object, found {type(record).__name__}")


def _jsonl(where: str, path: Path, source: ReportSource) -> Iterator[Row | Reject]:
    """A line without the columns is rejected; where every line is, the columns are misnamed."""
    columns = {source.id_column, source.text_column}
    lacking: dict[str, Any] | None = None
    known = False
    for item in _json_lines(path):
        if isinstance(item, Reject):
            yield item
            continue
        _, record = item
        if columns <= record.keys():
            known = True
        else:
            lacking = lacking or record
        yield _row(record, source)
    if lacking is not None and not known:
        _need_columns(path, lacking, source, where)


def _fhir(where: str, path: Path, source: ReportSource) -> Iterator[Row | Reject]:
    """DiagnosticReports of a file: one resource, a Bundle, or a resource a line (NDJSON)."""
    with _open_text(path) as stream:
        content = stream.read() if not path.name.lower().removesuffix(".gz").endswith(".ndjson") else None
    items: Iterable[tuple[str, dict[str, Any]] | Reject] = _json_lines(path)
    if content is not None:
        with suppress(ValueError, RecursionError):  # not one resource: a resource a line
            items = [(path.name, json.loads(content))]
    for item in items:
        if isinstance(item, Reject):
            yield item
            continue
        at, resource = item
        reports = list(diagnostic_reports(resource))
        if not reports and not (isinstance(resource, dict) and resource.get("resourceType")):
            yield Reject(at, "expected a FHIR resource")
        for report in reports:
            try:
                yield Row(report.get("id"), text_of(report))
            except ValueError as error:
                yield Reject(str(report.get("id") or at), str(error))


def _parquet(where: str, path: Path, source: ReportSource) -> Iterator[Row]:
    with pq.ParquetFile(path) as table:
        columns = _need_columns(path, table.schema_arrow.names, source, where)
        for batch in table.iter_batches(columns=columns):
            cells = [_cells(column) for column in batch.columns]
            for record in zip(*cells, strict=True):
                yield _row(dict(zip(batch.schema.names, record, strict=True)), source)


def _cells(column: pa.Array) -> list[Any]:
    """A column's values; of a text that isn't UTF-8 the odd bytes become U+FFFD, as in text files."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column.to_pylist()
    return [x if x is None else x.decode("utf-8", "replace") for x in column.cast(pa.large_binary()).to_pylist()]


READERS: dict[str, Reader] = {
    "builtin": _builtin,
    "txt": _txt,
    "csv": _delimited(","),
    "tsv": _delimited("\t"),
    "jsonl": _jsonl,
    "parquet": _parquet,
    "fhir": _fhir,
}
ENDINGS: dict[str, tuple[str, ...]] = {
    "txt": (".txt",),
    "csv": (".csv",),
    "tsv": (".tsv", ".tab"),
    "jsonl": (".jsonl", ".ndjson"),
    "parquet": (".parquet", ".pq"),
    "fhir": (".json", ".ndjson"),
}
"""What the names of a reader's files end in; .gz may follow."""
