"""`flans study`: a question that takes several trainings, each a DVC experiment, and the curve that answers it.

report/study/<name>/study.csv    a row for every level and kind of request: Dice, its interval, NSD, understood, cases
report/study/<name>/study.png    the curve
report/study/<name>/cases/       one table a level
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import field
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml
from rich.table import Table

from corpus.errors import InputError
from corpus.params import PARAMS, load_params, params_dataclass, plain, read_yaml, validated
from model.studies.baselines import figures
from pipelines.experiments import Experiment, workspace_kept
from pipelines.reporting import records
from pipelines.runs import flat
from pipelines.sections import SECTIONS
from pipelines.stage import REPORT, results

if TYPE_CHECKING:
    from pipelines.study_cases import Options

STUDIES = Path(__file__).with_name("studies.yaml")
ALL = "all"
"""The level of the rows in which the cases of all folds are taken together."""
UNLIMITED = "any"
"""The level of a limit that isn't set."""


@params_dataclass
class Axis:
    """One parameter of a study."""

    set: str
    levels: tuple[Any, ...]
    called: str


@params_dataclass
class Study:
    """One entry of studies.yaml, which explains the keys."""

    asks: str
    axes: dict[str, Axis]
    until: str
    by: tuple[str, ...]
    lines: dict[str, tuple[str, ...]]
    always: dict[str, Any] = field(default_factory=dict)
    pooled: bool = False


@params_dataclass
class Level:
    """One value of one axis, and how often it was trained before."""

    axis: str
    value: Any
    repeat: int

    @property
    def text(self) -> str:
        """The value as the tables have it: of a fold, its number; of no limit, that there is none."""
        if self.value is None:
            return UNLIMITED
        return str(self.value["test"] if isinstance(self.value, dict) else self.value)


def studies() -> dict[str, Study]:
    """Every study by name."""
    return validated(read_yaml(STUDIES), dict[str, Study], STUDIES)


def levels_of(study: Study, chosen: list[str], repeats: int) -> list[Level]:
    """The levels to run, axis by axis.

    Args:
        chosen: As somebody typed them, "patients=0.5" or "fold={of: 2, test: 0}"; none for those of studies.yaml.

    Raises:
        InputError: One has no value, one that isn't YAML or that no stage would take, or an axis that the study lacks;
            or folds are of several divisions, whose test patients are in part the same.
    """
    asked = []
    for text in chosen:
        axis, _, value = text.partition("=")
        if axis not in study.axes or not value.strip():
            found = f"expected one of {', '.join(study.axes)} and a value, found {text!r}"
            raise InputError("--levels", found, f"such as {_example(study, next(iter(study.axes)))}")
        try:
            asked.append((axis, _as_read(study, axis, yaml.safe_load(value))))
        except yaml.YAMLError as error:
            raise InputError("--levels", f"expected YAML after {axis}=, but {error}", "correct the value") from None
    divisions = sorted({str(value["of"]) for _, value in asked if isinstance(value, dict)}, key=_place)
    if len(divisions) > 1:
        found = f"expected folds of one division, found folds of {' and of '.join(divisions)}"
        raise InputError("--levels", found, "choose those of one: a study of its own answers for each")
    asked = asked or [(axis, value) for axis in study.axes for value in study.axes[axis].levels]
    different = {(axis, json.dumps(value, sort_keys=True)): (axis, value) for axis, value in asked}
    return [Level(axis, value, repeat) for axis, value in different.values() for repeat in range(repeats)]


def _example(study: Study, axis: str) -> str:
    return f"{axis}={yaml.safe_dump(study.axes[axis].levels[0], default_flow_style=True).splitlines()[0]}"


def _as_read(study: Study, axis: str, value: Any) -> Any:
    """A level as its stage reads it, one way however it was typed: 0.5 for 5e-1.

    Raises:
        InputError: No stage would take it.
    """
    section, *path = study.axes[axis].set.split(".")
    load_params(section, SECTIONS[section])  # what was wrong there before is told so
    content = inside = read_yaml(PARAMS)[section]
    for part in path[:-1]:
        inside = inside.setdefault(part, {})
    inside[path[-1]] = value
    try:
        taken = plain(validated(content, SECTIONS[section], PARAMS, section))
    except InputError as error:
        raise InputError("--levels", f"{axis}: {error.problem}", f"such as {_example(study, axis)}") from None
    return reduce(dict.__getitem__, path, taken)


def experiment(name: str, study: Study, level: Level) -> Experiment:
    """The experiment of a level; repeats differ by every seed of training and of what it is limited to."""
    value = yaml.safe_dump(level.value, default_flow_style=True).replace("...", "")
    slug = re.sub(r"[^a-z0-9]+", "-", f"{name}-{level.axis}-{value}".lower()).strip("-")
    changes = {study.axes[level.axis].set: level.value} | study.always
    if level.repeat:
        slug += f"-repeat-{level.repeat}"
        known = [key for key in flat(read_yaml(PARAMS)) if re.fullmatch(r"train_\w+\.seed|dataset\.limit\.seed", key)]
        changes |= {key: 100 * level.repeat + place for place, key in enumerate(known)}
    return Experiment(slug, changes)


