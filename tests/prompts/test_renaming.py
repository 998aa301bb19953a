"""Names are made one, and cues move with the words that they lie on."""

from __future__ import annotations

import pytest

from prompts.wording.cues import CUES, cues
from prompts.wording.renaming import renamed


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
        ("outline left + right kidney", "outline both kidneys"),
        ("renes, left flank pain", "kidneys, left flank pain"),
        ("the pair of kidneys", "the both kidneys"),
        ("adrenal glands", "adrenal glands"),
        ("thank you", "thank you"),
        ("", ""),
    ],
)
def test_every_structure_has_one_name(text: str, expected: str) -> None:
    assert renamed(text)[0] == expected
    assert renamed(expected)[0] == expected, "a second time changes nothing"


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
    text = "Left kidney (not the RK!) and: the bag that food drops into when I swallow"
    new, moved = renamed(text)
    assert new == "left kidney (not the right kidney!) and: the stomach"
    assert len(moved) == len(cues(text))
    assert all(0 <= cue.start < cue.end <= len(new) for cue in moved)
