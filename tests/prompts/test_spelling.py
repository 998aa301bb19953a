"""Misspelt words are mended; right ones, and words that aren't ours, are left alone."""

from __future__ import annotations

import pytest

from corpus.anatomy import ORGANS
from prompts.wording.spelling import mend


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("outlien my livver pelase", "outline my liver please"),
        ("rihgt kidny", "right kidney"),
        ("pnacreas", "pancreas"),
        ("the oesophagous", "the oesophagus"),
        ("GALLBLADER!", "GALLBLADDER!"),
        ("segmnt teh bigest organ", "segment teh biggest organ"),
        ("botom most strcture", "bottom most structure"),
        ("slpene", "spleen"),
        ("leftkidney", "left kidney"),
        ("outlinethespleen pls", "outline the spleen pls"),
        ("my pan creas", "my pancreas"),
        ("inferor vena kava", "inferior vena cava"),
        ("left kid ney", "left kidney"),
        ("gal bladder R?", "gall bladder right?"),
        ("small intestin pls", "small intestine pls"),
        ("isofagus, stumick and splin", "esophagus, stomach and spleen"),
        ("the stomch in yelow, it's mising", "the stomach in yellow, it's missing"),
        ("abov the kidny, behnd the livver", "above the kidney, behind the liver"),
        ("kdny, levr, artoa", "kidney, liver, aorta"),
        ("recmu and portsate", "rectum and prostate"),
        ("forgett the leson, chnage the brightnes", "forget the lesion, change the brightness"),
        ("the kidney, nto the left one", "the kidney, not the left one"),
        ("the one that ISINT the liver", "the one that ISN'T the liver"),
        ("lkidney and RKidney", "l kidney and r kidney"),
        ("radrenal", "r adrenal"),
        ("havnig a qustion abuot it, nurrse", "having a question about it, nurse"),
    ],
)
def test_misspelt_words_are_mended(typed: str, meant: str) -> None:
    assert mend(typed) == meant


@pytest.mark.parametrize(
    "text",
    [
        "Where is the river? Not the liver, the lever!",
        "Cholecystitis, pancreatitis and hepatomegaly; the fundus rotates.",
        "Guten Tag, wie geht es Ihnen?",
        "IVC, GB, RAG, LK and the SMV",
        "He has lived long enough to color the columns.",
        "my spleen, a liver and the pancreas on the left",
        "Femoral head right, contour; left femoral heads are done",
        "femoralhead right, femoralhead left",
        "the left kidney is just left of esophagus and renal veins, the colon in front",
        "urinary bladder OAR, vena cava pls, gallbladder I believe",
        "the hugest, the undermost, the caudal one; rename or go offline, thrice",
        "Colouring the speling of lynx, linx",
        "ahora viene, porfa; kindy, speek",
        "la maske, coxal, das ist laide; on statins since the linac, the caecal pole",
    ],
)
def test_words_are_left_alone(text: str) -> None:
    assert mend(text) == text


def test_the_vocabulary_is_spelt_as_it_is() -> None:
    for organ in ORGANS:
        for term in (organ.name, *organ.synonyms, *organ.lay, *organ.functions):
            assert mend(term) == term


def test_every_organ_survives_a_letter_too_many() -> None:
    names = [organ.name for organ in ORGANS if " " not in organ.name]
    assert [mend(f"{name[:3]}{name[2]}{name[3:]}") for name in names] == names
