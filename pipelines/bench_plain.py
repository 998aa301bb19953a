"""`flans bench plain`: whether the plainest requests are read alike, whatever structure they speak of."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich.table import Table

import model
from corpus.anatomy import ORGANS
from corpus.params import params_dataclass, read_yaml, validated
from model.inference import Segmenter
from pipelines.bench_language import read
from pipelines.stage import console

FORMS = Path(model.__file__).with_name("plain_requests.yaml")


@params_dataclass
class PlainForms:
    """`FORMS`: texts with {organ} in place of a structure's name."""

    asking: list[str]
    not_asking: list[str]


def bench_plain(checkpoint: Path) -> pd.DataFrame:
    """Read every form, filled with every structure's name.

    Returns:
        One row a text: form, organ, asks ("asking" or "not_asking"), understood (the organ, or "none"),
        confidence, right.

    Raises:
        InputError: There is no such checkpoint.
    """
    content = validated(read_yaml(FORMS), PlainForms, FORMS)
    rows = pd.DataFrame(
        [
            {"form": form, "organ": organ.name, "asks": asks}
            for asks, forms in vars(content).items()
            for form in forms
            for organ in ORGANS
        ]
    )
    texts = [form.replace("{organ}", organ) for form, organ in zip(rows["form"], rows["organ"], strict=True)]
    found = read(Segmenter.from_pretrained(checkpoint), texts)
    rows["understood"] = [each.intent.target or "none" for each in found]
    rows["confidence"] = [each.confidence for each in found]
    return rows.assign(right=rows["understood"] == rows["organ"].where(rows["asks"] == "asking", "none"))


def show(rows: pd.DataFrame) -> None:
    """Print the share that is read right of the texts that ask for a structure, of those that don't, and of each form
    that is misread with some structures, these by name."""
    table = Table(title=f"{rows['form'].nunique()} forms, {len(ORGANS)} structures each", title_justify="left")
    for column in ("", "read right", "misread with"):
        table.add_column(column, justify="right" if column == "read right" else "left")
    for asks, group in rows.groupby("asks", sort=False):
        table.add_row(str(asks).replace("_", " "), f"{group['right'].mean():.1%}")
    table.add_section()
    shares = rows.groupby("form", sort=False)["right"].mean()
    for form, share in shares[shares < 1].sort_values(kind="stable").items():
        misread = rows[(rows["form"] == form) & ~rows["right"]]
        table.add_row(str(form), f"{share:.1%}", ", ".join(misread["organ"]))
    console.print(table)
