"""What the report's sections share: checked reading of files, words and figures as text, curves, and the template."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pyarrow
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from corpus.errors import InputError
from corpus.params import load_params
from prompts.kinds import kinds
from prompts.splits import SPLITS
from prompts.targets import ABSENT

TEMPLATES = Path(__file__).with_name("templates")
SCANS = {
    "original": "scans as they lie",
    "transformed": "the same scans turned or mirrored",
    "rotated": "some of the scans rotated by an angle",
}
"""How the scans lie that a figure is of, in words."""
LYING = {"original": "as they lie", "transformed": "turned or mirrored", "rotated": "rotated"}
"""The same, short enough to head a column."""
WORDED = {
    "anatomy_where_named": "in words that the vocabulary knows",
    "anatomy_where_described": "that describe it in others",
    "anatomy_where_understood": "that were understood",
}
"""The requests by name that are counted once more."""
TRANSFORMS = {
    "identity": "as it lies",
    "rot90": "turned 90° anticlockwise",
    "rot180": "turned 180°",
    "rot270": "turned 90° clockwise",
    "flip": "mirrored left to right",
    "flip_rot90": "mirrored, then turned 90° anticlockwise",
    "flip_rot180": "mirrored, then turned 180°",
    "flip_rot270": "mirrored, then turned 90° clockwise",
}
"""The elements of model.groups, in words."""
FOLDERS = re.compile(r"(?<![\w.~:/])/(?:(?:[^/\s'\"<>:]|:(?=[^\s/]))+(?: [^/\s'\"<>:,]+)*/)+")
"""The folders of an absolute path: they name a machine and its users, and differ between machines. A folder's name may
hold spaces, so that words between a path and a later "/" may be taken for one."""


def asked_for() -> dict[str, str]:
    """The kinds of request, in words."""
    return {kind.name: kind.title for kind in kinds().values()} | {ABSENT: "not in the slice", "none": "nothing asked"}


def about_rotated() -> str:
    """What the figures of rotated scans rest on, and don't."""
    params = load_params("evaluate", dict)
    share, limit = percent(params["rotated"], 0), f"{params['degrees']:g}°"
    return (
        f"Only {share} of the slices are rotated, by up to {limit} to either side: fewer cases than where scans lie "
        "otherwise, and of other slices, so that a small difference says little."
    )


def beside_names(figures: dict[str, Any]) -> str:
    """Kind by kind the mean Dice over cases, and of the same masks asked for by name.

    Args:
        figures: Of one way to show slices, as metrics.json has them.
    """
    pairs = {title: figures.get(kind, {}) for kind, title in asked_for().items()}
    shown = [
        f"{title} {found['case_dice']:.3f} / {found['case_dice_by_name']:.3f}"
        for title, found in pairs.items()
        if "case_dice" in found
    ]
    return f"Means over cases, and over the same masks asked for by name: {', '.join(shown)}." if shown else ""


def about_absent(volume: dict[str, Any]) -> str:
    """How often an organ that a whole volume doesn't show was left out.

    Args:
        volume: The figures of whole volumes, with absent ones, as metrics.json has them.
    """
    absent = volume[ABSENT]
    right = round(absent["empty"] * absent["cases"])
    return (
        f"Of {absent['cases']} cases in which no slice of a volume shows the organ ({volume['volumes']} volumes), "
        f"{right} got no mask on any slice; a single false pixel counts as a miss."
    )


def require(path: Path, stage: str) -> Path:
    """The path itself.

    Raises:
        InputError: Nothing is there.
    """
    if not path.exists():
        raise InputError(path, "expected an output of an earlier stage, found none", f"run `dvc repro {stage}`")
    return path


def read_json(path: Path, stage: str, keys: Collection[str] = ()) -> dict[str, Any]:
    """A JSON object that has at least `keys`.

    Raises:
        InputError: The file is missing, unreadable or lacks a key.
    """
    text = require(path, stage).read_text(encoding="utf-8")
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InputError(path, f"expected JSON, but {error}", f"run `dvc repro {stage}`") from None
    _demand(path, stage, keys, content if isinstance(content, dict) else ())
    return cast(dict[str, Any], content)


