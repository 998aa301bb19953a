"""Every part broken on purpose is the part that is named; a sound run is let alone."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch

from corpus.anatomy import N_ORGANS, ORGANS
from model.encoders.text import TokenEmbeddings
from model.flans import FLanS
from model.inference import Segmenter
from model.studies.diagnosis import Finding, agreement, confused, diagnose, load_thresholds, names_known, unlike
from model.texts import name_embeddings
from tests.model.test_flans import D4, PARAMS, Letters

NAMES = [organ.name for organ in ORGANS[:6]]
REQUESTS = 8
"""Of each organ."""


def sound() -> pd.DataFrame:
    """Cases of a run in which every part does its work; one request in 48 is misread."""
    rows = []
    for slice_, organ, number, transform in product(range(12), range(len(NAMES)), range(2), ("identity", "rot90")):
        name = NAMES[organ]
        request = (slice_ * 2 + number) % REQUESTS
        rows.append(
            {
                "slice_id": f"p{slice_ % 3}/{slice_:04d}",
                "patient": f"p{slice_ % 3}",
                "organ": name,
                "kind": "anatomy",
                "transform": transform,
                "prompt_id": f"{organ:08x}{request:08x}",
                "text": f"request {request} for the {name}",
                "target": name,
                "understood": NAMES[1] if (organ, request) == (0, 0) else name,
                "understood_right": (organ, request) != (0, 0),
                "area_mm2": 400.0 + slice_,
                "dice": 0.85 + organ / 100,
                "hd95": 3.0,
            }
        )
    return pd.DataFrame(rows).assign(style="lay", confidence=0.9, pose_right=True, pose_sure=True, nsd=0.9, nsd_1mm=0.8)


def verdicts(cases: pd.DataFrame, names: float = 1.0) -> dict[str, Finding]:
    return {finding.part: finding for finding in diagnose(cases, names, load_thresholds())}


def at_fault(cases: pd.DataFrame, names: float = 1.0) -> list[str]:
    return [part for part, finding in verdicts(cases, names).items() if finding.verdict == "at fault"]


def misread(cases: pd.DataFrame, understood: dict[str, str]) -> pd.DataFrame:
    """Cases whose requests (by id) are understood as another organ, with no mask in the right place."""
    organ = cases["prompt_id"].map(understood).fillna(cases["understood"])
    right = organ == cases["organ"]
    return cases.assign(understood=organ, understood_right=right, dice=cases["dice"].where(right, 0.0))


def test_a_sound_run_has_no_fault() -> None:
    assert {finding.verdict for finding in verdicts(sound()).values()} == {"sound"}


@pytest.mark.parametrize("of", ["all", "turned"])
def test_wrong_poses_are_the_canonicalizers(of: str) -> None:
    cases = sound()
    wrong = (cases["slice_id"].str[-1].astype(int) % 3 > 0) & ((cases["transform"] != "identity") | (of == "all"))
    broken = cases.assign(pose_right=~wrong, dice=cases["dice"].where(~wrong, 0.1))
    assert at_fault(broken) == ["canonicalizer"]
    found = verdicts(broken)["canonicalizer"]
    assert not found.worst["pose_right"].any()
    assert found.worst["slice_id"].is_unique
    assert any("where the pose was right, 0.100 else" in sentence for sentence in found.evidence)


def test_turned_scans_that_fare_worse_are_the_canonicalizers() -> None:
    """An identity canonicalizer on scans that it takes to be upright: nothing but the gap tells."""
    cases = sound()
    assert at_fault(cases.assign(dice=cases["dice"].where(cases["transform"] == "identity", 0.5))) == ["canonicalizer"]


def test_organ_names_that_mean_other_organs_are_the_text_encoders() -> None:
    cases = sound()
    shifted = dict(zip(NAMES, NAMES[1:] + NAMES[:1], strict=True))
    broken = misread(cases, dict(zip(cases["prompt_id"], cases["understood"].map(shifted), strict=True)))
    assert at_fault(broken) == ["text encoder"]
    found = verdicts(broken)
    assert found["intent head"].verdict == "can't be judged"
    assert any(f"{NAMES[2]} is taken for {NAMES[3]}" in sentence for sentence in found["text encoder"].evidence)
    assert len(found["text encoder"].worst) > 0


def test_unlike_answers_to_like_requests_are_the_intent_heads() -> None:
    cases = sound()
    rng = np.random.default_rng(0)
    requests = cases["prompt_id"].unique()
    broken = misread(cases, {p: NAMES[rng.integers(len(NAMES))] for p in requests[rng.random(len(requests)) < 0.5]})
    assert at_fault(broken) == ["intent head"]
    worst = verdicts(broken)["intent head"].worst
    assert (worst["like_understood"] != worst["understood"]).all()
    assert at_fault(broken, names=0.2) == ["text encoder"], "what the encoder garbles isn't the head's fault"


def test_one_answer_to_everything_is_the_intent_heads_too() -> None:
    cases = sound()
    assert at_fault(misread(cases, dict.fromkeys(cases["prompt_id"], NAMES[0]))) == ["intent head"]


def test_poor_masks_of_what_was_understood_are_the_image_encoders() -> None:
    assert at_fault(sound().assign(dice=0.2)) == ["image encoder"]


def test_one_organ_without_masks_is_the_image_encoders_too() -> None:
    """As where two queries of the organ head are exchanged: names aren't read as in training, but understood."""
    cases = sound()
    lost = cases["organ"] == NAMES[2]
    broken = cases.assign(dice=cases["dice"].where(~lost, 0.0))
    assert at_fault(broken, names=0.9 - 0.01) == ["image encoder"]
    found = verdicts(broken)["image encoder"]
    assert any(f"{NAMES[2]} 0.00 in 48 cases" in sentence for sentence in found.evidence)
    assert NAMES[2] in set(found.worst["organ"])
    few = broken[~lost | (cases["slice_id"].str.endswith("0000"))]
    assert at_fault(few) == [], "of 4 cases nothing is said"


