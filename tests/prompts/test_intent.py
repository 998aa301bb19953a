"""Intents: what fits together, and what doesn't."""

from __future__ import annotations

from typing import Any

import pytest

from corpus.errors import InputError
from prompts.intent import ATTRIBUTES, POSITIONS, SIZES, Intent


def test_attributes_keep_their_order() -> None:
    assert ATTRIBUTES == ("leftmost", "rightmost", "topmost", "bottommost", "largest", "smallest")
    assert POSITIONS + SIZES == ATTRIBUTES


@pytest.mark.parametrize(
    ("fields", "target"),
    [
        ({"kind": "anatomy", "organ": "left kidney", "frame": "patient"}, "left kidney"),
        ({"kind": "position", "attribute": "leftmost"}, "leftmost"),
        ({"kind": "size", "attribute": "smallest"}, "smallest"),
        ({"kind": "none"}, None),
    ],
)
def test_valid_intents(fields: dict[str, Any], target: str | None) -> None:
    assert Intent(**fields).target == target


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"kind": "colour"}, "Intent.kind"),
        ({"kind": "anatomy", "frame": "patient"}, "Intent.organ"),
        ({"kind": "anatomy", "organ": "appendix", "frame": "patient"}, "Intent.organ"),
        ({"kind": "anatomy", "organ": "liver", "attribute": "largest", "frame": "patient"}, "Intent.attribute"),
        ({"kind": "anatomy", "organ": "liver", "frame": "image"}, "Intent.frame"),
        ({"kind": "position", "attribute": "largest"}, "Intent.attribute"),
        ({"kind": "position"}, "Intent.attribute"),
        ({"kind": "size", "attribute": "smallest", "organ": "liver"}, "Intent.organ"),
        ({"kind": "size", "attribute": "smallest", "frame": "patient"}, "Intent.frame"),
        ({"kind": "none", "attribute": "leftmost"}, "Intent.attribute"),
    ],
)
def test_invalid_intents_name_the_field(fields: dict[str, Any], where: str) -> None:
    with pytest.raises(InputError) as error:
        Intent(**fields)
    assert error.value.where == where
