"""What words point to, sides that stand apart from their nouns among it."""

from __future__ import annotations

import pytest

from corpus.anatomy import BY_NAME
from prompts.wording.cues import CUES, PICTURES, UNSIDED, cues, unsided


def structures(text: str) -> set[str]:
    """What a text's cues that aren't extremes or relations point to."""
    return {CUES[cue.number - 1] for cue in cues(text) if CUES[cue.number - 1] in (*BY_NAME, *UNSIDED)}


@pytest.mark.parametrize(
    ("text", "organ"),
    [
        ("FHL", "left head of femur"),
        ("caput femoris dex., no margin", "right head of femur"),
        ("LKID", "left kidney"),
        ("rt adr please", "right adrenal gland"),
        ("OESO for the mean dose", "esophagus"),
        ("Bldr, empty", "bladder"),
        ("V_Portal", "portal vein and splenic vein"),
        ("v. cava inf.", "inferior vena cava"),
        ("A_Aorta", "aorta"),
    ],
)
def test_codes_and_abbreviations_name_a_structure(text: str, organ: str) -> None:
    assert structures(text) == {organ}


@pytest.mark.parametrize(
    ("text", "organ"),
    [
        ("kidney, the one on the left please", "left kidney"),
        ("class = adrenal gland, side = R", "right adrenal gland"),
        ("segment(class='kidney', side='L')", "left kidney"),
        ("phaeo on the right, delineate that adrenal", "right adrenal gland"),
        ("?AVN left hip, delineate the femoral head", "left head of femur"),
        ("of the kidneys on screen, the kidney on the patient\u2019s left", "left kidney"),
        ("L renal outline", "left kidney"),
        ("not the left one but the right adrenal", "right adrenal gland"),
        ("the kidney that is not on the left", "right kidney"),
        ("not the left femoral head but the other", "right head of femur"),
        ("Contour one kidney for me. Which? The right.", "right kidney"),
        ("L. femur head", "left head of femur"),
        ("adrenal gland && !left", "right adrenal gland"),
        ("side != right, organ = kidney", "left kidney"),
        ("hip ball - anything but the right one", "left head of femur"),
        ("el riñón del lado derecho", "right kidney"),
        ("nadledvina vlevo", "left adrenal gland"),
        ("правая почка", "right kidney"),
        ("tête fémorale, côté gauche", "left head of femur"),
    ],
)
def test_a_side_is_found_where_it_stands(text: str, organ: str) -> None:
    assert organ in structures(text)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("The right kidney is finished. Do its fellow.", "left kidney"),
        ("they took the left femoral head out, show me the remaining one", "right head of femur"),
        ("no no, you keep giving me the right adrenal! the other!", "left adrenal gland"),
    ],
)
def test_where_one_of_a_pair_is_named_other_words_speak_of_the_other(text: str, other: str) -> None:
    assert other in structures(text)


def test_a_side_in_another_sentence_must_speak_of_nothing_else() -> None:
    assert structures("Right hip replaced in 2011. Please outline the kidney.") == {"kidney"}
    assert structures("The left kidney is small and the other organs are normal.") == {"left kidney"}


@pytest.mark.parametrize(
    ("text", "cue"),
    [
        ("the kidney on the left of the picture", "kidney"),
        ("the adrenal gland displayed on the right of the screen", "adrenal gland"),
        ("both kidneys, left and right", "kidney"),
        ("the femoral head nearer the leftmost edge", "head of femur"),
    ],
)
def test_the_pictures_side_is_not_the_patients(text: str, cue: str) -> None:
    assert structures(text) == {cue}


def of_the_picture(text: str) -> list[str]:
    """The words that make a text's sides the picture's."""
    return [text[cue.start : cue.end].strip() for cue in cues(text) if CUES[cue.number - 1] == PICTURES]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the kidney on the left of the picture", "of the picture"),
        ("the adrenal in the right half of the screenshot", "half of the screenshot"),
        ("viewport half: right, kidney", "viewport half:"),
        ("crop_side=left; crop_frame=viewport; kidney", "crop_frame=viewport"),
        ("the viewer's right kidney", "viewer's"),
        ("image-left femoral head", "image-"),
        ("from where I sit, kidney on the left", "from where I sit"),
        ("the left kidney as displayed, not as labelled", "as displayed"),
    ],
)
def test_words_that_make_a_side_the_pictures_are_found(text: str, words: str) -> None:
    assert words in of_the_picture(text)


@pytest.mark.parametrize(
    "text",
    [
        "the left kidney on the monitor",
        "monitor: left kidney",
        "display left kidney",
        "the right adrenal as seen on this slice",
        "as you see on the display, there is a left kidney",
        "the left kidney from my CT",
        "in the picture, the left femoral head",
        "kidney on the left",
        "the bladder at the bottom of the screen",
        "write the kidney on the screen",
    ],
)
def test_a_picture_beside_a_name_leaves_its_side_the_patients(text: str) -> None:
    assert of_the_picture(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "left + right kidney",
        "left and right kidney",
        "the left and the right kidney",
        "L/R kidney",
        "R + L kidney",
        "kidneys, left and right",
        "kidneys (left and right)",
        "kidneys L+R",
        "the kidneys on the left and right",
        "both my kidneys, left and right",
        "union of left kidney and right kidney",
        "left_kidney | right_kidney",
        "mask = kidney_left + kidney_right",
    ],
)
def test_two_sides_of_a_pair_with_one_name_are_both_of_it(text: str) -> None:
    assert structures(text) == {"kidney"}


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("both adrenal glands", "adrenal gland"),
        ("adrenals", "adrenal gland"),
        ("heads of the femurs", "head of femur"),
        ("the adrenal gland near the liver", "adrenal gland"),
        ("right adrenal gland", None),
        ("adrenal, the left one", None),
        ("left adrenal gland, not the right adrenal gland", None),
        ("both kidneys", None),
        ("the liver", None),
    ],
)
def test_a_pair_without_a_name_for_both_is_told_from_one_of_it(text: str, pair: str | None) -> None:
    assert unsided(text) == pair


@pytest.mark.parametrize(
    ("text", "cued"),
    [
        ("left kidney, right adrenal", {"left kidney", "right adrenal gland"}),
        ("left and right renal artery", set()),
        ("both adrenal glands", {"left adrenal gland", "right adrenal gland"}),
        ("the stress gland on both sides", {"adrenal gland"}),
        ("left + right kidney, not the spleen", {"kidney", "spleen"}),
    ],
)
def test_other_sides_are_not_both_of_one_pair(text: str, cued: set[str]) -> None:
    assert structures(text) == cued
