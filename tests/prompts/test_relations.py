"""Pairwise relations against brute force, and what they mean."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pandas as pd
from hypothesis import given, settings

from corpus.anatomy import BY_NAME
from prompts.facts import competitors as competing_ids
from prompts.facts import position_leads, shapes
from prompts.relations import CONVERSES, RELATIONS, relation_margins, slice_relations, to_table
from tests.prompts.brute_force import Mask, agrees, competitors, masks
from tests.prompts.test_facts_properties import NAMES, scans

TOWARDS = {"left of": (1, -1), "right of": (1, 1), "above": (0, -1), "below": (0, 1)}


def margin(one: Mask, other: Mask, relation: str, spacing: tuple[Fraction, Fraction]) -> Fraction:
    """By how many mm both edges and the centre of `one` lie further towards a side than those of `other`."""
    axis, sign = TOWARDS[relation]
    near = one.edge(axis, sign) - other.edge(axis, sign)
    far = other.edge(axis, -sign) - one.edge(axis, -sign)
    return min(near, far, one.centre(axis, sign) - other.centre(axis, sign)) * spacing[axis]


@settings(max_examples=200, deadline=None)
@given(scans())
def test_every_relation_of_a_slice(scan: tuple[np.ndarray, tuple[float, float, float], set[str]]) -> None:
    label, spacing, labelled = scan
    exact_spacing = (Fraction(spacing[1]), Fraction(spacing[2]))
    found = shapes(label[0])
    order = competing_ids(found, {BY_NAME[name].id for name in labelled})
    expected = masks(label[0], NAMES, labelled)
    rivals = {name: expected[name] for name in competitors(set(expected), labelled)}
    assert {NAMES[o] for o in order} == set(rivals)
    competing = [found[o] for o in order]
    margins = relation_margins(competing, spacing[1:])
    rows = slice_relations(competing, spacing[1:])
    stored = {(row["organ"], row["relation"], row["other"]): row["margin_mm"] for row in rows}
    assert len(stored) == len(rows)
    for i, one in enumerate(order):
        for j, other in enumerate(order):
            for relation in TOWARDS:
                exact = margin(rivals[NAMES[one]], rivals[NAMES[other]], relation, exact_spacing)
                assert agrees(round(float(margins[relation][i, j]), 4), exact)
                key = (NAMES[one], relation, NAMES[other])
                if key in stored:
                    assert agrees(stored[key], exact)
                elif relation in CONVERSES:
                    assert exact <= Fraction(1, 20000)
    for stored_relation, converse in CONVERSES.items():
        assert np.array_equal(margins[stored_relation], margins[converse].T)


@settings(max_examples=100, deadline=None)
@given(scans())
def test_relations_follow_from_extremes_as_far_as_they_can(
    scan: tuple[np.ndarray, tuple[float, float, float], set[str]],
) -> None:
    """Who is left of all others leads them, so it is leftmost, by at least the smallest of its margins."""
    label, spacing, _ = scan
    found = list(shapes(label[0]).values())
    if len(found) < 2:
        return
    margins, leads = relation_margins(found, spacing[1:]), position_leads(found, spacing[1:])
    for relation, attribute in (
        ("left of", "leftmost"),
        ("right of", "rightmost"),
        ("above", "topmost"),
        ("below", "bottommost"),
    ):
        for i in range(len(found)):
            smallest = np.delete(margins[relation][i], i).min()
            assert leads[attribute][i] >= smallest - 1e-9


def test_what_reaches_round_another_is_on_no_side_of_it() -> None:
    label = np.zeros((20, 30), np.uint8)
    label[2:18, 2:20] = BY_NAME["liver"].id
    label[8:10, 10:14] = BY_NAME["gallbladder"].id
    label[8:10, 24:27] = BY_NAME["spleen"].id
    rows = slice_relations(list(shapes(label).values()), (1.0, 2.0))
    found = {(row["organ"], row["relation"], row["other"]): row["margin_mm"] for row in rows}
    assert found == {
        ("liver", "left of", "spleen"): 14.0,
        ("gallbladder", "left of", "spleen"): 26.0,
    }


def test_a_table_holds_the_schema_with_and_without_rows() -> None:
    row = {"slice_id": "s/v/0", "organ": "liver", "relation": "above", "other": "spleen", "margin_mm": 3.5}
    assert len(RELATIONS.validate(to_table([row]))) == 1
    assert RELATIONS.validate(pd.concat([to_table([]), to_table([row])])).dtypes.equals(to_table([]).dtypes)
