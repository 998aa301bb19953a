"""Slices, volumes and the robustness card, measured with a segmenter that knows the answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from corpus.anatomy import BY_NAME
from model.testing.drawing import draw_examples
from model.testing.evaluation import Evaluated, EvaluateParams, Trial, evaluate
from model.testing.grading import Grader
from model.testing.metrics import METRICS, case_metrics
from model.testing.perturbations import RobustnessParams, noise, paragraph, resolution, shift, with_typos
from model.testing.robustness import COLUMNS, robustness
from model.testing.views import as_it_lies, rotated
from prompts.complexity import complexity
from prompts.facts import mask_of
from prompts.targets import TargetParams
from tests.model.oracle import Data, Oracle, body, held_out, texts

CARD = RobustnessParams(
    slices=3,
    paraphrases=3,
    typos=(0, 1),
    angle=(0, 20),
    noise=(0, 10),
    shift=(0, 20),
    resolution=(1, 2),
)
PARAMS = EvaluateParams(
    seed=0, turned=7, pose="volume", rotated=1.0, degrees=30.0, robustness=CARD, examples=1, picture_px=64
)
TARGETS = TargetParams(position_margin_mm=2.0, size_ratio=1.25, min_area_mm2=10.0, absent=1)
EMPTY = np.zeros((48, 40), np.uint8)
SAMPLES = [
    (0, "anatomy", "liver", "liver"),
    (0, "anatomy", "left kidney", "left kidney"),
    (0, "position", "leftmost", "liver"),
    (0, "position", "bottommost", "left kidney"),
    (0, "absent", "right kidney", "right kidney"),
    (2, "anatomy", "spleen", "spleen"),
]


def trial(oracle: Oracle, params: EvaluateParams = PARAMS) -> Trial:
    prompts = held_out(oracle)
    data = Data([body(), EMPTY, body()], SAMPLES, prompts)
    return Trial(oracle, data, prompts, params, TARGETS)  # type: ignore[arg-type]


def run(oracle: Oracle, params: EvaluateParams = PARAMS) -> Evaluated:
    return evaluate(trial(oracle, params))


@pytest.fixture(scope="module")
def known() -> Evaluated:
    return run(Oracle(texts()))


def test_who_knows_the_answer_scores_1_however_the_slice_is_turned(known: Evaluated) -> None:
    cases = known.cases
    exact = cases[cases["transform"] != "rotated"]
    assert exact["transform"].nunique() == 8
    assert (exact[["dice", "nsd", "nsd_1mm"]] == 1).all(axis=None)
    assert (exact["hd95"] == 0).all()
    assert exact["understood_right"].all()
    assert not exact.duplicated(["slice_id", "transform", "kind", "target", "prompt_id"]).any()
    as_it_lay = exact[exact["transform"] == "identity"]
    assert (as_it_lay.groupby(["slice_id", "kind", "target"]).size() == 2).all(), "both paraphrases are asked"
    turned = exact[(exact["transform"] == "rot90") & (exact["kind"] == "position")]
    assert set(turned["target"]) == {"bottommost", "rightmost"}, "places are asked for in the turned picture's words"
    same = exact.groupby(["slice_id", "organ"])["truth"].nunique()
    assert (same == 1).all(), "answers are judged by the untouched mask"


def test_a_rotated_slice_is_judged_by_the_mask_that_was_rotated_along(known: Evaluated) -> None:
    tilted = known.cases[known.cases["transform"] == "rotated"]
    assert tilted["degrees"].between(-30, 30).all()
    assert (tilted["degrees"] != 0).all()
    assert tilted["dice"].between(0.8, 1).all(), "the oracle sees borders blurred by the one resampling, and no more"
    assert set(tilted["kind"]) >= {"anatomy", "absent"}


def test_an_example_shows_the_answer_that_was_judged(known: Evaluated, tmp_path: Path) -> None:
    """Asked for again among the labelled organs: the oracle sees to it."""
    asked = trial(Oracle(texts()))
    places = known.cases[(known.cases["kind"] == "position") & (known.cases["transform"] != "rotated")]
    chosen = places.groupby("transform", sort=True).head(1).assign(group="worst")
    draw_examples(chosen, asked.segmenter, asked.data, asked.prompts, tmp_path, PARAMS.picture_px)
    assert len(list(tmp_path.glob("*-worst.png"))) == len(pd.read_csv(tmp_path / "examples.csv")) == len(chosen) == 8


def test_places_are_found_anew_in_a_rotated_slice() -> None:
    oracle = Oracle(texts())
    data = Data([body()], [s for s in SAMPLES if s[0] == 0], held_out(oracle))
    upright = as_it_lies(*data.read(0), data.table.iloc[0], data.samples.drop_duplicates(["kind", "target"]))
    level = rotated(upright, 25.0, TARGETS)
    asked = level.samples.set_index(["kind", "target"])["organ"]
    assert asked["position", "leftmost"] == "liver"
    assert set(level.samples.index) <= set(upright.samples.index)
    strict = rotated(upright, 25.0, replace(TARGETS, position_margin_mm=99.0))
    assert "position" not in set(strict.samples["kind"]), "what isn't clear any more isn't asked"
    assert {"anatomy", "absent"} <= set(strict.samples["kind"])
    masks = np.stack([mask_of(data.labels[0], BY_NAME["liver"].id)])
    assert (level.carried(masks)[0] == mask_of(level.label, BY_NAME["liver"].id)).all()
    assert upright.square_pixels
    assert not replace(upright, spacing=(0.8, 1.2)).square_pixels


def test_a_volume_is_its_slices_in_the_scans_own_spacing(known: Evaluated) -> None:
    volumes = known.volumes.set_index("organ")
    assert (volumes["dice"] == 1).all()
    assert volumes["kind"].to_dict() == {
        "liver": "anatomy",
        "spleen": "anatomy",
        "left kidney": "anatomy",
        "right kidney": "absent",
    } | ({"kidney": "anatomy"} if "kidney" in volumes.index else {})
    # 20 x 10 pixels of 1 mm2 in two slices of 5 mm.
    assert volumes.loc["liver", ["truth_ml", "answer_ml", "slices"]].tolist() == [2.0, 2.0, 3]


def test_a_false_mask_where_the_organ_is_not_counts_against_the_volume_alone() -> None:
    found = run(Oracle(texts(), sees_too_much="right kidney"), replace(PARAMS, turned=0, rotated=0.0))
    lies = found.cases.set_index(["slice_id", "kind", "organ"])["dice"]
    assert (lies.drop(index="absent", level="kind") == 1).all()
    assert (lies.xs("absent", level="kind") == 0).all()
    row = found.volumes.set_index("organ").loc["right kidney"]
    assert (row["kind"], row["dice"], row["nsd"]) == ("absent", 0, 0)
    assert np.isnan(row["hd95"])
    assert row["answer_ml"] == pytest.approx(3 * 9 * 5 / 1000), "the empty slice is asked, too"

    worse = run(Oracle(texts(), sees_too_much="liver"), replace(PARAMS, turned=0, rotated=0.0)).volumes
    # Stored slices lie at z 0, 2 and 4: the stack is five deep, and what wasn't stored is empty.
    truth, answer = np.zeros((5, 48, 40), bool), np.zeros((5, 48, 40), bool)
    for z, label in ((0, body()), (2, EMPTY), (4, body())):
        truth[z] = answer[z] = label == BY_NAME["liver"].id
        answer[z, :3, :3] = True
    expected = case_metrics(answer, truth, (5.0, 1.0, 1.0), "liver")
    row = worse.set_index("organ").loc["liver"]
    assert {name: row[name] for name in METRICS} == pytest.approx(expected, abs=1e-4)


def test_a_mask_is_measured_once_and_says_where_it_lies() -> None:
    grade = Grader(body(), (1.0, 1.0))
    liver = grade.truth("liver")
    assert grade(liver.mask, "liver") is grade(liver.mask.copy(), "liver")
    assert grade(liver.mask, "spleen")["dice"] == 0
    assert (liver.row["area_mm2"], liver.row["region"]) == (200.0, "middle left")
    assert grade.truth("left kidney").row["region"] == "bottom center"
    assert grade.truth("right kidney").row["region"] == ""
    assert Grader(body(), (1.0, 2.0)).truth("liver").row["truth"] != liver.row["truth"]


@pytest.fixture(scope="module")
def card() -> pd.DataFrame:
    return robustness(trial(Oracle(texts())))


def test_the_card_has_every_factor_and_level(card: pd.DataFrame) -> None:
    assert list(card) == COLUMNS
    levels = card.groupby("factor", sort=False)["level"].unique().map(list).to_dict()
    assert levels["paraphrase"] == ["median", "best", "worst"]
    assert levels["typo"] == ["0", "1"]
    assert levels["length"] == ["word", "phrase", "sentence"], "no case is held out, so that there is no paragraph"
    assert levels["style"] == ["expert", "trainee", "lay"]
    assert levels["negation"] == ["plain", "negated"]
    assert levels["absent"] == ["present", "absent"]
    assert len(levels["d4"]) == 8
    assert (levels["angle"], levels["noise"], levels["shift"], levels["resolution"]) == (
        ["0", "20"],
        ["0", "10"],
        ["0", "20"],
        ["1", "2"],
    )
    assert (card.groupby(["factor", "level"])["kind"].first() == "all").all()


def test_who_knows_the_answer_is_consistent_where_nothing_is_lost(card: pd.DataFrame) -> None:
    every = card[card["kind"] == "all"].set_index(["factor", "level"])
    for factor in ("paraphrase", "length", "style", "negation", "d4", "noise", "shift"):
        assert (every.loc[factor, ["dice", "consistency"]] == 1).all(axis=None), factor
    assert every.loc[("absent", "absent"), "dice"] == 1
    assert every.loc["absent", "consistency"].isna().all()
    assert 0.6 < every.loc[("resolution", "2"), "consistency"] < 1
    assert 0.8 < every.loc[("angle", "20"), "consistency"] < 1


def test_a_text_that_is_not_understood_shows() -> None:
    known = texts()
    oracle = Oracle(known)
    asked = trial(oracle)
    oracle.known = {text: intent for text, intent in known.items() if text != "liver"}
    found = robustness(replace(asked, prompts=replace(asked.prompts, request=oracle.read(list(known)))))
    spread = found[(found["factor"] == "paraphrase") & (found["kind"] == "anatomy")].set_index("level")
    assert spread.loc["worst", "dice"] < spread.loc["median", "dice"] == spread.loc["best", "dice"] == 1
    assert spread.loc["worst", "consistency"] < 1
    assert spread.loc["worst", "understood"] < 1


def test_the_card_is_of_the_sources_that_it_is_asked_for(card: pd.DataFrame) -> None:
    asked = trial(Oracle(texts()))
    asked.data.table["source"] = ["here", "here", "abroad"]
    answers = {
        where: robustness(asked, sources=where).query("factor == 'd4' and kind == 'all'")["cases"].iloc[0]
        for where in (("here",), ("abroad",), ("here", "abroad"))
    }
    assert 0 < answers["abroad",] < answers["here",]
    assert answers["here", "abroad"] == answers["here",] + answers["abroad",]
    assert answers["here", "abroad"] == card.query("factor == 'd4' and kind == 'all'")["cases"].iloc[0]


def test_what_is_done_to_pictures_and_texts() -> None:
    rng = np.random.default_rng(0)
    image = np.full((40, 40), 50, np.int16)
    assert noise(image, 20.0, rng).std() == pytest.approx(20, rel=0.1)
    assert (shift(image, -100, rng) == -50).all()
    assert shift(np.full((2, 2), 32760, np.int16), 100, rng).max() == 32767
    stripes = np.tile(np.array([0, 100], np.int16), (40, 20))
    assert resolution(stripes, 4, rng).std() < 10 < stripes.std()
    assert (resolution(image, 3, rng) == image).all()

    text = "please outline the liver"
    one, two = with_typos(text, 1, rng), with_typos(text, 2, rng)
    changed = [sum(a != b for a, b in zip(text.split(), other.split(), strict=True)) for other in (one, two)]
    assert changed == [1, 2]
    assert with_typos("the GB", 2, rng) == "the GB"
    told = paragraph(["Gallstones are seen.", "No free fluid is there."], "mark the liver", rng)
    assert complexity(told) == "paragraph"
    assert told.endswith(". Mark the liver.")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"typos": (1, 2)}, "typos must begin with 0"),
        ({"resolution": (2,)}, "resolution must begin with 1"),
        ({"noise": ()}, "noise must begin with 0"),
        ({"noise": (0, -5)}, "noise must be at least 0, but found -5"),
        ({"typos": (0, -1)}, "typos must be at least 0, but found -1"),
        ({"resolution": (1, 0.5)}, "resolution must be at least 1, but found 0.5"),
        ({"paraphrases": 1}, "paraphrases must be at least 2, but found 1"),
    ],
)
def test_a_card_needs_levels_that_change_nothing(change: dict, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        replace(CARD, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"turned": 8},
        {"rotated": 1.5},
        {"degrees": 60.0},
        {"degrees": 0.0},
        {"seed": -1},
        {"examples": -1},
        {"picture_px": 31},
    ],
)
def test_parameters_out_of_range_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(change))} must be"):
        replace(PARAMS, **change)
