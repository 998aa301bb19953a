"""The robustness card: how much an answer depends on how the question is put and on how the picture was taken.

Some slices are asked again under one change at a time. `dice` says how good the answers are at a level of a factor,
`consistency` how much they are those of the level that changes nothing (the first of a factor; of paraphrases the
median, of lengths the sentence): the mean Dice between the two answers to the same question, whatever the truth; two
empty masks agree.

    paraphrase  the best, the median and the worst of several held-out requests for the same mask
    typo        slips of the fingers in the text
    length      a word, a phrase, a sentence (`prompts.complexity`); that sentence behind three of a case ("paragraph")
    style       who asks; held against the first style
    negation    a structure by its name, and by what it isn't
    absent      organs that are there; organs that aren't, where only an empty mask is right
    d4, angle   the picture turned or mirrored, and rotated; places are asked for in the new picture's words
    noise, shift, resolution   HU of noise, HU added, and how many times larger a pixel is

Each slice is posed by itself here, whatever `evaluate.pose` says: the card is of pictures that come alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from model.groups import IDENTITY, NAMES, ORDER
from model.testing.asked import read_texts, reads
from model.testing.evaluation import Trial
from model.testing.grading import Grader
from model.testing.metrics import dice
from model.testing.perturbations import PICTURES, RobustnessParams, paragraph, with_typos
from model.testing.statistics import bootstrap_interval
from model.testing.views import View, as_it_lies, rotated, turned
from prompts.complexity import COMPLEXITIES, complexity
from prompts.kinds import styles
from prompts.targets import ABSENT

COLUMNS = ["factor", "level", "kind", "dice", "dice_low", "dice_high", "consistency", "understood", "cases"]
REFERENCE = {"paraphrase": "median", "length": "sentence"}
"""Factor -> the level that answers are held against, where it isn't the first."""
UNPAIRED = ("absent",)
"""Factors whose levels don't ask for the same."""


@dataclass(frozen=True)
class _Question:
    """One sample of a slice, put under one condition."""

    factor: str
    level: str
    place: int
    """The sample's index: questions with the same one ask for the same."""
    sample: Mapping[Hashable, Any]
    text: str
    """A prompt id, or a text that is still to be read."""


@dataclass(frozen=True)
class _Slice:
    """A chosen slice: one sample for each of its targets, and what is asked in other words."""

    row: int
    patient: str
    view: View
    asked: list[_Question]
    made: list[_Question]
    """Whose texts aren't held-out ones but were made of them."""


def robustness(
    trial: Trial, sources: Collection[str] | None = None, advance: Callable[[int], None] = lambda n: None
) -> pd.DataFrame:
    """Fill the card.

    Args:
        sources: Those whose slices are changed; None: all.
        advance: Called with the number of slices done since.

    Returns:
        `COLUMNS`, a row for each factor, level and kind, and one for all kinds: macro Dice with its interval over
        patients, consistency, the share of the requests that was understood, and the number of answers.
    """
    params = trial.params.robustness
    chosen = list(_chosen(trial, sources))
    new = sorted({question.text for each in chosen for question in each.made})
    made = replace(trial, prompts=read_texts(trial.segmenter, new)) if new else trial
    answers: list[dict] = []
    for each in chosen:
        grader = Grader(each.view.label, each.view.spacing)
        found = _spread(_ask(trial, each.view, each.asked, grader))
        found += _ask(made, each.view, each.made, grader)
        unchanged = _ask(trial, each.view, _as_shown(each.view), grader)
        found += [row | {"factor": factor, "level": level} for factor, level in _unchanged(params) for row in unchanged]
        for factor, level, view in _pictures(trial, each):
            grade = grader if view.label is each.view.label else Grader(view.label, view.spacing)
            rows = _ask(trial, view, _as_shown(view), grade)
            found += [row | {"factor": factor, "level": level} for row in rows]
        answers += [answer | {"patient": each.patient} for answer in _compared(found)]
        advance(1)
    return _card(pd.DataFrame(answers), params)


