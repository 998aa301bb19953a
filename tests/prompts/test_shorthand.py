"""What people type in short is written out, and what only looks like it is left alone."""

from __future__ import annotations

import pytest

from corpus.anatomy import ORGANS
from prompts.wording.cues import names
from prompts.wording.renaming import as_read
from prompts.wording.shorthand import written_out


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("ivc pls", "IVC pls"),
        ("the I.V.C. and the g.b.", "the IVC and the GB"),
        ("Gb, lag; Svs", "GB, LAG; SVs"),
        ("lt side of the image", "left side of the image"),
        ("kidney, image rt.", "kidney, image right"),
        ("Rt. renal outline, rgt", "right renal outline, right"),
        ("rt-sided, lt-most", "right-sided, left-most"),
        ("LT KIDNEY, RT SIDE", "left KIDNEY, right SIDE"),
        ("the adrenal on the R, not the L one", "the adrenal on the right, not the left one"),
        ("R. kidney (L done)", "right kidney (left done)"),
        ("R-hand edge", "right-hand edge"),
        ("the  liver\tplease\n\nnow", "the liver please now"),
        ("the\u00a0liver\u200b", "the liver"),
        ("left\u2011sided and right\u2010sided", "left-sided and right-sided"),
        ("\uff4c\uff49\uff56\uff45\uff52", "liver"),
        ("the patient\u2019s \u201cspleen\u201d", 'the patient\'s "spleen"'),
        ('"outline the spleen"', "outline the spleen"),
        ("**outline the spleen**", "outline the spleen"),
    ],
)
def test_what_is_typed_in_short_is_written_out(typed: str, meant: str) -> None:
    assert written_out(typed) == meant
    assert written_out(meant) == meant, "a second time changes nothing"


@pytest.mark.parametrize(
    "text",
    [
        "10 lb lost, 8 gb of memory, an 8-gb disk",
        "RT planning, pelvic RT, rt planning, rt 20/5, pre rt scan, for rt",
        "post LT, day 3",
        "L1, R0, T/L spine, L-spine, R/L, L+R, R-CHOP, Dr. L. Meyer, 5 L of ascites, L 5",
        "AO screw",
        "the ______ was closed",
        'the "spleen" and the "liver"',
        "e.g. the U.S. guideline",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert written_out(text) == text


def test_every_abbreviation_is_read_in_small_letters() -> None:
    for organ in ORGANS:
        for short in organ.abbreviations:
            assert {m.organ for m in names(as_read(f"outline {short.lower()} please")).all} == {organ.name}, short
