"""Remarks beside a request."""

from collections.abc import Sequence

import pytest

from model.intent_head import Understanding
from model.remarks import without_remarks
from prompts.intent import Intent

NOTHING, SPLEEN = Intent("none"), Intent("anatomy", "spleen", None, "patient")
REQUEST = "Outline the spleen."


def reader(asking: str, confidence: float = 0.99) -> dict[str, Understanding]:
    return {asking: Understanding(SPLEEN, confidence)}


def alone(text: str, known: dict[str, Understanding]) -> str:
    """What is left of a text that was read as asking for nothing; so is whatever isn't known."""

    def read(texts: Sequence[str]) -> list[Understanding]:
        return [known.get(each, Understanding(NOTHING, 0.99)) for each in texts]

    (left,) = without_remarks([text], read([text]), read)
    return left


@pytest.mark.parametrize(
    "text",
    [
        f"Renal function normal. {REQUEST}",
        f"{REQUEST} Renal function normal.",
        f"Renal function normal! Liver enzymes raised.\n{REQUEST}",
        f"{REQUEST}\nKnown gallstones",
        f"{REQUEST} (hemicolectomy 2010)",
        f"{REQUEST} [Known gallstones.]",
        f"{REQUEST} (research use only)",
        f"Spleen enlarged. {REQUEST}",
    ],
)
def test_what_speaks_of_something_else_is_left_out(text: str) -> None:
    assert alone(text, reader(REQUEST)) == REQUEST


@pytest.mark.parametrize(
    "beside",
    [
        "{}",
        "{} Cancel that.",
        "{} No, the spleen can wait.",
        "{} (the spleen can wait)",
        "Sorry? {}",
        "Renal function normal, {}",
    ],
)
def test_what_may_speak_of_the_request_stays(beside: str) -> None:
    text = beside.format(REQUEST)
    assert alone(text, reader(REQUEST)) == text


def test_both_have_to_be_sure() -> None:
    remark = "Renal function normal."
    text = f"{remark} {REQUEST}"
    assert alone(text, reader(REQUEST, 0.89)) == text
    assert alone(text, reader(REQUEST) | {remark: Understanding(NOTHING, 0.89)}) == text
    assert (
        alone(text, reader(REQUEST) | {remark: Understanding(Intent("anatomy", "kidney", None, "patient"), 0.99)})
        == text
    )


def test_no_more_is_left_out_than_has_to_be() -> None:
    kept = f"She is 54. {REQUEST}"
    assert alone(f"Renal function normal. {kept}", reader(REQUEST) | reader(kept)) == kept


def test_what_asks_for_something_is_read_as_it_stands() -> None:
    texts = [REQUEST, f"Renal function normal. {REQUEST}"]
    sure = Understanding(SPLEEN, 0.4)
    assert without_remarks(texts, [sure, sure], lambda texts: pytest.fail("nothing has to be read")) == texts
