"""From label values and named masks to organ ids."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from corpus.anatomy import BY_NAME
from corpus.scans.layouts.labels import StructureNames, gather, paint, relabel


def test_organ_ids_are_looked_up_without_a_larger_copy() -> None:
    raw = np.tile(np.arange(4, dtype=np.uint8), 1 << 18)
    tracemalloc.start()
    organs = relabel(raw, {1: "liver", 2: "spleen", 3: "tumour"}).organs
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert organs[:4].tolist() == [0, BY_NAME["liver"].id, BY_NAME["spleen"].id, 0]
    assert np.array_equal(organs, relabel(raw.astype(np.float32), {1: "liver", 2: "spleen", 3: "tumour"}).organs)
    assert peak < 4 * raw.nbytes


def test_a_kidney_without_a_side_leaves_the_sides_unknown() -> None:
    left, right, both = (BY_NAME[n].id for n in ("left kidney", "right kidney", "kidney"))
    names = {1: "left kidney", 2: "right kidney", 3: "kidney", 4: "liver"}
    unsided = relabel(np.array([0, 1, 3, 4]), names)
    assert unsided.organs.tolist() == [0, both, both, BY_NAME["liver"].id]
    assert unsided.labelled == {both, BY_NAME["liver"].id}
    sided = relabel(np.array([0, 1, 2, 4]), names)
    assert sided.organs.tolist() == [0, left, right, BY_NAME["liver"].id]
    assert sided.labelled >= {left, right}


def test_an_overlap_goes_to_the_smaller_organ() -> None:
    liver, gallbladder, spleen = (np.zeros((1, 1, 6), bool) for _ in range(3))
    liver[..., 0:4], gallbladder[..., 3:5], spleen[..., 4:6] = True, True, True
    for order in ([1, 12, 2], [2, 12, 1], [12, 1, 2]):
        masks = {1: liver, 12: gallbladder, 2: spleen}
        painted = paint((1, 1, 6), [(organ, masks[organ]) for organ in order]).ravel().tolist()
        first = order.index(12) < order.index(2)
        assert painted == [1, 1, 1, 12, 12 if first else 2, 2], "of equals, the first"


def test_both_sides_stand_for_the_pair() -> None:
    masks = {name: np.zeros((1, 1, 4), bool) for name in ("Kidneys", "kidney_left", "kidney_right")}
    masks["kidney_left"][..., :2], masks["kidney_right"][..., 2], masks["Kidneys"][...] = True, True, True
    left, right, both = (BY_NAME[n].id for n in ("left kidney", "right kidney", "kidney"))
    sides = gather(masks, masks.__getitem__, StructureNames(), (1, 1, 4))
    assert sides.organs.ravel().tolist() == [left, left, right, 0]
    assert sides.labelled == {left, right}
    del masks["kidney_right"]
    one = gather(masks, masks.__getitem__, StructureNames(), (1, 1, 4))
    assert one.organs.ravel().tolist() == [left, left, both, both]
    assert one.labelled == {left, both}


def test_a_datasets_own_names_come_before_the_vocabularys() -> None:
    naming = StructureNames(names={"KidneyL": "left kidney", "Liver": None}, parts={"lung": ["L", "R"]})
    assert naming.organs(["KidneyL", "Liver", "L", "Kidneys", "GTV"]) == {
        BY_NAME["left kidney"].id: ["KidneyL"],
        BY_NAME["kidney"].id: ["Kidneys"],
    }
    with pytest.raises(ValueError, match="lungg: expected organs"):
        StructureNames(names={"Lungs": "lungg"})


def test_a_datasets_own_names_may_come_in_capitals() -> None:
    naming = StructureNames(names={"A_Aorta": "aorta", "Liver": None}, parts={"lung": ["Lung_L", "Lung_R"]})
    assert naming.organs(["A_AORTA", "a_aorta", "LIVER", "LUNG_L", "lung_r", "LUNG_R"]) == {
        BY_NAME["aorta"].id: ["A_AORTA", "a_aorta"],
        BY_NAME["lung"].id: ["LUNG_L", "LUNG_R", "lung_r"],
    }
    assert [naming.uses(name) for name in ("LUNG_L", "A_AORTA", "LIVER", "SPLEEN")] == [True, True, False, True]