def test_nothing_is_said_of_too_little() -> None:
    few = sound()
    few = few[few["slice_id"].str.endswith("0000") & (few["organ"] == NAMES[1])]
    assert {finding.verdict for finding in verdicts(few).values()} == {"can't be judged"}


def test_confusions_and_agreement_by_hand() -> None:
    counts = pd.DataFrame({"a": [1, 4, 0], "b": [4, 0, 0], "c": [0, 0, 5]}, index=["a", "b", "c"])
    assert confused(counts) == [("a", "b", 4), ("b", "a", 4)]
    # Pairs: a has 20 ordered ones of which 12 agree, b 12 of 12, c 20 of 20.
    assert agreement(counts) == pytest.approx((12 + 12 + 20) / (20 + 12 + 20))
    # c, too, is taken for b: who said b can't be told from the answer.
    counts.loc["c", ["b", "c"]] = [4, 0]
    assert confused(counts) == [("b", "a", 4)]


def test_a_mistake_stands_beside_a_like_request_that_was_read_right() -> None:
    requests = pd.DataFrame(
        [("1", "x", "a", "b"), ("2", "y", "a", "c"), ("3", "z", "a", "a")],
        columns=["prompt_id", "text", "wanted", "understood"],
    ).assign(confidence=[0.9, 0.8, 0.7], right=[False, False, True])
    assert unlike(requests)[["text", "like"]].to_numpy().tolist() == [["x", "z"], ["y", "z"]]


class Swapped(Letters):
    """An encoder to which a name is another's."""

    def encode(self, texts: list[str]) -> TokenEmbeddings:  # type: ignore[override]
        names = [organ.name for organ in ORGANS]
        swap = dict(zip(names, names[5:] + names[:5], strict=True))
        return super().encode([swap.get(text, text) for text in texts])


def test_the_model_remembers_the_names_that_it_was_made_with() -> None:
    torch.manual_seed(0)
    model = FLanS(PARAMS, D4, name_embeddings(Letters()))
    model.organ_head.names.data += 0.1 * torch.randn(N_ORGANS, PARAMS.dim)  # as training moves them
    assert names_known(Segmenter(model, Letters())) == 1
    assert names_known(Segmenter(model, Swapped())) == 0
