"""What the facts mean, case by case; test_facts_properties.py holds their values against brute force."""

from __future__ import annotations

import numpy as np
import pandas as pd

from corpus.anatomy import BY_NAME
from prompts.facts import FACTS, mask_of, shapes, slice_facts, volume_facts
from prompts.rules import Scene, slice_answers
from prompts.targets import TargetParams, eligible

LIVER, SPLEEN, LEFT, RIGHT, BOTH = (BY_NAME[n].id for n in ("liver", "spleen", "left kidney", "right kidney", "kidney"))


def test_union_is_measured_but_does_not_compete() -> None:
    label = np.zeros((10, 20), np.uint8)
    label[2:5, 2:5], label[2:6, 14:18], label[8, 8:12] = RIGHT, LEFT, LIVER
    facts = {f["organ"]: f for f in slice_facts(shapes(label), (1.0, 1.0), {LIVER, LEFT, RIGHT})}
    assert facts["kidney"]["pixels"] == 9 + 16
    assert (facts["kidney"]["col0"], facts["kidney"]["col1"]) == (2, 18)
    assert np.isnan(facts["kidney"]["largest_ratio"])
    assert BOTH not in facts["liver"]["candidates"]
    assert "kidney" not in {f["organ"] for f in slice_facts(shapes(label), (1.0, 1.0), {LIVER, LEFT})}
    assert mask_of(label, BOTH).sum() == 25


def test_a_union_label_competes_where_its_parts_are_not_labelled() -> None:
    label = np.zeros((6, 12), np.uint8)
    label[1:3, 1:3], label[1:5, 7:11] = LIVER, BOTH
    facts = {f["organ"]: f for f in slice_facts(shapes(label), (1.0, 1.0), {LIVER, BOTH})}
    assert facts["kidney"]["largest_ratio"] == 4.0


def test_nobody_is_leftmost_where_edge_and_centre_disagree() -> None:
    label = np.zeros((8, 20), np.uint8)
    label[1, 0:19] = LIVER  # reaches furthest left, but its centre doesn't
    label[4:7, 1:4] = SPLEEN
    facts = slice_facts(shapes(label), (1.0, 1.0), {LIVER, SPLEEN})
    assert all(f["leftmost_mm"] < 0 for f in facts)


def table(label: np.ndarray, spacing: tuple[float, float] = (2.0, 2.0)) -> pd.DataFrame:
    keys = {"slice_id": "s/v/0", "source": "s", "patient": "s/p", "volume": "v"}
    return FACTS.validate(pd.DataFrame([keys | f for f in slice_facts(shapes(label), spacing, range(1, 25))]))


def test_only_clear_facts_become_targets() -> None:
    label = np.zeros((30, 60), np.uint8)
    label[10:20, 5:15], label[10:19, 40:50], label[25, 30] = RIGHT, LEFT, LIVER
    params = TargetParams(position_margin_mm=10, size_ratio=1.25, min_area_mm2=60, absent=0)
    answers = slice_answers(Scene(label[None], (2.0, 2.0), range(1, 25)))
    targets = eligible(table(label), pd.DataFrame(answers).assign(slice_id="s/v/0"), params)
    found = {(t.kind, t.target, t.organ) for t in targets.itertuples()}
    assert ("position", "leftmost", "right kidney") in found
    assert ("position", "rightmost", "left kidney") in found
    assert ("anatomy", "kidney", "kidney") in found
    assert ("displayed", "leftmost kidney", "right kidney") in found
    assert not {t for t in found if t[1] == "left of left kidney"}, "the speck is nearest, and gets no prompt"
    assert not {t for t in found if t[2] == "liver"}, "a mask of 4 mm2 gets no prompt"
    assert not {t for t in found if t[1] == "largest"}, "100 to 90 pixels is no clear winner"
    assert not {t for t in found if t[1] == "topmost"}, "both start in the same row"


def test_volume_facts_sum_slices() -> None:
    label = np.zeros((20, 20), np.uint8)
    label[2:6, 2:6], label[10:12, 10:12] = LIVER, SPLEEN
    both = pd.concat([table(label), table(label).assign(slice_id="s/v/1")])
    facts = volume_facts(both, {"v": 2.0 * 2.0 * 5.0}).set_index("organ")
    assert facts.loc["liver", "volume_mm3"] == 2 * 16 * 4 * 5
    assert facts.loc["liver", "slices"] == 2
    assert facts.loc["liver", "largest_ratio"] == 4.0
    assert facts.loc["spleen", "smallest_ratio"] == 4.0
