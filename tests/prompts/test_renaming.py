"""Names are made one, and cues move with the words that they lie on."""

from __future__ import annotations

import pytest

from prompts.wording.cues import CUES, cues
from prompts.wording.renaming import as_read, renamed


def found(text: str) -> list[tuple[str, str, bool]]:
    """Words, what they point to, negated."""
    new, moved = renamed(text)
    return [(new[cue.start : cue.end], CUES[cue.number - 1], cue.negated) for cue in moved]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("isolate the food pipe", "isolate the esophagus"),
        ("Gaster minus the cyst", "stomach minus the cyst"),
        ("please annotate the RK for the registry", "please annotate the right kidney for the registry"),
        ("the gullet, not the gaster", "the esophagus, not the stomach"),
        ("outline left + right kidney", "outline kidney"),
        ("adrenal glands", "adrenal glands"),
        ("thank you", "thank you"),
        ("", ""),
    ],
)
def test_every_structure_has_one_name(text: str, expected: str) -> None:
    assert renamed(text)[0] == expected
    assert renamed(expected)[0] == expected, "a second time changes nothing"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("the organ furthest from the left edge of the image", "the organ nearest the right edge of the image"),
        ("the kidney farthest away from the right side of the slice", "the kidney nearest the left side of the slice"),
        ("whatever is most distant from the top, please", "whatever is nearest the bottom, please"),
        ("as far as possible from the bottom", "nearest the top"),
        ("at the greatest distance from the left-hand border", "nearest the right-hand border"),
        ("mark what is furthest from the left kidney", "mark what is furthest from the left kidney"),
        ("furthest from the left side of the liver", "furthest from the left side of the liver"),
        ("furthest to the left", "furthest to the left"),
    ],
)
def test_away_from_a_side_is_at_the_other(text: str, read: str) -> None:
    assert as_read(text) == renamed(text)[0] == read


def test_cues_lie_on_the_new_words() -> None:
    assert found("the gullet, not the gaster") == [("esophagus", "esophagus", False), ("stomach", "stomach", True)]
    words = found("whatever is largest, be it large gut or liver")
    assert ("largest", "largest", False) in words
    assert words[-2:] == [("colon", "colon", False), ("liver", "liver", False)]


def test_a_cue_within_a_name_covers_it() -> None:
    """ "Large" of "large gut" hints at a size; the name comes after it, and counts."""
    assert [which for _, which, _ in found("the large gut")] == ["largest", "colon"]
    assert {words for words, _, _ in found("the large gut")} == {"colon"}


def test_the_words_between_stay_as_they_are() -> None:
    text = "Left kidney (not the RK!) and  the bag that food drops into when I swallow"
    new, moved = renamed(text)
    assert new == "left kidney (not the right kidney!) and  the stomach"
    assert len(moved) == len(cues(text))
    assert all(0 <= cue.start < cue.end <= len(new) for cue in moved)
