"""Passages: what is indexed and retrieved. One to three sentences of one section of one report.

A short paragraph ("Liver: normal in size. No focal lesion.") stays whole, since structured reports keep an organ to a
line; longer text is filled up to three sentences or 60 words, and what falls short of 15 words joins its neighbour.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa
import pyarrow
import pyarrow.parquet as pq

from corpus.anatomy import BY_NAME, mentions
from corpus.errors import InputError
from corpus.reports.organs import organs_of
from corpus.reports.readers import Report

MIN_WORDS, MAX_WORDS, MAX_SENTENCES = 15, 60, 3
TOO_SHORT = 3
"""Fewer words than this make no passage ("None.")."""


def _are_organs(values: pd.Series) -> bool:
    return all(name in BY_NAME for names in values for name in names)


SCHEMA = pa.DataFrameSchema(
    {
        "passage_id": pa.Column(str, pa.Check.str_matches(r"^[0-9a-f]{16}$"), unique=True),
        "source": pa.Column(str),
        "tag": pa.Column(str, pa.Check.isin(["S1", "S2", "S3"])),
        "report_id": pa.Column(str, pa.Check.str_length(min_value=1)),
        "section": pa.Column(str),
        "style": pa.Column(str),
        "text": pa.Column(str, pa.Check.str_length(min_value=1)),
        "organs": pa.Column(object, pa.Check(_are_organs, name="organs of the vocabulary")),
        "negated_organs": pa.Column(object, pa.Check(_are_organs, name="organs of the vocabulary")),
    },
    strict=True,
    ordered=True,
)
"""The table of passages: `organs` that the text names, `negated_organs` those that it only ever negates."""

ARROW_SCHEMA = pyarrow.schema(
    [
        *(
            (name, pyarrow.string())
            for name in ("passage_id", "source", "tag", "report_id", "section", "style", "text")
        ),
        *((name, pyarrow.list_(pyarrow.string())) for name in ("organs", "negated_organs")),
    ]
)


@dataclass(frozen=True)
class Section:
    """A stretch of a report under one heading. `heading` is lower case; "" before the first one."""

    heading: str
    text: str


_CAPS_HEADING = r"(?P<caps>(?=[A-Z /&,()'-]{4})[A-Z][A-Z0-9]*(?:[ /&,()'-]+[A-Z0-9]+){0,7}[)]?)[ ]?:"
"""Four letters at least: "CT:" and "PR:" in a telegraphic report are no headings."""
_KNOWN_HEADING = (
    r"(?P<known>(?i:findings?|impressions?|conclusions?|opinion|technique|comparison|indications?|"
    r"(?:clinical )?history|clinical (?:information|details|indication)|"
    r"reason for (?:exam|study|examination)|recommendations?|summary)):"
)
_HEADING = re.compile(rf"(?m)(?:^|(?<=[.!?]\s)|(?<=[.!?]\s\s)){_CAPS_HEADING}|^{_KNOWN_HEADING}")
_SAME_HEADING = {
    "finding": "findings",
    "impressions": "impression",
    "conclusion": "impression",
    "conclusions": "impression",
    "opinion": "impression",
}


def sections(text: str) -> Iterator[Section]:
    """The sections of `text` that say something. "FINDINGS:" and "Impression:" are headings, "Liver:" and "LIVER:" not:
    the sentence behind them would lose its organ."""
    heading, at = "", 0
    for match in _HEADING.finditer(text):
        if match["caps"] and next(mentions(match["caps"].lower()), None):
            continue
        if body := text[at : match.start()].strip():
            yield Section(heading, body)
        found = (match["caps"] or match["known"]).lower()
        heading, at = _SAME_HEADING.get(found, found), match.end()
    if body := text[at:].strip():
        yield Section(heading, body)


_BULLET = r"(?:\d{1,2}[.)]|[-*•–])[ ]+"
_LINE_BREAK = re.compile(rf"\n\s*\n|(?<=[.!?:;])[ ]*\n|\n(?=[ ]*{_BULLET})")


def paragraphs(text: str) -> Iterator[str]:
    """Paragraphs and list items, without bullets. A line that ends in mid-sentence goes on in the next one."""
    for paragraph in _LINE_BREAK.split(text):
        joined = re.sub(rf"^{_BULLET}", "", " ".join(paragraph.split()))
        if joined:
            yield joined


_MAKE = "make it: dvc repro index"
_ABBREVIATION = re.compile(r"drs?|mrs?|ms|prof|st|vs|e\.g|i\.e|approx|ca|cf|dept|sr|jr|resp|incl|lt|rt")
_NUMBERED = re.compile(r"nos?|figs?|vol")
"""Abbreviations before a number alone: "no. 5", but "... or no. The liver"."""
_SENTENCE_END = re.compile(r"[.!?]+[\"')\]]*\s+(?=[\"'(\[]?(?P<next>[A-Z0-9]))")


def sentences(text: str) -> Iterator[str]:
    """Sentences of a paragraph. Decimals, "Dr. X", "e.g. CT", "1.4 cm. in width", "fig. 2" and "2. Liver" end none."""
    start = 0
    for match in _SENTENCE_END.finditer(text):
        words = text[start : match.start()].split()
        last = words[-1].lstrip("([\"'").lower() if words else ""
        numbered = _NUMBERED.fullmatch(last) and match["next"].isdigit()
        item = len(words) == 1 and last.isdigit()
        if words and not (_ABBREVIATION.fullmatch(last) or numbered or item):
            yield text[start : match.end()].strip()
            start = match.end()
    if rest := text[start:].strip():
        yield rest


def _n_words(text: str) -> int:
    return len(text.split())


def _cut(sentence: str) -> Iterator[str]:
    """A sentence of more than MAX_WORDS in pieces, cut at the last comma or semicolon that fits, or else at a word."""
    words = sentence.split()
    while len(words) > MAX_WORDS:
        ends = [i for i in range(MIN_WORDS, MAX_WORDS + 1) if words[i - 1][-1] in ",;"]
        end = ends[-1] if ends else MAX_WORDS
        yield " ".join(words[:end])
        words = words[end:]
    yield " ".join(words)


def _filled(groups: Iterable[list[str]]) -> Iterator[str]:
    """Sentences joined into passages. A new group (a paragraph) joins the passage before it only where one is short."""
    open_passage: list[str] = []

    def fits(more: list[str]) -> bool:
        joined = [*open_passage, *more]
        return len(joined) <= MAX_SENTENCES and _n_words(" ".join(joined)) <= MAX_WORDS

    for group in groups:
        short = min(_n_words(" ".join(group)), _n_words(" ".join(open_passage))) < MIN_WORDS
        if open_passage and not (short and fits(group)):
            yield " ".join(open_passage)
            open_passage = []
        for sentence in group:
            if open_passage and not fits([sentence]):
                yield " ".join(open_passage)
                open_passage = []
            open_passage.append(sentence)
    if open_passage:
        yield " ".join(open_passage)


def _split(text: str) -> Iterator[str]:
    """The passages of one section's text."""
    return _filled([piece for s in sentences(p) for piece in _cut(s)] for p in paragraphs(text))


