"""`flans bench language`: how well a model understands requests that nobody generated, and how fast."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
from rapidfuzz import fuzz, process
from rich.table import Table

from corpus.anatomy import BY_NAME
from corpus.params import params_dataclass, read_yaml, validated
from model import testing
from model.inference import Segmenter
from model.intent_head import Understanding
from model.testing.scoring import calibration
from pipelines.stage import results
from prompts.intent import Intent
from prompts.wording.renaming import as_read
from prompts.written import forms

REQUESTS = tuple(sorted(Path(testing.__file__).with_name("requests").glob("*.yaml")))
"""The sets: the first, the blind ones, those about sides, and what is easily read as its opposite."""
BATCH = 256
TWIN = 90
"""Similarity of two wordings, of 100, from which on they count as the same."""


@params_dataclass
class TypedRequest:
    """One text of `REQUESTS`, what it asks for, and in whose voice."""

    text: str
    kind: str
    organ: str | None
    attribute: str | None
    voice: str
    rank: int = 1
    relation: str | None = None
    negated: bool | None = None
    """None: either will do."""
    frame: str | None = None
    """None: patient where an organ is asked for by name, else image."""

    @property
    def intent(self) -> Intent:
        """What the text asks for."""
        frame = self.frame or ("patient" if self.kind == "anatomy" else "image")
        return Intent(self.kind, self.organ, self.attribute, frame, bool(self.negated), self.rank, self.relation)  # type: ignore[arg-type]

    def is_read(self, found: Understanding) -> bool:
        """Whether a model understood it."""
        either = self.negated is None and self.intent.frame == "patient"
        return (replace(found.intent, negated=False) if either else found.intent) == self.intent


def measured() -> list[tuple[str, TypedRequest]]:
    """Every text of `REQUESTS`, behind its set's name."""
    sets = {path.stem: validated(read_yaml(path), list[TypedRequest], path) for path in REQUESTS}
    return [(name, request) for name, requests in sets.items() for request in requests]


def bench_language(checkpoint: Path) -> pd.DataFrame:
    """Read every text of `REQUESTS`.

    Returns:
        One row a text: its set (the file's name), the columns of `TypedRequest`, wanted and understood (the organ, the
        attribute, or "none"), confidence, right, twin (whether forms.yaml says nearly the same, see `twins`), and
        seconds (the time for all texts, in each row).

    Raises:
        InputError: There is no such checkpoint.
    """
    names, wanted = zip(*measured(), strict=True)
    segmenter = Segmenter.from_pretrained(checkpoint)
    start = time.perf_counter()
    understood = read(segmenter, [request.text for request in wanted])
    seconds = time.perf_counter() - start
    rows = []
    for name, request, found in zip(names, wanted, understood, strict=True):
        rows.append(
            {"set": name}
            | asdict(request)
            | {
                "wanted": request.intent.target or "none",
                "understood": found.intent.target or "none",
                "confidence": found.confidence,
                "right": request.is_read(found),
            }
        )
    return pd.DataFrame(rows).assign(twin=twins([request.text for request in wanted]), seconds=seconds)


def read(segmenter: Segmenter, texts: Sequence[str]) -> list[Understanding]:
    """What each text asks for, read `BATCH` texts at a time."""
    return [
        understood
        for first in range(0, len(texts), BATCH)
        for understood in segmenter.read(texts[first : first + BATCH]).understood
    ]


def twins(texts: Sequence[str]) -> list[bool]:
    """Whether training has seen nearly the same wording of each text, whatever structure it speaks of: short requests
    ("liver segmentation") can hardly be put otherwise. One answer a text."""
    known = list({_wording(each.text) for each in forms(1, seed=0)})
    alike = process.cdist(list(map(_wording, texts)), known, scorer=fuzz.ratio, score_cutoff=TWIN)
    return [bool(row.any()) for row in alike]


def _wording(text: str) -> str:
    """A text without case, punctuation and typing errors, one word for any structure."""
    words = as_read(text).lower()
    for name in sorted(BY_NAME, key=len, reverse=True):
        words = words.replace(name, "structure")
    return " ".join(re.findall(r"\w+", words))


def show(rows: pd.DataFrame) -> None:
    """Print the share that was understood, by set, kind and voice, and of what training has no twin of; how far
    confidence is off, and what was misread with the most confidence."""
    table = Table(title=f"{len(rows)} texts, {len(rows) / rows['seconds'].iloc[0]:.0f} a second", title_justify="left")
    for column in ("", "texts", "understood"):
        table.add_column(column, justify="right" if column else "left")
    for by in ("set", "kind", "voice"):
        for name, group in rows.groupby(by, sort=False):
            table.add_row(str(name), str(len(group)), f"{group['right'].mean():.1%}")
        table.add_section()
    for name, group in rows[~rows["twin"]].groupby("set", sort=False):
        table.add_row(f"{name}, wording not in forms.yaml", str(len(group)), f"{group['right'].mean():.1%}")
    table.add_section()
    for name, group in (("all, wording not in forms.yaml", rows[~rows["twin"]]), ("all", rows)):
        table.add_row(name, str(len(group)), f"{group['right'].mean():.1%}")
    results.print(table)
    error, _ = calibration(rows["confidence"].to_numpy(), rows["right"].to_numpy())
    results.print(f"expected calibration error {error:.3f}")
    for row in rows[~rows["right"]].nlargest(10, "confidence").to_dict("records"):
        results.print(
            f"{row['confidence']:.2f}  {row['text'][:80]}  [{row['wanted']}, read as {row['understood']}]", markup=False
        )
