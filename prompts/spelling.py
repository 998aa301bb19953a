"""Typing errors in requests: a word that is no word, and looks like one that requests are made of, is mended.

What counts as a word: what the sentence encoder's tokenizer knows whole or with a common ending, what the built-in
reports and questions are written in, and the vocabulary's own terms.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from rapidfuzz import process
from rapidfuzz.distance import OSA

from corpus import reports
from corpus.anatomy import ORGANS
from corpus.params import read_yaml
from corpus.reports.encoder import load_sentence_encoder

WORDS = Path(__file__).with_name("spelling.yaml")
_WORD = re.compile(r"[^\W\d_]+")
BUILTIN_TEXT = Path(reports.__file__).with_name("builtin")
_ENDINGS = ("s", "es", "d", "ed", "ing", "er", "est", "ly")
SHORTEST = 3
"""Shorter words are left alone: abbreviations."""
LONG = 7
"""Words of this length may be two letters off if the first is right, shorter ones one."""


@cache
def _ours() -> dict[str, None]:
    """The words that requests are made of, in a fixed order (a dictionary keeps it)."""
    terms = chain.from_iterable((o.name, *o.synonyms, *o.adjectives, *o.lay) for o in ORGANS)
    ours = chain(chain.from_iterable(_WORD.findall(term.lower()) for term in terms), *read_yaml(WORDS).values())
    return dict.fromkeys(word for word in ours if len(word) > SHORTEST)


@cache
def _english() -> frozenset[str]:
    read = (path.read_text(encoding="utf-8").lower() for path in sorted(BUILTIN_TEXT.glob("*.yaml")))
    transformer: Any = load_sentence_encoder()[0]
    return frozenset(transformer.tokenizer.get_vocab()).union(*map(_WORD.findall, read))


def _is_word(word: str) -> bool:
    stems = (word.removesuffix(ending) for ending in _ENDINGS)
    return word in _english() or any(len(stem) > SHORTEST and stem in _english() for stem in stems if stem != word)


@cache
def _mended(word: str) -> str:
    """The word of ours that `word` is a misspelling of, or `word` itself."""
    if len(word) < SHORTEST or word in _ours() or _is_word(word):
        return word
    near = process.extract(word, list(_ours()), scorer=OSA.distance, score_cutoff=2, limit=None)
    near = [hit for hit in near if hit[1] == 1 or (len(word) >= LONG and hit[0][0] == word[0])]
    best = min(near, key=lambda hit: (hit[1], hit[0][0] != word[0]), default=None)
    return best[0] if best else word


def mend(text: str) -> str:
    """The text with its misspelt words mended; anything else stays as it is, capitals too."""

    def mend_word(match: re.Match[str]) -> str:
        word = match.group()
        mended = _mended(word.lower())
        return word if mended == word.lower() else mended.upper() if word.isupper() else mended

    return _WORD.sub(mend_word, text)