def passages_of(reports: Iterable[Report]) -> tuple[pd.DataFrame, Counter[str]]:
    """The passages of de-identified reports, in their order, and what was left out.

    Returns:
        The table (`SCHEMA`), and counts of "duplicate" (same tag and text) and "too short" passages.
    """
    rows: list[dict[str, Any]] = []
    left_out: Counter[str] = Counter()
    seen: set[tuple[str, str]] = set()
    for report in reports:
        pieces = ((section.heading, text) for section in sections(report.text) for text in _split(section.text))
        for ordinal, (heading, text) in enumerate(pieces):
            if _n_words(text) < TOO_SHORT:
                left_out["too short"] += 1
            elif (report.tag, text) in seen:
                left_out["duplicate"] += 1
            else:
                seen.add((report.tag, text))
                rows.append(_passage(report, heading, text, ordinal))
    return _table(rows), left_out


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows as a valid table, whose columns have their types even where there are no rows."""
    texts = {name: "str" for name in SCHEMA.columns if name not in ("organs", "negated_organs")}
    return SCHEMA.validate(pd.DataFrame(rows, columns=list(SCHEMA.columns)).astype(texts))


def _passage(report: Report, heading: str, text: str, ordinal: int) -> dict[str, Any]:
    identity = "\0".join((report.source, report.id, str(ordinal), text))
    organs, negated = organs_of(text)
    return {
        "passage_id": hashlib.sha256(identity.encode()).hexdigest()[:16],
        "source": report.source,
        "tag": report.tag,
        "report_id": report.id,
        "section": heading,
        "style": report.style,
        "text": text,
        "organs": organs,
        "negated_organs": negated,
    }


def write_passages(table: pd.DataFrame, path: Path) -> None:
    """Write a table of passages: the same bytes for the same rows."""
    arrow = pyarrow.Table.from_pylist(table.to_dict("records"), schema=ARROW_SCHEMA)
    pq.write_table(arrow, path, compression="zstd")


def read_passages(path: Path) -> pd.DataFrame:
    """Read and validate a table of passages.

    Raises:
        InputError: The file is missing, or isn't a table of passages.
    """
    try:
        arrow = pq.read_table(path, schema=ARROW_SCHEMA)
    except FileNotFoundError:
        raise InputError(path, "expected a table of passages, found none", _MAKE) from None
    except pyarrow.ArrowInvalid as error:
        raise InputError(path, f"expected a table of passages, but {error}", _MAKE) from None
    return _table(arrow.to_pylist())
