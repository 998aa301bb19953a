"""Two witnesses, one verdict: a wrong one is worse than none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from corpus.anatomy import N_ORGANS
from corpus.scans.pixel_pose import Answer, PixelPose
from model import judging
from model.canonicalizer import CanonicalizerParams, Pose
from model.flans import FLanS
from model.groups import IDENTITY, NAMES, ORDER, act_direction, compose, inverse
from model.judging import by_network, by_rules, together, verdict
from tests.model.test_flans import D4, TEXT_DIM
from tests.model.test_flans import PARAMS as FLANS

FLIP, TURN = NAMES.index("flip"), NAMES.index("rot90")
ALL = frozenset(range(ORDER))


def rules(element: int, back: bool = True, right: bool = True) -> PixelPose:
    """What the rules say of an upright scan turned by `element`, and what of it they are sure of."""
    return PixelPose(
        Answer(act_direction(element, "bottommost"), 1.0, back),
        Answer(act_direction(element, "leftmost"), 1.0, right),
        Answer("last", 0.0, False),
    )


@pytest.mark.parametrize("element", range(ORDER))
def test_the_rules_name_the_element_that_brings_a_scan_upright(element: int) -> None:
    assert by_rules(rules(element)) == {inverse(element)}
    halves = by_rules(rules(element, right=False))
    assert len(halves) == 2
    assert inverse(element) in halves
    assert by_rules(rules(element, back=False, right=False)) == ALL


@pytest.mark.parametrize("element", range(ORDER))
def test_what_the_rules_say_weighs_and_excludes_nothing(element: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def prior(found: PixelPose, slices: int = 24) -> list[float]:
        monkeypatch.setattr(judging, "pixel_pose", lambda *_: found)
        return judging.by_anatomy(np.zeros((slices, 4, 4), np.int16), (5.0, 1.0, 1.0)).tolist()

    upright = inverse(element)
    mirrored = compose(upright, FLIP)
    whole = prior(rules(element))
    assert whole[upright] == 0
    assert whole[mirrored] == -judging.MOST, "however large the margin"
    assert min(whole) == -2 * judging.MOST
    assert prior(rules(element), slices=6) == [p / 4 for p in whole], "a quarter of the trunk is seen"
    weak = replace(rules(element), right=Answer(act_direction(element, "leftmost"), 0.1, False))
    assert prior(weak)[mirrored] == pytest.approx(-0.1 * judging.TRUST)
    lost = prior(rules(element, back=False))
    assert lost[mirrored] == 0, "the side is told by the back"


def test_the_network_counts_only_where_it_is_sure() -> None:
    pose = Pose(torch.tensor([FLIP]), torch.zeros(1), torch.tensor([0.95]), torch.tensor([True]))
    assert by_network(pose) == {FLIP}
    assert by_network(replace(pose, sure=~pose.sure)) == ALL
    assert by_network(None) == ALL


@pytest.mark.parametrize(
    ("by_rule", "network", "on_its_own_source", "elsewhere"),
    [
        ({IDENTITY}, ALL, "agrees", "agrees"),
        ({IDENTITY}, {IDENTITY}, "agrees", "agrees"),
        ({FLIP}, {FLIP}, "contradicts", "contradicts"),
        ({FLIP}, {IDENTITY}, "unsure", "unsure"),
        ({IDENTITY}, {FLIP}, "unsure", "unsure"),
        ({IDENTITY, FLIP}, {IDENTITY}, "agrees", "unsure"),
        ({IDENTITY, FLIP}, {FLIP}, "contradicts", "unsure"),
        ({TURN, FLIP}, ALL, "contradicts", "contradicts"),
        (ALL, {FLIP}, "contradicts", "unsure"),
        (ALL, ALL, "unsure", "unsure"),
    ],
)
def test_what_two_witnesses_make_of_a_header(
    by_rule: set[int], network: set[int], on_its_own_source: str, elsewhere: str
) -> None:
    for familiar, expected in ((True, on_its_own_source), (False, elsewhere)):
        assert verdict(together(frozenset(by_rule), frozenset(network), familiar), None) == expected


def test_in_a_short_stack_the_rules_have_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    reversed_and_mirrored = replace(rules(FLIP), head=Answer("first", 1.0, True))
    monkeypatch.setattr(judging, "pixel_pose", lambda *_: reversed_and_mirrored)

    def judged(slices: int) -> judging.Judgement:
        return judging.judge(np.zeros((slices, 4, 4), np.int16), (5.0, 1.0, 1.0), None, familiar=False)

    whole, short = judged(24), judged(23)
    assert (whole.verdict, whole.elements, whole.reversed) == ("contradicts", {FLIP}, True)
    assert (short.verdict, short.elements, short.reversed) == ("unsure", ALL, None)
    assert short.rules == reversed_and_mirrored, "the margins are told all the same"


def test_of_another_modality_than_ct_the_rules_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "pixel_pose", lambda *_: replace(rules(FLIP), head=Answer("first", 1.0, True)))
    found = judging.judge(np.zeros((24, 4, 4), np.int16), None, None, familiar=False)
    assert (found.verdict, found.elements, found.reversed, found.rules) == ("unsure", ALL, None, None)


def test_a_canonicalizer_that_finds_no_pose_is_no_witness() -> None:
    def judged(canonicalizer: CanonicalizerParams) -> judging.Judgement:
        model = FLanS(FLANS, canonicalizer, torch.zeros(N_ORGANS, TEXT_DIM))
        return judging.judge(np.zeros((3, 32, 32), np.int16), (5.0, 1.0, 1.0), model, familiar=True)

    assert judged(D4).network is not None
    assert judged(replace(D4, kind="identity")).network is None


def test_reversed_slices_contradict_the_header() -> None:
    assert verdict(frozenset([IDENTITY]), True) == "contradicts"
    assert verdict(frozenset([IDENTITY]), False) == "agrees"
