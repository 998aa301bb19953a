"""Typing errors in requests: a word that is no word, and looks like one that requests are made of, or is a slip of the
finger off a common English one, is mended; so are names that were torn apart ("pan creas") or run together
("leftkidney").

What counts as a word: what an English dictionary or the sentence encoder's tokenizer knows, as it is or with a common
ending, what the built-in reports and questions are written in, and the vocabulary's own terms and associations.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

from jellyfish import metaphone
from rapidfuzz import process
from rapidfuzz.distance import OSA, LCSseq
from spellchecker import SpellChecker
from tokenizers import Tokenizer

from corpus import reports
from corpus.anatomy import ORGANS, PAIRED_NOUNS
from corpus.params import read_yaml
from corpus.reports.encoder import builtin_folder
from prompts.wording.associations import terms
from prompts.wording.shorthand import written_out

WORDS = Path(__file__).with_name("spelling.yaml")
_ENDINGS = ("s", "ed", "ing")
_WORD = re.compile(r"[^\W\d_]+")
BUILTIN_TEXT = Path(reports.__file__).with_name("builtin")
SHORTEST = 3
"""Shorter words are left alone: abbreviations."""
LONG = 6
"""Words of this length may be two letters off if the first is right; shorter ones one, but for structures' names."""
DISTINCT, FAR = 4, 3
"""Consonants of a sound that is distinct, and how many letters a word may be off a name that sounds the same."""
OFTEN = 10_000
"""Occurrences of a common word in the dictionary's count."""
TORN = {7: 1, 10: 2, 13: 3}
"""How many letters a name of so many may be off where it was torn apart."""
PIECES = 4
"""Words that a name may be torn into."""
LONGEST = 40
"""Longer words are left alone: nobody has typed them."""
KEPT = 1 << 16
"""Words whose mending is remembered."""


@cache
def _terms() -> tuple[str, ...]:
    """What structures are called, in lower case."""
    named = chain.from_iterable((o.name, *o.synonyms, *o.adjectives) for o in ORGANS)
    return tuple(dict.fromkeys(term.lower() for term in (*named, *chain.from_iterable(PAIRED_NOUNS.values()))))


@cache
def _ours() -> dict[str, None]:
    """The words that requests are made of, in a fixed order (a dictionary keeps it)."""
    terms = (*_terms(), *chain.from_iterable(o.lay for o in ORGANS))
    listed = (words for name, words in read_yaml(WORDS).items() if name != "slips")
    ours = chain(chain.from_iterable(_WORD.findall(term.lower()) for term in terms), *listed)
    return dict.fromkeys(word for word in ours if len(word) > SHORTEST)


@cache
def _named() -> frozenset[str]:
    """The words of structures' names."""
    return frozenset(chain.from_iterable(map(_WORD.findall, _terms()))) & set(_ours())


@cache
def _one_word_names() -> frozenset[str]:
    """The structures' names of one word: such a word means nothing else."""
    return frozenset(organ.name for organ in ORGANS) & _named()


@cache
def _paired() -> frozenset[str]:
    """The words for structures of which there are a left and a right one."""
    return frozenset(chain.from_iterable(map(_WORD.findall, chain.from_iterable(PAIRED_NOUNS.values())))) & set(_ours())


@cache
def _slips() -> dict[str, str]:
    return read_yaml(WORDS)["slips"]


@cache
def _dictionary() -> SpellChecker:
    return SpellChecker(language="en")


@cache
def _english() -> frozenset[str]:
    read = (path.read_text(encoding="utf-8").lower() for path in sorted(BUILTIN_TEXT.glob("*.yaml")))
    tokenizer = Tokenizer.from_file(str(builtin_folder() / "tokenizer.json"))
    named = chain.from_iterable(o.also for o in ORGANS)
    also = chain.from_iterable(_WORD.findall(term.lower()) for term in chain(named, terms()))
    known = _dictionary().word_frequency.dictionary
    return frozenset(known).union(tokenizer.get_vocab(), also, *map(_WORD.findall, read))


def _is_word(word: str) -> bool:
    stems = (word.removesuffix(ending) for ending in _ENDINGS)  # the dictionary lacks some British forms
    return word in _english() or any(len(stem) > SHORTEST and stem in _english() for stem in stems if stem != word)


@lru_cache(KEPT)
def _mended(word: str) -> str:
    """What `word` is a misspelling of, or `word` itself."""
    if meant := _slips().get(word):
        return meant
    if not SHORTEST <= len(word) <= LONGEST or word in _ours() or _is_word(word):
        return word
    if word[0] in "lr" and word[1:] in _paired():
        return f"{word[0]} {word[1:]}"
    if parts := _run_together(word):
        return " ".join(parts)
    found = process.extract(word, list(_ours()), scorer=OSA.distance, score_cutoff=2, limit=None)
    near = [(other, off) for other, off, _ in found if off == 1 or _two_off(word, other)]
    if near:
        return min(near, key=lambda hit: _unlike(word, *hit))[0]
    return _heard(word) or _common_word(word) or word


def _two_off(word: str, other: str) -> bool:
    """Whether `word` may be `other`, two letters off."""
    if word[0] != other[0]:
        return False
    if len(word) >= LONG:
        return True
    if len(word) == SHORTEST or other not in _one_word_names():
        return False
    alike = _sound(word) == _sound(other) or sorted(word) == sorted(other)
    return alike or (len(word) == LONG - 1 < len(other) and not _nearly_english(word))


def _unlike(word: str, other: str, off: float) -> tuple[float, bool, bool, float, bool]:
    """Of words that `word` may be, the least is the likeliest."""
    alike = LCSseq.normalized_similarity(word, other) if off > 1 else 0.0
    return off, other[0] != word[0], other not in _named(), -alike, other not in _one_word_names()


