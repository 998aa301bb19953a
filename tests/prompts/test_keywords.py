"""What words alone say: the baseline's reading of requests, and how complex they are."""

from __future__ import annotations

import pytest

from prompts.complexity import complexity
from prompts.intent import Intent
from prompts.wording.keywords import keyword_intent


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("outline the left kidney for me", Intent("anatomy", "left kidney", frame="patient")),
        ("not the gallbladder but the bladder", Intent("anatomy", "bladder", frame="patient")),
        (
            "Segment the kidney that is not on the left.",
            Intent("anatomy", "right kidney", frame="patient", negated=True),
        ),
        ("the kidney on the left of the picture", Intent("anatomy", "kidney", attribute="leftmost")),
        ("the femoral head at the right edge of the image", Intent("anatomy", "left head of femur", "rightmost")),
        ("mark whatever sits furthest to the left", Intent("position", attribute="leftmost")),
        ("the second largest structure", Intent("size", attribute="largest", rank=2)),
        ("the structure just above the left kidney", Intent("relation", "left kidney", relation="above")),
        ("thank you", Intent("none")),
    ],
)
def test_words_are_looked_up(text: str, intent: Intent) -> None:
    assert keyword_intent(text) == intent


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("liver", "word"),
        ("left kidney.", "word"),
        ("outline the left kidney", "phrase"),
        ("Could you outline the left kidney for me?", "sentence"),
        ("She has had pain for weeks. Please outline the left kidney for me.", "paragraph"),
        ("Liver, please. Thanks!", "phrase"),
    ],
)
def test_complexity(text: str, expected: str) -> None:
    assert complexity(text) == expected