def _chosen(trial: Trial, sources: Collection[str] | None) -> Iterator[_Slice]:
    data, prompts, seed = trial.data, trial.prompts, trial.params.seed
    nothing = [p for p in prompts.pools.get(("none", "none"), ()) if prompts.text(p).endswith(".")]
    cases = [prompts.text(p) for p in nothing if complexity(prompts.text(p)) == "sentence"]
    for row in data.some(trial.params.robustness.slices, sources):
        info = data.table.iloc[row]
        samples = data.by_slice[info["slice_id"]].drop_duplicates(["kind", "target"]).reset_index(drop=True)
        rng = np.random.Generator(np.random.PCG64([seed, row]))
        questions = [
            question
            for place, sample in enumerate(samples.to_dict("records"))
            for question in _worded(trial, place, sample, cases, rng)
        ]
        asked, made = ([q for q in questions if (q.text in prompts.row) == held_out] for held_out in (True, False))
        yield _Slice(row, info["patient"], as_it_lies(*data.read(row), info, samples), asked, made)


def _worded(
    trial: Trial, place: int, sample: Mapping[Hashable, Any], cases: list[str], rng: np.random.Generator
) -> Iterator[_Question]:
    """One sample in all sorts of words.

    Args:
        cases: Sentences that ask for nothing.
    """
    prompts, params = trial.prompts, trial.params.robustness
    own, kind = sample["prompt_id"], sample["kind"]

    def question(factor: str, level: object, text: str) -> _Question:
        return _Question(factor, str(level), place, sample, text)

    if kind in ("anatomy", ABSENT):
        yield question("absent", "absent" if kind == ABSENT else "present", own)
    if kind == ABSENT:
        return
    pool = list(dict.fromkeys(map(str, rng.permutation(prompts.pools[kind, sample["target"]]))))
    for number, prompt in enumerate(pool[: params.paraphrases]):
        yield question("paraphrase", number, prompt)
    for style in styles():
        yield from (question("style", style, p) for p in [p for p in pool if prompts.styles[p] == style][:1])
    lengths = {length: [p for p in pool if complexity(prompts.text(p)) == length][:1] for length in COMPLEXITIES[:-1]}
    yield from (question("length", length, p) for length, found in lengths.items() for p in found)
    if cases:
        told = (paragraph(cases, prompts.text(p), rng) for p in lengths["sentence"])
        yield from (question("length", "paragraph", text) for text in told)
    for count in params.typos:
        yield question("typo", count, with_typos(prompts.text(own), count, rng) if count else own)
    if kind == "anatomy" and (negated := prompts.pools.get(("negated", sample["target"]))):
        yield question("negation", "plain", own)
        yield question("negation", "negated", negated[rng.integers(len(negated))])


def _unchanged(params: RobustnessParams) -> list[tuple[str, str]]:
    """(factor, level) of every way to leave a picture as it is."""
    return [("d4", NAMES[IDENTITY])] + [(name, f"{getattr(params, name)[0]:g}") for name in ("angle", *PICTURES)]


def _pictures(trial: Trial, each: _Slice) -> Iterator[tuple[str, str, View]]:
    """(factor, level, view) of every change to a picture."""
    params = trial.params.robustness
    rng = np.random.Generator(np.random.PCG64([trial.params.seed, each.row, 1]))
    for element in range(1, ORDER):
        yield "d4", NAMES[element], turned(each.view, element, trial.prompts, rng)
    if each.view.square_pixels:
        for degrees in params.angle[1:]:
            yield "angle", f"{degrees:g}", rotated(each.view, degrees, trial.targets)
    for factor, change in PICTURES.items():
        for level in getattr(params, factor)[1:]:
            yield factor, f"{level:g}", replace(each.view, image=change(each.view.image, level, rng))


