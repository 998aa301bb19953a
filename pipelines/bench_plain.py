"""`flans bench plain`: whether the plainest requests are read alike, whatever structure they speak of, by which of its
names, and with which typing errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from rich.table import Table

from corpus.anatomy import ORGANS
from corpus.params import params_dataclass, read_yaml, validated
from model import testing
from model.inference import Segmenter
from pipelines.bench_language import read
from pipelines.stage import results
from prompts.variants import misspell
from prompts.written import filled

FORMS = Path(testing.__file__).with_name("plain_requests.yaml")
SLIPS = {"one_letter_off": 1, "two_letters_off": 2}
MISSPELT = 10
"""Of each structure's name, with so many slips of the fingers."""


@params_dataclass
class PlainForms:
    """`FORMS`: texts with {organ} in place of a structure's name."""

    asking: list[str]
    not_asking: list[str]
    naming: list[str]


def bench_plain(checkpoint: Path) -> pd.DataFrame:
    """Read every form, filled with every structure's name; and those of `naming` with all its other names, and with
    its name misspelt.

    Returns:
        One row a text: asks (asking, not_asking, otherwise_named, one_letter_off or two_letters_off), form, organ,
        name, understood (the organ, or "none"), confidence, right.

    Raises:
        InputError: There is no such checkpoint.
    """
    content = validated(read_yaml(FORMS), PlainForms, FORMS)
    rows = pd.DataFrame([*_plain(content), *_named(content)], columns=["asks", "form", "organ", "name"])
    texts = [filled(form, name) for form, name in zip(rows["form"], rows["name"], strict=True)]
    found = read(Segmenter.from_pretrained(checkpoint), texts)
    rows["understood"] = [each.intent.target or "none" for each in found]
    rows["confidence"] = [each.confidence for each in found]
    return rows.assign(right=rows["understood"] == rows["organ"].where(rows["asks"] != "not_asking", "none"))


def _plain(content: PlainForms) -> Iterator[tuple[str, str, str, str]]:
    for asks in ("asking", "not_asking"):
        for form in getattr(content, asks):
            yield from ((asks, form, organ.name, organ.name) for organ in ORGANS)


def _named(content: PlainForms) -> Iterator[tuple[str, str, str, str]]:
    rng = np.random.Generator(np.random.PCG64(0))
    for organ in ORGANS:
        short = [*organ.abbreviations, *map(str.lower, organ.abbreviations)]
        names = {"otherwise_named": [*organ.synonyms, *short, *organ.also, *organ.lay]}
        names |= {asks: [_misspelt(organ.name, slips, rng) for _ in range(MISSPELT)] for asks, slips in SLIPS.items()}
        for asks, each in names.items():
            yield from ((asks, form, organ.name, name) for name in each for form in content.naming)


def _misspelt(name: str, slips: int, rng: np.random.Generator) -> str:
    """A name with slips of the fingers in its longest word."""
    word = longest = max(re.findall(r"\w+", name), key=len)
    while word == longest:
        for _ in range(slips):
            word = misspell(word, rng)
    return name.replace(longest, word)


def varied(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of `bench_plain` by the column that varies: every `form` with the structures' own names, and every other
    `name` in a few forms."""
    plain = rows["asks"].isin(("asking", "not_asking"))
    return {"form": rows[plain], "name": rows[~plain]}


def show(rows: pd.DataFrame) -> None:
    """Print the share that is read right of the texts of each sort, of each form that is misread with some structures,
    and of each name that is misread in some forms."""
    groups = varied(rows)
    forms = groups["form"]["form"].nunique()
    table = Table(title=f"{forms} forms, {len(ORGANS)} structures each; {len(rows):,} texts", title_justify="left")
    for column in ("", "read right", "misread"):
        table.add_column(column, justify="right" if column == "read right" else "left")
    for asks, group in rows.groupby("asks", sort=False):
        table.add_row(str(asks).replace("_", " "), f"{group['right'].mean():.1%}")
    for by, told, said in (("form", "organ", "with"), ("name", "understood", "as")):
        table.add_section()
        shares = groups[by].groupby(by, sort=False)["right"].mean()
        for value, share in shares[shares < 1].sort_values(kind="stable").items():
            misread = groups[by][(groups[by][by] == value) & ~groups[by]["right"]]
            table.add_row(str(value), f"{share:.1%}", f"{said} {', '.join(misread[told].unique())}")
    results.print(table)