def run_study(name: str, chosen: list[str], repeats: int, dry_run: bool, options: Options) -> pd.DataFrame | None:
    """Run a study's experiments, and write its table and plot.

    Args:
        chosen: Levels, see `levels_of`.
        dry_run: Only print the commands.
        options: What only some studies look at.

    Returns:
        The table; None after a dry run.

    Raises:
        InputError: No such study or level, an option of another study, or an experiment failed.
    """
    if name not in studies():
        raise InputError("study", f"none is called {name}", f"choose from {', '.join(studies())}")
    options.check(name)
    study = studies()[name]
    levels = levels_of(study, chosen, repeats)
    if dry_run:
        for level in levels:
            print(experiment(name, study, level).command(study.until))
        return None
    from pipelines.study_cases import COLLECTORS

    out = REPORT / "study" / name
    tables = []
    with workspace_kept() as run:
        (out / "cases").mkdir(parents=True, exist_ok=True)
        for level in levels:
            planned = experiment(name, study, level)
            run(planned, study.until)
            cases = COLLECTORS[name](planned.name, out, options)
            cases = cases.assign(axis=level.axis, level=level.text, repeat=level.repeat)
            cases.to_parquet(out / "cases" / f"{planned.name}.parquet", index=False)
            tables.append(cases)
            summarise(study, pd.concat(tables, ignore_index=True)).to_csv(out / "study.csv", index=False)
    table = pd.read_csv(out / "study.csv", dtype={"level": str})
    draw(study, table, out / "study.png")
    return table


def summarise(study: Study, cases: pd.DataFrame) -> pd.DataFrame:
    """Figures by axis, level, repeat, the study's own columns, scan and kind; and how many requests were understood.

    A study that is `pooled` has rows of the level `ALL` too, with the cases of all its levels.
    """
    if study.pooled:
        cases = pd.concat([cases, cases.assign(level=ALL, read_by=cases["level"])], ignore_index=True)
    keys = ["axis", "level", "repeat", *study.by, "scan", "kind"]
    return figures(cases, keys)


def draw(study: Study, table: pd.DataFrame, path: Path) -> None:
    """Dice by level, one panel an axis, one line a group; bars are 95% intervals over patients.

    A level that a group lacks is a gap in its line. Levels without an order, such as folds, aren't joined by lines.
    """
    from matplotlib.figure import Figure

    table = _drawn(study, table)
    groups = {group: number for number, group in enumerate(_groups(study, table))}
    figure = Figure(figsize=(5.2 * len(study.axes) + 1.8, 4.2), layout="constrained")
    panels = figure.subplots(1, len(study.axes), sharey=True, squeeze=False)[0]
    lines: dict[str, Any] = {}
    for panel, (name, axis) in zip(panels, study.axes.items(), strict=True):
        rows = table[table["axis"] == name]
        levels = sorted(set(rows["level"]), key=_place)
        ordered = all(isinstance(level, int | float | None) for level in axis.levels)
        for group, line in _groups(study, rows).items():
            mean = line.groupby("level")[["dice", "dice_low", "dice_high"]].mean().reindex(levels)
            bars = [mean["dice"] - mean["dice_low"], mean["dice_high"] - mean["dice"]]
            # Side by side, so that no bar hides another.
            at = np.arange(len(levels)) + 0.06 * (groups[group] - (len(groups) - 1) / 2)
            style = {"marker": "o", "capsize": 3, "color": f"C{groups[group]}", "linestyle": "-" if ordered else "none"}
            lines[group] = panel.errorbar(
                at, mean["dice"], [each.fillna(0).clip(lower=0) for each in bars], label=group, **style
            )
        panel.set_xticks(range(len(levels)), levels)
        panel.set_xlim(-0.5, max(len(levels), 1) - 0.5)
        panel.set_xlabel(axis.called)
        panel.grid(alpha=0.3)
        if rows.empty:
            panel.text(0.5, 0.5, "not run", transform=panel.transAxes, ha="center", color="gray")
    panels[0].set_ylabel("macro Dice, 95% interval over patients")
    panels[0].set_ylim(0, 1)
    if lines:
        title, place = ", ".join(study.lines["by"]), {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
        panels[-1].legend(handles=[lines[group] for group in groups], title=title, frameon=False, **place)
    figure.suptitle(study.asks)
    figure.savefig(path, dpi=120)


def _drawn(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """The rows that a study's plot and printed table are of."""
    for key, values in study.lines.items():
        if key != "by":
            table = table[table[key].isin(values)]
    return table


def _groups(study: Study, rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What each line is called, and its rows."""
    return {", ".join(map(str, key)): group for key, group in rows.groupby(list(study.lines["by"]), sort=True)}


def _place(level: str) -> tuple[float, str]:
    """Sorts numbers by size, and words after them."""
    try:
        return float(level), level
    except ValueError:
        return math.inf, level


def show(name: str, table: pd.DataFrame) -> None:
    """Print what the plot shows, a table an axis, and where everything is. A column that is the same all over is said
    once, above them."""
    study = studies()[name]
    table = _drawn(study, table)
    columns = ["repeat", *study.by, "scan", "kind"]
    varied = [column for column in columns if table[column].nunique() > 1]
    same = [f"{column}: {table[column].iloc[0]}" for column in columns if table[column].nunique() == 1]
    results.print(f"[bold]{study.asks}[/] Macro Dice; {', '.join(same)}")
    for axis, rows in table.groupby("axis", sort=True):
        title = study.axes[str(axis)].called
        shown = Table(
            str(axis), *varied, "dice", "95% interval", "understood", "cases", title=title, title_justify="left"
        )
        for row in records(rows.sort_values("level", key=lambda levels: levels.map(_place), kind="stable")):
            interval = "" if pd.isna(row["dice_low"]) else f"{row['dice_low']:.3f}-{row['dice_high']:.3f}"
            understood = "" if pd.isna(row["understood"]) else f"{row['understood']:.3f}"
            told = [str(row[column]) for column in ("level", *varied)]
            shown.add_row(*told, f"{row['dice']:.3f}", interval, understood, f"{row['cases']:,}")
        results.print(shown)
    results.print(f"The same, for every kind of request: study.csv and study.png in {REPORT / 'study' / name}")
