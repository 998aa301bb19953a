"""A remark beside a request: "Renal function normal. Outline the spleen."

What calls another structure to mind can make the reader take all of it for a report. Such a remark is left out where it
asks for nothing by itself, and the rest surely asks for something.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from corpus.anatomy import ORGANS
from model.intent_head import Understanding
from prompts.intent import PAIRS
from prompts.wording.associations import associated
from prompts.wording.cues import CUES, UNSIDED
from prompts.wording.renaming import renamed

SURE = 0.9
"""How sure the reader has to be of both: that the remark asks for nothing, and what the rest asks for."""
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
"""People type: the next sentence needn't begin with a capital."""
_BRACKETED = re.compile(r"(?s)(?P<request>.*\w.*?)\s*[(\[](?P<remark>[^()\[\]]*\w[^()\[\]]*)[)\]]\W*")
_NOUNS = (
    {organ.name: PAIRS.get(organ.name, organ.name) for organ in ORGANS}
    | {noun: noun for noun in UNSIDED}
    | {f"about {noun}": noun for noun in associated()}
)
"""Of cues that point to a structure: which, whatever its side."""


class Split(NamedTuple):
    """A text taken apart."""

    remark: str
    request: str


def without_remarks(
    texts: Sequence[str],
    understood: Sequence[Understanding],
    read: Callable[[Sequence[str]], Sequence[Understanding]],
) -> list[str]:
    """The texts; of those that were read as asking for nothing, the request without the remark that hides it, if that
    is found.

    A remark speaks of structures, and behind the request of others than that does: "cancel that" isn't one, nor is "the
    spleen can wait" behind a request for the spleen. In brackets at the end it may speak of anything else.

    Args:
        understood: As what each text was read.
        read: Reads further texts.
    """
    splits = {
        text: sorted(_splits(text), key=lambda split: len(split.remark))
        for text, whole in zip(texts, understood, strict=True)
        if whole.intent.kind == "none"
    }
    parts = sorted({part for each in splits.values() for split in each for part in split})
    found = dict(zip(parts, read(parts), strict=True)) if parts else {}

    def hides(split: Split) -> bool:
        remark, request = found[split.remark], found[split.request]
        asked = remark.intent.kind == "none" != request.intent.kind
        return asked and min(remark.confidence, request.confidence) >= SURE

    return [next((s.request for s in splits.get(text, ()) if hides(s)), text) for text in texts]


def _splits(text: str) -> Iterator[Split]:
    """What may be a remark: a sentence or more before or behind the rest, or a bracket at the end."""
    sentences = _sentences(text)
    for i in range(1, len(sentences)):
        first, last = " ".join(sentences[:i]), " ".join(sentences[i:])
        before, behind = _structures(first), _structures(last)
        if before:
            yield Split(first, last)
        if behind and behind.isdisjoint(before):
            yield Split(last, first)
    if bracketed := _BRACKETED.fullmatch(text):
        split = Split(bracketed["remark"], bracketed["request"])
        if _structures(split.remark).isdisjoint(_structures(split.request)):
            yield split


def _sentences(text: str) -> list[str]:
    return [part for part in _SENTENCE_END.split(text.strip()) if re.search(r"\w", part)]


def _structures(text: str) -> set[str]:
    """The structures that a text names or calls to mind."""
    return set().union(*map(_named, _sentences(text)))


@lru_cache(1024)
def _named(sentence: str) -> frozenset[str]:
    """The same of a sentence, which is in many a part of its text."""
    names = (CUES[cue.number - 1] for cue in renamed(sentence)[1])
    return frozenset(_NOUNS[name] for name in names if name in _NOUNS)
