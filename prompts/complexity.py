"""How complex a request is, by its length: a word, a phrase, a sentence, a paragraph."""

from __future__ import annotations

import re

COMPLEXITIES = ("word", "phrase", "sentence", "paragraph")
_SENTENCES = re.compile(r"[.?!]+(?:\s+|$)")


def complexity(text: str) -> str:
    """One of `COMPLEXITIES`: up to two words ("left kidney"), up to five, more, or several sentences.

    Whether a short request ends in a full stop is a habit of typing and makes it no sentence, nor does its length make
    one long sentence a paragraph. The study `prompts` cuts training at the same two and five words.
    """
    sentences = [part for part in _SENTENCES.split(text.strip()) if part]
    words = len(text.split())
    if len(sentences) > 1 and words > 5:
        return "paragraph"
    return "word" if words <= 2 else "phrase" if words <= 5 else "sentence"
