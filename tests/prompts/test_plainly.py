"""What turns a request round is said plainly, and nothing else is touched."""

from __future__ import annotations

import pytest

from prompts.wording.plainly import plainly
from prompts.wording.renaming import as_read, renamed


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("the organ furthest from the left edge of the image", "the organ nearest the right edge of the image"),
        ("the kidney farthest away from the right side of the slice", "the kidney nearest the left side of the slice"),
        ("whatever is most distant from the top, please", "whatever is nearest the bottom, please"),
        ("as far as possible from the bottom", "nearest the top"),
        ("as far from the right border as possible", "nearest the left border"),
        ("at the greatest distance from the left-hand border", "nearest the right-hand border"),
        ("greatest distance to the top edge", "nearest the bottom edge"),
        ("the last organ from the left", "the first one from the right"),
        ("starting at the bottom, the final structure", "the first one from the top"),
        ("the penultimate organ from the top", "the second one from the bottom"),
        ("from left to right, the last one", "the first one from the right"),
        ("the last organ going right to left", "the first one from the left"),
        ("everything's bigger than it, find it", "it is smaller than all others, find it"),
        ("every other organ here is bigger than it. segment it", "it is smaller than all others. segment it"),
        ("all other organs are below it", "the topmost one"),
        ("every other structure lies to the left of this one", "the rightmost one"),
        ("the organ that everything else is above", "the organ the bottommost one"),
        ("everything else is tinier", "it is larger than all others"),
        ("the one that all others are bigger than", "the one that is smaller than all others"),
        ("the organ that has the pancreas above it", "the organ that is below the pancreas"),
        ("the organ with the liver to its left", "the organ right of the liver"),
        ("the aorta lies right of it in the picture", "it is left of the aorta in the picture"),
        ("the one the liver is below", "the one lies above the liver"),
        ("show what the spleen is left of", "show what lies right of the spleen"),
        ("not the organ above the liver but the one below it", "the one below the liver"),
        ("below the liver, no, above the liver", "above the liver"),
        ("the reverse of the largest one", "the smallest one"),
        ("the smallest, no, the largest", "the largest"),
        ("give me left not right: kidney", "give me left: kidney"),
        ("kidney \u2260 right", "kidney left"),
        ("the left of the two kidneys", "the left kidney"),
        ("left adrenal, right?", "left adrenal?"),
        ("the lower part of the left kidney", "the left kidney"),
    ],
)
def test_what_turns_a_request_round_is_said_plainly(text: str, plain: str) -> None:
    assert plainly(text) == plain
    assert plainly(plain) == plain, "a second time changes nothing"


@pytest.mark.parametrize(
    "text",
    [
        "mark what is furthest from the left kidney",
        "furthest from the left side of the liver",
        "furthest to the left",
        "the first organ from left to right",
        "everything else is below average",
        "the organ that has nothing above it",
        "the organ below the liver has a cyst above it",
        "the picture has the kidney on its left",
        "two organs are larger than it, all others smaller",
        "all the others are smaller than the liver",
        "how do you tell left from right?",
        "what lies to the left of the kidneys",
        "not left not right, but in the middle",
        "liver, no spleen",
        "the lower half of the picture",
        "at the upper edge of the liver",
        "first part of the small bowel",
        "thank you",
        "",
    ],
)
def test_other_texts_stay(text: str) -> None:
    assert plainly(text) == text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("stomach... I mean bladder", "bladder"),
        ("outline the liver - sorry, the spleen", "outline the spleen"),
        ("above the liver, no, the spleen", "above the spleen"),
        ("the left kidney? No, the right kidney.", "the right kidney."),
    ],
)
def test_what_is_taken_back_is_gone(text: str, plain: str) -> None:
    assert plainly(text) == plain


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("s/p left nephrectomy, contour the remaining kidney", "s/p left nephrectomy, contour the right kidney"),
        ("right THR years ago: femoral head", "right THR years ago: left head of femur"),
        ("I donated my left kidney, outline the kidney", "I donated my left kidney, outline the right kidney"),
        (
            "tumour in the left adrenal; outline the healthy adrenal",
            "tumour in the left adrenal; outline the right adrenal gland",
        ),
        ("left kidney removed, show the kidney", "left kidney removed, show the right kidney"),
    ],
)
def test_of_a_pair_the_other_is_meant(text: str, plain: str) -> None:
    assert plainly(text) == plain


@pytest.mark.parametrize(
    "text",
    [
        "planned left nephrectomy, outline the kidney",
        "left partial nephrectomy in 2010, kidney please",
        "solitary kidney on the left",
        "left flank pain after right nephrectomy, outline the kidney",
        "s/p left nephrectomy, outline the liver",
        "tumour in the left kidney, outline the kidney",
    ],
)
def test_where_neither_is_gone_or_both_sides_are_said_it_stays(text: str) -> None:
    assert plainly(text) == text


def test_the_reader_gets_plain_words_under_one_name() -> None:
    text = "everything that has the gaster above it"
    assert as_read(text) == renamed(text)[0] == "everything that is below the stomach"
