"""What a user should doubt of an answer is said, and nothing is said of ordinary requests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np

from model.canonicalizer import Pose, known_pose
from model.groups import IDENTITY, NAMES
from model.inference import Segmentation
from model.intent_head import Understanding
from model.judging import ANY, Judgement, verdict
from pipelines import doubts
from prompts.intent import Intent


def warnings_of(
    intent: Intent,
    slices: int,
    surest: float = 1.0,
    pose: Pose | None = None,
    found: str = "liver",
    prompt: str = "",
    asked: str | None = None,
    upside_down: bool = False,
    cut: bool = False,
    header: bool = True,
    empty: bool = False,
    upright: frozenset[int] = ANY,
    posed: bool = True,
) -> str:
    mask = np.ones((slices, 4, 4), bool)
    request = SimpleNamespace(
        understood=[Understanding(intent, 0.9)],
        prompts=(prompt,),
        asked=(prompt if asked is None else asked,),
        cut=(cut,),
    )
    result = SimpleNamespace(
        masks=mask[None],
        request=request,
        pose=pose or known_pose(IDENTITY),
        surest=np.array([surest]),
        organs=(found,),
    )
    answer = cast(Segmentation, result)
    judged = Judgement(verdict(upright, upside_down), upright, upside_down, None, None)
    return " ".join([*doubts.of_answer(0, answer, empty), *doubts.of_scan(answer, (), header, judged, posed)])


def test_what_a_user_should_doubt_is_said() -> None:
    liver, top = Intent("anatomy", "liver", None, "patient"), Intent("position", None, "topmost", "image")
    below, left = Intent("relation", "liver", None, relation="below"), Intent("position", None, "leftmost", "image")
    assert warnings_of(liver, 3) == warnings_of(left, 3) == warnings_of(top, 1) == ""
    for upright in (top, below):
        assert "not towards the head" in warnings_of(upright, 3)
    shown = Intent("anatomy", "kidney", "leftmost", "image")
    assert "the picture's left, not the patient's: this is the patient's right kidney" in warnings_of(
        shown, 3, found="right kidney"
    )
    adrenal = Intent("anatomy", "right adrenal gland", None, "patient")
    for intent in (adrenal, liver, Intent("none")):
        assert "One adrenal gland can be asked for at a time" in warnings_of(intent, 3, prompt="both adrenel glands")
    assert "doesn't read as a request" not in warnings_of(Intent("none"), 3, prompt="the adrenal glands")
    assert "doesn't read as a request" in warnings_of(Intent("none"), 3, prompt="good morning")
    assert warnings_of(liver, 3, prompt="the liver, which pushes the adrenal down") == ""
    assert warnings_of(adrenal, 3, prompt="the right adrenal gland") == ""
    lung, largest = Intent("anatomy", "lung", None, "patient"), Intent("size", None, "largest", "image")
    for prompt in ("left lung", "right-sided lungs", "lung, on the left"):
        assert "all of the lung" in warnings_of(lung, 3, prompt=prompt)
    for prompt in ("Lt lung", "L lung", "lung_L", "left lung, not the right lung", "lung r"):
        assert "all of the lung" in warnings_of(lung, 3, prompt=prompt), prompt
    for prompt in (
        "lungs, both",
        "the left and right lungs",
        "lungs right now",
        "where r the lungs",
        "left + right lung",
    ):
        assert warnings_of(lung, 3, prompt=prompt) == ""
    spleen = Intent("anatomy", "spleen", None, "patient")
    assert warnings_of(spleen, 3, prompt="left upper quadrant lymphoid organ") == ""
    displayed = Intent("anatomy", "right adrenal gland", "leftmost", "image")
    assert "at a time" not in warnings_of(displayed, 3, prompt="the leftmost adrenal gland")
    assert "at a time" not in warnings_of(adrenal, 3, prompt="the right one of the two adrenal glands")
    assert "The kidney is named" in warnings_of(largest, 3, prompt="the largest kidney")
    assert warnings_of(largest, 3, prompt="the largest kidney", found="left kidney") == ""
    assert warnings_of(largest, 3, prompt="the largest structure") == ""
    assert "its surest pixel has 97.50%, over 99.9% where" in warnings_of(liver, 3, surest=0.975)
    assert warnings_of(liver, 1, surest=0.975) == "", "a slice says less than a volume"
    assert "fell between the scan's oblong pixels" in warnings_of(liver, 3, surest=0.975, empty=True)
    assert "flip brings it upright" in warnings_of(liver, 3, pose=known_pose(NAMES.index("flip")))
    mirrored = warnings_of(liver, 1, pose=known_pose(NAMES.index("flip")), header=False)
    assert "The picture looks turned or mirrored" in mirrored
    assert "R and L are drawn accordingly" in mirrored
    assert "only its beginning and its end" in warnings_of(liver, 3, cut=True)
    assert "Pose unsure (taken to lie as the header says)" in warnings_of(
        liver, 3, pose=known_pose(IDENTITY, sure=False)
    )
    unsure = known_pose(NAMES.index("flip"), sure=False)
    assert "Pose unsure (best guess: flip)" in warnings_of(liver, 1, pose=unsure, header=False)
    assert "from head to feet" in warnings_of(liver, 3, upside_down=True)


def test_what_the_rules_of_anatomy_say_is_said_where_the_pose_is_unsure() -> None:
    liver, unsure = Intent("anatomy", "liver", None, "patient"), known_pose(IDENTITY, sure=False)
    mirrored = frozenset([NAMES.index("flip")])
    for posed in (True, False):
        said = warnings_of(liver, 3, pose=unsure, upright=mirrored, posed=posed)
        assert "The pixels contradict the header: the scan looks turned or mirrored." in said
        assert "contradict" not in warnings_of(liver, 3, pose=unsure, posed=posed)
        assert ("not judged, as the model has no canonicalizer" in said) != posed
    assert warnings_of(liver, 3, upright=mirrored) == "", "the canonicalizer is sure, and has weighed what they say"


def test_what_a_text_asks_for_beyond_what_was_understood_is_said() -> None:
    largest, second = Intent("size", None, "largest"), Intent("size", None, "largest", rank=2)
    for prompt in (
        "the largest organ that is not the liver",
        "the biggest except the liver",
        "excluding my liver, the largest",
    ):
        assert "No structure is left out: this is the largest one of all." in warnings_of(largest, 3, prompt=prompt)
    assert warnings_of(largest, 3, prompt="not the smallest, the largest") == "", "no structure is named"
    for prompt in ("skip the liver, then the largest", "the largest, but the liver"):
        assert "No structure is left out" in warnings_of(largest, 3, prompt=prompt)
    for prompt in (
        "largest organ at the fourth lumbar vertebra",
        "biggest thing on the 4th slice",
        "largest without contrast",
    ):
        assert warnings_of(largest, 3, prompt=prompt) == ""
    assert "this is the second largest one" in warnings_of(second, 3, prompt="the fourth largest organ")
    assert warnings_of(second, 3, prompt="the second largest organ") == ""
    leftmost = Intent("position", None, "leftmost")
    assert "the picture's left, not the patient's" in warnings_of(leftmost, 3, prompt="furthest to the patient's left")
    for prompt in ("furthest to the left", "leftmost by the screen, not the patient", "patient 42: leftmost structure"):
        assert warnings_of(leftmost, 3, prompt=prompt) == ""
    right = Intent("relation", "aorta", relation="right of")
    assert "the picture's right, not the patient's" in warnings_of(right, 3, prompt="what is right of the aorta")
    assert warnings_of(right, 3, prompt="right of the aorta on screen") == ""

    spleen, liver = Intent("anatomy", "spleen", frame="patient"), Intent("anatomy", "liver", frame="patient")
    pancreas = Intent("anatomy", "pancreas", frame="patient")
    for prompt in (
        "the organ between the liver and the spleen",
        "what is medial to the spleen",
        "thing behind my spleen",
    ):
        assert "This is the spleen itself" in warnings_of(spleen, 3, prompt=prompt)
    for prompt in ("do not mark the spleen", "everything except the spleen", "anything but the spleen"):
        assert "may leave just that out" in warnings_of(spleen, 3, prompt=prompt), prompt
    for prompt in ("do not leave out the spleen", "don't miss the spleen", "the spleen, not the liver"):
        assert warnings_of(spleen, 3, prompt=prompt) == "", prompt
    for prompt in ("the gland behind the stomach", "the pancreas, behind the stomach"):
        assert warnings_of(pancreas, 3, prompt=prompt) == ""
    for prompt in (
        "liver, spleen, pancreas",
        "the pancreas and the spleen",
        "pancreas + liver",
        "liver as well as pancreas",
        "outline the liver, then the pancreas",
        "mark the pancreas and then mark the aorta",
        "outline the pancreas. Also outline the spleen.",
        "the pancreas followed by the duodenum",
        "pancreas; spleen",
        "pancreas with spleen",
    ):
        assert "this is the pancreas alone" in warnings_of(pancreas, 3, prompt=prompt)
    for prompt in (
        "pancreas' tail",
        "outline the pancreas\u2019 head",
        "the pancreas's tail",
    ):
        assert "this is all of the pancreas" in warnings_of(pancreas, 3, prompt=prompt), prompt
    duodenum = Intent("anatomy", "duodenum", frame="patient")
    for prompt in ("the duodenum's bulb", "the bulb of the duodenum", "the duodenal bulb"):
        assert "this is all of the duodenum" in warnings_of(duodenum, 3, prompt=prompt), prompt
    for prompt in (
        "the pancreas, not the spleen",
        "pancreas. The spleen is done",
        "spleen and liver are done, the pancreas next",
        "the liver and pancreas are both enlarged; please outline the pancreas",
        "spleen/pancreas ratio needed, outline the pancreas",
        "difference between the spleen and the pancreas, show me the pancreas",
        "panc head/body/tail as one ROI",
        "pancreas head to tail",
        "pancreatic SBRT, spleen is fine",
    ):
        assert warnings_of(pancreas, 3, prompt=prompt) == "", prompt
    for prompt in (
        "segment 4 of the liver",
        "right lobe of liver",
        "the liver's left lobe",
        "liver segment IVa",
        "the lower part of the liver",
        "caudate lobe",
        "the right liver",
    ):
        assert "this is all of the liver" in warnings_of(liver, 3, prompt=prompt)
    for prompt in (
        "liver segment please",
        "segment the whole liver",
        "the large organ, the liver",
        "whole body CT of the liver",
        "where is liver in body",
        "all lobes of the liver",
        "segment liver segment i can see",
    ):
        assert warnings_of(liver, 3, prompt=prompt) == "", prompt
    kidney = Intent("anatomy", "left kidney", frame="patient")
    assert warnings_of(kidney, 3, prompt="my kidney, the left kidney") == ""
    for prompt in ("right kidney or left kidney", "left kidney, right kidney"):
        assert "this is the left kidney alone" in warnings_of(kidney, 3, prompt=prompt), prompt
    femur = Intent("anatomy", "left head of femur", frame="patient")
    assert warnings_of(femur, 3, prompt="the head of the left femur") == ""


def test_another_structure_than_the_named_one_is_told() -> None:
    right, liver = Intent("anatomy", "right kidney", frame="patient"), Intent("anatomy", "liver", frame="patient")
    assert "The left kidney is named, but this is the right kidney." in warnings_of(
        right, 3, prompt="right flank pain. Outline the left kidney."
    )
    for prompt in ("the right kidney", "the right kidney, not the left kidney", "left flank pain, right kidney please"):
        assert warnings_of(right, 3, prompt=prompt) == "", prompt
    for prompt in ("all but the liver", "the whole abdomen minus the liver"):
        assert "though the text may leave just that out" in warnings_of(liver, 3, prompt=prompt)
    colon = Intent("anatomy", "colon", frame="patient")
    for prompt in ("the sigmoid colon", "descending colon only"):
        assert "Parts aren't told apart: this is all of the colon." in warnings_of(colon, 3, prompt=prompt)
    assert warnings_of(colon, 3, prompt="the whole colon with the sigmoid colon, please outline the colon") == ""


def test_what_the_model_has_learned_from_is_said() -> None:
    phantom = {"modality": ["CT"], "organs": ["liver", "left kidney", "right kidney"], "synthetic": True}
    hospital = {"modality": ["CT", "MR"], "organs": ["spleen"], "synthetic": False}
    assert doubts.of_training({}, "MR") == []
    said = " ".join(doubts.of_training({"phantom": phantom}, "MR"))
    assert "learned from CT alone; this is MR" in said
    assert "synthetic patients alone" in said
    assert doubts.of_training({"phantom": phantom, "hospital": hospital}, "MR") == []
    assert doubts.of_organ("kidney", {"phantom": phantom}) == [], "the union of what is labelled"
    assert "no spleen was labelled" in doubts.of_organ("spleen", {"phantom": phantom})[0]
    assert doubts.of_organ("spleen", {"phantom": phantom, "hospital": hospital}) == doubts.of_organ(None, {}) == []


def test_places_that_an_axial_slice_does_not_tell_apart() -> None:
    top = Intent("position", attribute="topmost")
    for prompt in ("the most cranial organ", "organ nearest to the head", "superiormost to the aorta"):
        assert "Head and feet lie beyond an axial picture" in warnings_of(top, 1, prompt=prompt), prompt
    for prompt in ("whatever sits in the top left corner", "the organ in the upper right quadrant", "lower left organ"):
        assert "Corners and the centre aren't told apart" in warnings_of(top, 1, prompt=prompt), prompt
    for prompt in ("the topmost organ", "what is nearest the top edge"):
        assert warnings_of(top, 1, prompt=prompt) == "", prompt


def test_sides_in_the_patients_own_frame() -> None:
    left = Intent("position", attribute="leftmost")
    for prompt in (
        "leftmost from the patient's point of view",
        "in patient coordinates the leftmost structure",
        "anatomically leftmost",
    ):
        assert "Taken for the picture's left" in warnings_of(left, 1, prompt=prompt), prompt
    assert warnings_of(left, 1, prompt="the leftmost structure") == ""


def test_what_was_said_plainly_before_it_was_read_is_shown() -> None:
    largest = Intent("size", attribute="largest")
    assert "Read as: it is larger than all others" in warnings_of(largest, 1, prompt="everything else is smaller")
    assert warnings_of(largest, 1, prompt="the largest structure") == ""
    remark = "Right kidney absent. The biggest structure, please."
    assert warnings_of(largest, 1, prompt=remark, asked=remark[21:]) == "Read as: The biggest structure, please."