def _as_shown(view: View) -> list[_Question]:
    """What a view asks, organs that aren't there left out."""
    rows = view.samples[view.samples["kind"] != ABSENT]
    pairs = zip(rows.index, rows.to_dict("records"), strict=True)
    return [_Question("", "", int(place), sample, sample["prompt_id"]) for place, sample in pairs]


def _ask(trial: Trial, view: View, questions: list[_Question], grade: Grader) -> list[dict]:
    """Each question's answer and its Dice."""
    if not questions:
        return []
    asked = list(dict.fromkeys(question.text for question in questions))
    answer = trial.segmenter.segment(view.image[None], trial.prompts.of(asked), among=view.labelled)
    masks, rows = view.judged(answer.masks[:, 0]), []
    for question in questions:
        p, sample = asked.index(question.text), question.sample
        row = {"factor": question.factor, "level": question.level, "place": question.place, "kind": sample["kind"]}
        row |= {"organ": sample["organ"], "dice": dice(masks[p], grade.truth(sample["organ"]).mask)}
        row["understood"] = reads(answer.request.understood[p].intent, sample["kind"], sample["target"])
        rows.append(row | {"mask": masks[p], "view": view})
    return rows


def _spread(rows: list[dict]) -> list[dict]:
    """Of the paraphrases for each sample the median, the best and the worst."""
    kept = [row for row in rows if row["factor"] != "paraphrase"]
    for place in dict.fromkeys(row["place"] for row in rows):
        same = [row for row in rows if (row["factor"], row["place"]) == ("paraphrase", place)]
        same.sort(key=lambda row: row["dice"])
        if len(same) > 1:
            levels = (("median", same[(len(same) - 1) // 2]), ("best", same[-1]), ("worst", same[0]))
            kept += [row | {"level": level} for level, row in levels]
    return kept


def _compared(rows: list[dict]) -> Iterator[dict]:
    """The rows, each with its consistency (NaN where nothing corresponds) instead of its mask."""
    levels = REFERENCE | {"style": next(iter(styles()))}
    for row in rows:
        levels.setdefault(row["factor"], row["level"])
    reference = {(row["factor"], row["place"]): row for row in rows if row["level"] == levels[row["factor"]]}
    for row in rows:
        other, consistency = reference.get((row["factor"], row["place"])), math.nan
        if other and other["organ"] == row["organ"] and row["factor"] not in UNPAIRED:
            consistency = dice(row["mask"], row["view"].carried(other["mask"][None])[0])
        yield {key: value for key, value in row.items() if key not in ("mask", "view")} | {"consistency": consistency}


def _card(answers: pd.DataFrame, params: RobustnessParams) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for factor, level in _order(params):
        chosen = answers[(answers["factor"] == factor) & (answers["level"] == level)]
        for kind, group in [("all", chosen), *chosen.groupby("kind", sort=True)]:
            if len(group):
                low, high = bootstrap_interval(group["dice"], group["patient"], group["organ"])
                figures = {
                    "dice": group.groupby("organ")["dice"].mean().mean(),
                    "dice_low": low,
                    "dice_high": high,
                    "consistency": group["consistency"].mean(),
                    "understood": group["understood"].mean(),
                }
                rows.append({"factor": factor, "level": level, "kind": kind} | figures | {"cases": len(group)})
    return pd.DataFrame(rows, columns=COLUMNS).round(4)


def _order(params: RobustnessParams) -> list[tuple[str, str]]:
    """(factor, level) in the order in which the card lists them."""
    levels: dict[str, tuple[object, ...]] = {
        "paraphrase": ("median", "best", "worst"),
        "typo": params.typos,
        "length": COMPLEXITIES,
        "style": tuple(styles()),
        "negation": ("plain", "negated"),
        "absent": ("present", "absent"),
        "d4": NAMES,
        **{name: tuple(f"{level:g}" for level in getattr(params, name)) for name in ("angle", *PICTURES)},
    }
    return [(factor, str(level)) for factor, found in levels.items() for level in found]