def _nearly_english(word: str) -> bool:
    return bool(_dictionary().known(_dictionary().edit_distance_1(word)))


@cache
def _common() -> dict[str, int]:
    """English words that are often used, and how often."""
    counted = _dictionary().word_frequency.dictionary
    return {word: n for word, n in counted.items() if n >= OFTEN and len(word) > SHORTEST and word.isalpha()}


def _common_word(word: str) -> str | None:
    """The common English word that `word` is a slip of the finger off, the commonest; None where there is none. A short
    word has its letters in another order, or one of them twice or once too few: any other may be a foreign one."""

    def slip(other: str) -> bool:
        clear = LONG if len(word) != len(other) else LONG + 1  # a letter in another's place says least
        return word[0] == other[0] and (set(word) == set(other) or len(word) >= clear)

    if len(word) < LONG - 1:
        return None
    near = process.extract(word, list(_common()), scorer=OSA.distance, score_cutoff=1, limit=None)
    return max((other for other, _, _ in near if slip(other)), key=_common().__getitem__, default=None)


def _sound(word: str) -> str:
    """How a word sounds: without vowels, and Greek "ch" as it is said."""
    return metaphone(word.replace("ch", "k")).lstrip("AEIOU")


@cache
def _sounds() -> dict[str, list[str]]:
    """The words of structures' names by their sound."""
    sounds: dict[str, list[str]] = {}
    for name in sorted(_named()):
        sounds.setdefault(_sound(name), []).append(name)
    return sounds


def _heard(word: str) -> str | None:
    """The word of a structure's name that `word` sounds like, as in "isofagus"; None where there is none, or where
    another word is nearer."""
    sound = _sound(word)
    alike = _sounds().get(sound, []) if len(sound) >= DISTINCT else []
    name, off = min(((name, OSA.distance(name, word)) for name in alike), key=lambda hit: hit[1], default=(None, 0))
    far = off > FAR or (off == FAR and _nearly_english(word))
    return None if far else name


@cache
def _joinable() -> frozenset[str]:
    """The words that others are run together with."""
    return frozenset((*_ours(), *read_yaml(WORDS)["short"]))


def _run_together(word: str) -> list[str]:
    """The words, of a structure's name among them, that `word` is made of; none if it isn't."""

    def split(rest: str) -> list[str] | None:
        if not rest:
            return []
        for end in range(len(rest), 0, -1):
            if rest[:end] in _joinable() and (after := split(rest[end:])) is not None:
                return [rest[:end], *after]
        return None

    parts = split(word) or []
    return parts if len(parts) > 1 and _named() & set(parts) else []


@cache
def _unspaced(first: str = "") -> dict[str, str]:
    """What structures are called, by the same without spaces; those that begin with a letter."""
    return {term.replace(" ", ""): term for term in _terms() if term.startswith(first)}


def _nearest(joined: str, names: dict[str, str]) -> tuple[str, float, Any] | None:
    return process.extractOne(joined, names.keys(), scorer=OSA.distance, score_cutoff=max(TORN.values()))


@lru_cache(KEPT)
def _torn(words: tuple[str, ...]) -> tuple[float, str] | None:
    """The name that a row of words is, torn apart, behind how many letters it is off; None if it is none."""
    joined, names = "".join(words), _unspaced()
    # Most rows are like no name with their first letter, which are few.
    found = _nearest(joined, _unspaced(joined[0])) and _nearest(joined, names)
    if not found or found[0][0] != joined[0]:
        return None
    name, distance, _ = found
    term = names[name]
    allowed = max((letters for length, letters in TORN.items() if len(name) >= length), default=-1)
    if distance > allowed or (distance and joined in (name + "s", name.removesuffix("s"))):
        return None
    # "femoralhead R" has lost no letter: a side stands beside it.
    if distance and {"l", "r"} & set(words):
        return None
    if distance > 1 and all(word in _ours() or _is_word(word) for word in words):
        return None
    # "kidney is" is no "kidneys": a name stands there, and a word beside it.
    if distance and _holds_name(words) and not _word_for_word(words, term.split()):
        return None
    return None if " ".join(words) == term else (distance, term)


def _holds_name(words: tuple[str, ...]) -> bool:
    """Whether a part of a row of words is a name, in the plural perhaps."""
    names = _terms()
    parts = (" ".join(words[a:b]) for a in range(len(words)) for b in range(a + 1, len(words) + 1))
    return any(part in names or part.removesuffix("s") in names for part in parts)


def _word_for_word(words: tuple[str, ...], others: list[str]) -> bool:
    """Whether each word is nearly the one in its place, as in "gal bladder"."""
    return len(words) == len(others) and all(OSA.distance(*pair) <= 2 for pair in zip(words, others, strict=True))


def mend(text: str) -> str:
    """The text with its misspelt words mended; anything else stays as it is, capitals too."""

    def mend_word(match: re.Match[str]) -> str:
        word = match.group()
        mended = _mended(word.lower())
        return word if mended == word.lower() else mended.upper() if word.isupper() else mended

    return _join(_WORD.sub(mend_word, written_out(text)))


def _join(text: str) -> str:
    """The text with names that were torn apart whole again; of several that begin with a word, the nearest."""
    words = list(_WORD.finditer(text))
    for first in range(len(words) - 1):
        found = []
        for last in range(first + 1, min(first + PIECES, len(words))):
            row = words[first : last + 1]
            if text[words[last - 1].end() : words[last].start()] != " ":
                break
            if torn := _torn(tuple(match.group().lower() for match in row)):
                found.append((torn[0], -last, torn[1]))
        if found:
            _, last, term = min(found)
            return text[: words[first].start()] + term + _join(text[words[-last].end() :])
    return text
