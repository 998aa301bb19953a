"""What people wrote and no model has to: bare names to ask by, and texts that ask for no segmentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from corpus.anatomy import ORGANS
from corpus.errors import InputError
from corpus.params import read_yaml
from prompts.kinds import Cell, kinds, styles
from prompts.quality import draw

_MAY_ASK = r"(?i)\b(?:where|which|show|point)\b"
"""A question with such a word may ask for a structure to be shown after all."""
_SENTENCE_END = r"(?<=[.?!])\s"
LONGEST = 24
"""Words of a sentence."""


@dataclass(frozen=True)
class Written:
    """A text for the bank, and the checks that it must pass there."""

    text: str
    cell: Cell
    checks: tuple[str, ...] = ("duplicate",)


def _for_nothing(text: str, style: str, checks: tuple[str, ...]) -> Written:
    return Written(text, Cell("none", "none", style), checks)


def texts_for_nothing(path: Path) -> Iterator[Written]:
    """Texts of kind "none" that were written for this project.

    Args:
        path: YAML list of {style, text}.

    Raises:
        InputError: An entry is something else.
    """
    for number, entry in enumerate(read_yaml(path), start=1):
        if not isinstance(entry, dict) or entry.get("style") not in styles() or not str(entry.get("text", "")).strip():
            raise InputError(
                f"{path}, entry {number}",
                f"must be {{style, text}} with a style of {', '.join(styles())}, but found {entry!r}",
                "correct the entry",
            )
        yield _for_nothing(entry["text"], entry["style"], ("length", "duplicate", "near_duplicate"))


def report_sentences(passages: pd.DataFrame, n: int, seed: int) -> Iterator[Written]:
    """At most `n` sentences of reports and of people's questions, drawn with a seed; they name organs and ask for none.

    Args:
        passages: Rows of `corpus.reports.passages.SCHEMA`; the first sentence of each is taken, if people might type
            as much.
    """
    people = passages[passages["tag"].isin(("S1", "S2"))]
    first = people.assign(text=people["text"].str.split(_SENTENCE_END, n=1, regex=True).str[0])
    fitting = first[(first["text"].str.count(r"\S+") <= LONGEST) & ~first["text"].str.contains(_MAY_ASK)]
    for row in draw(fitting.rename(columns={"passage_id": "prompt_id"}), n, seed).to_dict("records"):
        yield _for_nothing(row["text"], "lay" if row["tag"] == "S2" else "expert", ("duplicate",))


def bare_names() -> Iterator[Written]:
    """The shortest ways to ask: people type "liver" or "biggest organ", and nothing more."""
    names: dict[tuple[str, str], Mapping[str, Sequence[str]]] = {
        ("anatomy", organ.name): {"expert": (organ.name, *organ.synonyms, *organ.abbreviations), "lay": organ.lay}
        for organ in ORGANS
    }
    names |= {(kind.name, target): by_style for kind in kinds().values() for target, by_style in kind.names.items()}
    for (kind_name, target), by_style in names.items():
        for style, texts in by_style.items():
            yield from (Written(text, Cell(kind_name, target, style)) for text in texts)