def read_table(path: Path, stage: str, columns: Collection[str]) -> pd.DataFrame:
    """A Parquet, CSV or TSV table that has at least `columns`.

    Raises:
        InputError: The file is missing, unreadable or lacks a column.
    """
    require(path, stage)
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            # Only an empty cell is a missing value: a request may read "NA". In DVCLive's curves "nan" is one, too.
            separator, missing = ("\t", ["", "nan"]) if path.suffix == ".tsv" else (",", [""])
            names = {"volume": str, "source": str}  # a volume may be called 0005
            table = pd.read_csv(path, sep=separator, keep_default_na=False, na_values=missing, dtype=names)
    except (ValueError, OSError, pyarrow.ArrowException) as error:
        raise InputError(path, f"expected a table, but {error}", f"run `dvc repro {stage}`") from None
    _demand(path, stage, columns, table.columns)
    return table


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows, each a dict by column."""
    return cast(list[dict[str, Any]], table.to_dict("records"))


def _demand(path: Path, stage: str, wanted: Collection[str], found: Collection[str]) -> None:
    if missing := [name for name in wanted if name not in found]:
        raise InputError(path, f"expected {', '.join(missing)}, found {', '.join(found)}", f"run `dvc repro {stage}`")


def read_png(path: Path, stage: str) -> str:
    """A picture as a data URI.

    Raises:
        InputError: The file is missing.
    """
    return "data:image/png;base64," + base64.b64encode(require(path, stage).read_bytes()).decode("ascii")


def known(value: Any) -> Any | None:
    """The value, or None for a missing one."""
    return None if value is None or (isinstance(value, float) and math.isnan(value)) else value


def figure(value: float | None, digits: int = 3) -> str:
    """A figure with so many decimals; a dash where there is none."""
    return "–" if known(value) is None else f"{value:,.{digits}f}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share from 0 to 1 in percent."""
    return "–" if share is None or known(share) is None else f"{100 * share:.{digits}f}%"


def without_folders(text: str) -> str:
    """The text with an ellipsis for the folders of every absolute path in it."""
    return FOLDERS.sub("…/", text)


@dataclass(frozen=True)
class Curve:
    """A learning curve, ready to be drawn: all coordinates are in the units of a picture of WIDTH x HEIGHT."""

    name: str
    lines: dict[str, str]
    """train, val -> the points of a polyline."""
    last: dict[str, float]
    """train, val -> the value at the last step."""
    steps: int
    y_ticks: list[tuple[float, str]]
    x_ticks: list[tuple[float, str]]

    WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 320, 170, 40, 306, 10, 144


def curve(name: str, tables: dict[str, pd.DataFrame]) -> Curve:
    """The curve of one metric.

    Args:
        name: The metric's name, and its column's.
        tables: train, val -> columns step and `name`.
    """
    values = [float(v) for table in tables.values() for v in table[name] if math.isfinite(v)]
    steps = [int(s) for table in tables.values() for s in table["step"]]
    x_ticks = ticks(0, max(steps, default=1))
    # A share is drawn on the whole of its scale, so that a small step doesn't look like a leap.
    share = name == "dice" or name.endswith("accuracy")
    y_ticks = [0.0, 0.5, 1.0] if share else ticks(min([0.0, *values]), max([0.0, *values]))
    x_top, bottom, top = max([*x_ticks, *steps]), y_ticks[0], y_ticks[-1]

    def x(step: float) -> float:
        return round(Curve.LEFT + step / x_top * (Curve.RIGHT - Curve.LEFT), 1)

    def y(value: float) -> float:
        return round(Curve.BOTTOM - (value - bottom) / (top - bottom) * (Curve.BOTTOM - Curve.TOP), 1)

    lines = {
        split: " ".join(f"{x(s)},{y(v)}" for s, v in zip(table["step"], table[name], strict=True) if math.isfinite(v))
        for split, table in tables.items()
    }
    last = {split: float(table[name].iloc[-1]) for split, table in tables.items() if len(table)}
    return Curve(
        name,
        lines,
        last,
        max(steps, default=0),
        [(y(tick), f"{tick:g}") for tick in y_ticks],
        [(x(tick), f"{tick:g}") for tick in x_ticks],
    )


def ticks(low: float, high: float, most: int = 4) -> list[float]:
    """At most `most` + 2 round numbers, evenly spaced, whose range holds `low` and `high`."""
    span = (high - low) or 1.0
    size = 10.0 ** math.floor(math.log10(span / most))
    size *= next(factor for factor in (1, 2, 5, 10) if span / (size * factor) <= most)
    first, last = math.floor(low / size), math.ceil((low + span) / size)
    return [round(number * size, 10) for number in range(first, last + 1)]


def round_robin(groups: Sequence[Sequence[Any]], most: int) -> list[Any]:
    """The first item of every group, then the second of every group, until there are `most`."""
    in_turn = sorted((rank, number) for number, group in enumerate(groups) for rank in range(len(group)))
    return [groups[number][rank] for rank, number in in_turn[:most]]


def render(page: dict[str, Any], template: str = "report.html.j2") -> str:
    """The page's HTML; what comes from files is escaped.

    Args:
        page: What the template names, by section.
        template: Its file in `TEMPLATES`.
    """
    loader = FileSystemLoader(TEMPLATES)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"figure": figure, "percent": percent, "known": known}
    environment.globals |= {
        "ASKED": asked_for(),
        "TRANSFORMS": TRANSFORMS,
        "SCANS": SCANS,
        "LYING": LYING,
        "WORDED": WORDED,
        "beside_names": beside_names,
        "SPLITS": SPLITS,
        "Curve": Curve,
    }
    return environment.get_template(template).render(page)
