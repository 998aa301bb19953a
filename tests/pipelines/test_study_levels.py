"""What is asked of a study, levels and options: what can't be is refused before anything is trained."""

from __future__ import annotations

import math

import pytest

from corpus.errors import InputError
from pipelines.study import levels_of, run_study, studies
from pipelines.study_cases import Options


@pytest.mark.parametrize(
    ("tested", "says"),
    [
        (("nonsense",), "expected ADAPTER=FOLDER"),
        (("chaos=a", "chaos=b"), "expected each adapter once"),
        (("chaos=/no/such",), "/no/such"),
    ],
)
def test_a_further_source_is_opened_before_anything_is_trained(tested: tuple[str, ...], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Options(tested=tested)


@pytest.mark.parametrize(
    ("study", "options"),
    [("folds", Options(patients=2)), ("scaling", Options(minutes=3)), ("prompts", Options(patients=2))],
)
def test_an_option_of_another_study_is_refused(study: str, options: Options) -> None:
    with pytest.raises(InputError, match=f"found it beside {study}"):
        run_study(study, [], 1, True, options)


@pytest.mark.parametrize("minutes", [-3, 0, math.nan, math.inf])
def test_a_time_that_is_none_is_refused_before_anything_is_trained(minutes: float) -> None:
    with pytest.raises(InputError, match="--minutes: expected a time above 0"):
        Options(minutes=minutes)


def test_a_level_given_twice_is_trained_once() -> None:
    chosen = ["patients=0.5", "patients=0.50", "patients=5e-1", "texts=0.5"]
    assert [level.axis for level in levels_of(studies()["scaling"], chosen, 1)] == ["patients", "texts"]


@pytest.mark.parametrize(
    ("name", "level", "found"),
    [
        ("scaling", "patients=2", "patients: `dataset.limit`: patients and texts are shares"),
        ("scaling", "patients=abc", "patients: `dataset.limit.patients`: Input should be a valid number"),
        ("scaling", "patients=.nan", "found nan"),
        ("prompts", "words=[1, 2]", r"words: `dataset.limit.words`: .*found \[1, 2\]"),
        ("modality", "modality=XX", "modality must be one of CT, MR"),
        ("folds", "fold=3", "fold: `dataset.fold`: expected keys with values, found 3"),
        ("folds", "fold={of:3, test:1}", "`dataset.fold.of`: the key is missing, and nothing is called `of:3`"),
        ("folds", "fold={of: 3, test: 9}", "found 3 and 9"),
    ],
)
def test_a_level_that_no_stage_would_take_is_refused_before_anything_is_trained(
    name: str, level: str, found: str
) -> None:
    with pytest.raises(InputError, match=f"--levels: .*{found}") as refused:
        run_study(name, [level], 1, True, Options())
    assert refused.value.fix.startswith(f"such as {level.partition('=')[0]}=")
    assert levels_of(studies()[name], [refused.value.fix.removeprefix("such as ")], 1)


@pytest.mark.parametrize("level", ["patients=", "patients= ", "patients", "nobody=3"])
def test_a_level_has_an_axis_and_a_value(level: str) -> None:
    with pytest.raises(InputError, match="and a value, found"):
        levels_of(studies()["scaling"], [level], 1)


def test_a_level_that_is_no_yaml_is_named() -> None:
    with pytest.raises(InputError, match="expected YAML after patients="):
        levels_of(studies()["scaling"], ["patients={of: 5"], 1)


def test_folds_of_several_divisions_are_not_pooled() -> None:
    with pytest.raises(InputError, match="expected folds of one division, found folds of 2 and of 10"):
        levels_of(studies()["folds"], [f"fold={{of: {of}, test: 0}}" for of in (10, 2)], 1)
