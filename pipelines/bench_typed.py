"""`flans bench typed`: whether requests are understood as well where they are typed otherwise: in other letters, with
other blanks, in short, with a full stop, a greeting or a signature."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from rich.table import Table

from model.inference import Segmenter
from pipelines.bench_language import measured, read
from pipelines.stage import results

EVERY = 6
"""So many texts of `flans bench language`'s for one that is typed otherwise."""


def _words(changed: str, into: str) -> Callable[[str], str]:
    """Words in the place of others, capitals apart."""
    return lambda text: re.sub(rf"\b(?:{changed})\b", into, text, flags=re.IGNORECASE)


def _ended(by: str) -> Callable[[str], str]:
    """Texts end otherwise; a question stays one."""
    return lambda text: text.rstrip(" .!") + (by.lstrip(".!,") if text.rstrip().endswith("?") else by)


CHANGES: dict[str, Callable[[str], str]] = {
    "in capitals": str.upper,
    "in small letters": str.lower,
    "Each Word In Capitals": str.title,
    "without punctuation": lambda text: re.sub(r"[^\w\s'-]", " ", text),
    "with a full stop": _ended("."),
    "without one": _ended(""),
    "with exclamation marks": _ended("!!"),
    "with three dots": _ended("..."),
    "with two blanks": lambda text: text.replace(" ", "  "),
    "with blanks that don't break": lambda text: text.replace(" ", "\u00a0"),
    "on several lines": lambda text: "\n\n" + re.sub(r"([,.;:]) ", r"\1\n", text) + "\n",
    "in quotation marks": lambda text: f'"{text}"',
    "with curly apostrophes": lambda text: text.replace("'", "\u2019"),
    "without apostrophes": lambda text: text.replace("'", ""),
    "in bold (Markdown)": lambda text: f"**{text}**",
    "as a point of a list": lambda text: f"* {text}",
    "with an emoji": lambda text: f"{text} \U0001f64f",
    "the whole in wide letters": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "after a greeting": lambda text: f"Good evening everyone, {text}",
    "after the scan": lambda text: f"Abdominal CT with contrast, 5 mm slices. {text}",
    "after a finding": lambda text: f"Renal function normal. {text}",
    "before a finding": _ended(". Renal function normal."),
    "before what was done": lambda text: f"{text} (splenectomy 2010)",
    "before what it is for": lambda text: f"{text} (research use only)",
    "with thanks": _ended(". Thank you so much"),
    "with a signature": _ended("\n\nSincerely,\nProf. M. Lindqvist\nUniversity Hospital"),
    "IVC as ivc": _words("IVC", "ivc"),
    "GB as gb": _words("GB", "gb"),
    "left and right as lt and rt": lambda text: _words("right", "rt")(_words("left", "lt")(text)),
    "left and right as L and R": lambda text: _words("right", "R")(_words("left", "L")(text)),
    "picture, image as scan": _words("picture|image", "scan"),
    "segment as delineate": _words("segment", "delineate"),
    "organ as structure": _words("organ", "structure"),
    "please as pls": _words("please", "pls"),
}
"""What changes no meaning. Training's own beginnings and endings are others (prompts/variants.yaml)."""


def bench_typed(checkpoint: Path) -> pd.DataFrame:
    """Read every `EVERY`th text of `flans bench language`, as it is and with each change that makes another of it.

    Returns:
        One row a changed text: change, text, kind, wanted and understood (the organ, the attribute, or "none"),
        before (whether the text was understood as it is), right.

    Raises:
        InputError: There is no such checkpoint.
    """
    chosen = [request for _, request in measured()][::EVERY]
    segmenter = Segmenter.from_pretrained(checkpoint)
    before = [
        request.is_read(found)
        for request, found in zip(chosen, read(segmenter, [request.text for request in chosen]), strict=True)
    ]
    rows = []
    for change, typed in CHANGES.items():
        texts = [typed(request.text) for request in chosen]
        for request, was, text, found in zip(chosen, before, texts, read(segmenter, texts), strict=True):
            if text != request.text:
                rows.append(
                    {"change": change, "text": text, "kind": request.kind}
                    | {"wanted": request.intent.target or "none", "understood": found.intent.target or "none"}
                    | {"before": was, "right": request.is_read(found)}
                )
    return pd.DataFrame(rows)


def show(rows: pd.DataFrame) -> None:
    """Print, of the texts of each change, how many are understood as they are and as they are typed then."""
    table = Table(title="The same texts, typed otherwise", title_justify="left")
    for column in ("", "texts", "as they are", "so", "lost", "won"):
        table.add_column(column, justify="right" if column else "left")
    for change, group in rows.groupby("change", sort=False):
        before, right = group["before"], group["right"]
        lost, won = (before & ~right).sum(), (~before & right).sum()
        shares = f"{before.mean():.1%}", f"{right.mean():.1%}"
        table.add_row(str(change), str(len(group)), *shares, str(lost), str(won))
    results.print(table)
