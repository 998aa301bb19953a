"""Ranks, neighbours and members of pairs against brute force on random label maps, and what they mean."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings

from corpus.anatomy import BY_NAME
from prompts.intent import ATTRIBUTES, POSITIONS, RELATIONS, Intent
from prompts.kinds import kinds
from prompts.rules import RULES, Scene, answer, slice_answers
from tests.prompts.brute_force import DIRECTIONS, Mask, agrees, competitors, masks
from tests.prompts.test_facts_properties import NAMES, scans
from tests.prompts.test_relations import margin

Scan = tuple[np.ndarray, tuple[float, float, float], set[str]]


def at_rank(own: Fraction, others: list[Fraction], rank: int) -> Fraction:
    """By how much `own`, where more is better, comes right after `rank - 1` others and before the rest."""
    ordered = sorted(others, reverse=True)
    gaps = [own - worse for worse in ordered[rank - 1 : rank]] + [better - own for better in ordered[: rank - 1][-1:]]
    return min(gaps)


def squared_gap(one: Mask, other: Mask, spacing: tuple[Fraction, Fraction]) -> Fraction:
    y, x = spacing
    return min(((a - c) * y) ** 2 + ((b - d) * x) ** 2 for (a, b), (c, d) in product(one.points, other.points))


def scene_of(scan: Scan) -> tuple[Scene, dict[str, Mask], tuple[Fraction, Fraction]]:
    label, spacing, labelled = scan
    scene = Scene(label[:1], spacing[1:], {BY_NAME[name].id for name in labelled})
    expected = masks(label[0], NAMES, labelled)
    rivals = {name: expected[name] for name in competitors(set(expected), labelled)}
    return scene, rivals, (Fraction(spacing[1]), Fraction(spacing[2]))


@settings(max_examples=100, deadline=None)
@given(scans())
def test_who_comes_second_or_third(scan: Scan) -> None:
    scene, rivals, spacing = scene_of(scan)
    for attribute, rank in product(ATTRIBUTES, (1, 2, 3)):
        kind = "position" if attribute in POSITIONS else "size"
        found = answer(scene, Intent(kind, None, attribute, rank=rank))  # type: ignore[arg-type]
        if len(rivals) <= rank:
            assert found is None or found.margin == 0
            continue
        truth = {}
        for name, mask in rivals.items():
            others = [other for each, other in rivals.items() if each != name]
            if attribute in POSITIONS:
                axis, sign = DIRECTIONS[attribute]
                edges = at_rank(Fraction(mask.edge(axis, sign)), [Fraction(o.edge(axis, sign)) for o in others], rank)
                centres = at_rank(mask.centre(axis, sign), [o.centre(axis, sign) for o in others], rank)
                truth[name] = min(edges, centres) * spacing[axis]
            else:
                sizes = sorted((len(o.points) for o in others), reverse=attribute == "largest")
                ratios = [Fraction(len(mask.points), sizes[rank - 1])]
                ratios += [Fraction(sizes[rank - 2], len(mask.points))] if rank > 1 else []
                truth[name] = min(r if attribute == "largest" else 1 / r for r in ratios)
        assert found
        assert agrees(found.margin, truth[NAMES[found.organ]])
        assert agrees(found.margin, max(truth.values())), "nobody has that place more clearly"


@settings(max_examples=100, deadline=None)
@given(scans())
def test_who_is_nearest_on_one_side(scan: Scan) -> None:
    scene, rivals, spacing = scene_of(scan)
    for anchor, relation in product(rivals, RELATIONS):
        there = {
            name: (margin(mask, rivals[anchor], relation, spacing), squared_gap(mask, rivals[anchor], spacing))
            for name, mask in rivals.items()
            if name != anchor
        }
        lying = {name: gap for name, (lies, gap) in there.items() if lies > 0}
        found = answer(scene, Intent("relation", anchor, relation=relation))
        if not lying:
            assert found is None
            continue
        assert found
        best = NAMES[found.organ]
        assert lying[best] == min(lying.values())
        lead = [
            max(-float(lies), float(gap) ** 0.5 - float(lying[best]) ** 0.5)
            for name, (lies, gap) in there.items()
            if name != best
        ]
        assert found.margin == pytest.approx(min(float(there[best][0]), *lead, float("inf")), abs=1e-9)


def picture(*blocks: tuple[str, int, int, int, int]) -> np.ndarray:
    label = np.zeros((1, 40, 60), np.uint8)
    for name, row0, row1, col0, col1 in blocks:
        label[0, row0:row1, col0:col1] = BY_NAME[name].id
    return label


EVERY = range(1, 25)


def organ(scene: Scene, intent: Intent) -> str | None:
    found = answer(scene, intent)
    return NAMES[found.organ] if found else None


def test_neighbours_of_one_organ_and_of_a_union() -> None:
    label = picture(
        ("liver", 10, 30, 2, 20),
        ("right kidney", 12, 20, 24, 30),
        ("aorta", 14, 20, 33, 37),
        ("left kidney", 12, 20, 40, 46),
    )
    scene = Scene(label, (1.0, 1.0), EVERY)
    assert organ(scene, Intent("relation", "aorta", relation="left of")) == "right kidney"
    assert organ(scene, Intent("relation", "aorta", relation="right of")) == "left kidney"
    assert organ(scene, Intent("relation", "kidney", relation="left of")) == "liver"
    assert organ(scene, Intent("relation", "liver", relation="left of")) is None
    assert organ(scene, Intent("relation", "spleen", relation="left of")) is None
    found = answer(scene, Intent("relation", "aorta", relation="left of"))
    assert found
    assert found.margin == 7.0, "its right edge is so far left; the liver is further away by more than that"


def test_who_almost_lies_there_makes_the_answer_unclear() -> None:
    label = picture(("liver", 20, 30, 20, 40), ("stomach", 2, 8, 20, 40), ("spleen", 12, 21, 41, 46))
    found = answer(Scene(label, (1.0, 1.0), EVERY), Intent("relation", "liver", relation="above"))
    assert found
    assert NAMES[found.organ] == "spleen"
    assert found.margin == 8.0
    label[0, 12:30, 41:46] = BY_NAME["spleen"].id  # as far down as the liver: not above it, but nearly
    found = answer(Scene(label, (1.0, 1.0), EVERY), Intent("relation", "liver", relation="above"))
    assert found
    assert (NAMES[found.organ], found.margin) == ("stomach", 0.0)


def test_a_member_of_a_pair_by_the_side_of_the_picture() -> None:
    both = picture(("right kidney", 10, 20, 5, 15), ("left kidney", 10, 20, 45, 55))
    left, right = (Intent("anatomy", "kidney", a, "image") for a in ("leftmost", "rightmost"))
    for label, first, last in ((both, "right kidney", "left kidney"), (both[..., ::-1], "left kidney", "right kidney")):
        scene = Scene(label, (1.0, 2.0), EVERY)
        assert (organ(scene, left), organ(scene, right)) == (first, last)
        assert answer(scene, left) == (BY_NAME[first].id, 80.0)
    alone = Scene(picture(("right kidney", 10, 20, 5, 15)), (1.0, 1.0), EVERY)
    assert (organ(alone, left), organ(alone, right)) == ("right kidney", None)
    glands = Scene(
        picture(("left adrenal gland", 1, 9, 2, 9), ("right adrenal gland", 1, 9, 40, 49)), (1.0, 1.0), EVERY
    )
    mirrored = Intent("anatomy", "right adrenal gland", "leftmost", "image")
    assert organ(glands, mirrored) == "left adrenal gland", "under a mirrored display the answer is the other member"


def test_an_answer_counts_only_where_it_is_one() -> None:
    label = picture(("liver", 2, 20, 2, 20), ("spleen", 2, 20, 40, 58))
    found = {(row["kind"], row["target"]): row["organ"] for row in slice_answers(Scene(label, (1.0, 1.0), EVERY))}
    assert ("position", "topmost") not in found
    assert not [key for key in found if key[0] == "ordinal"], "of two, neither is the second of several"
    assert found["relation", "right of liver"] == "spleen"
    assert {kind for kind, _ in found} <= set(kinds())
    assert {kind.rule for kind in kinds().values()} <= set(RULES)
