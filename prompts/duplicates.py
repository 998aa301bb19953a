"""Exact and near duplicates among texts, in time that grows with the number of texts, not with its square.

Prefix filtering (Bayardo et al. 2007) sees to that: two sets with a Jaccard index of at least t share one of their
first n - ceil(t n) + 1 members in any fixed order, and with the rarest first few pairs share one.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, TypeVar

T = TypeVar("T")
_WORD = re.compile(r"[^\W_]+")


def normalised(text: str) -> str:
    """The text without case, punctuation and spacing: what makes two texts the same."""
    return " ".join(_WORD.findall(text.casefold()))


def jaccard(a: frozenset[str], b: frozenset[str]) -> Fraction:
    """Words in common over words in either."""
    return Fraction(len(a & b), len(a | b)) if a or b else Fraction(1)


def words(text: str) -> frozenset[str]:
    """The text's words, without case and punctuation."""
    return frozenset(normalised(text).split())


def rows_by_group(groups: Sequence[str]) -> dict[str, list[int]]:
    """Group -> the rows that are of it, in their order."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, group in enumerate(groups):
        rows[group].append(row)
    return rows


def _prefix(ranked: list[T], threshold: Fraction) -> list[T]:
    """The members of a set, in the fixed order, of which a similar set shares one."""
    return ranked[: len(ranked) + 1 + -len(ranked) * threshold.numerator // threshold.denominator]


def _similar(shared: int, united: int, threshold: Fraction) -> bool:
    """Whether a Jaccard index reaches the threshold; in whole numbers, since fractions take longer."""
    return shared * threshold.denominator >= united * threshold.numerator


def copies(texts: Sequence[str], of: Sequence[str], threshold: Fraction) -> dict[int, int]:
    """Which of some texts are copies, or near copies, of others.

    Returns:
        Row in `texts` -> the first row in `of` with which its words have a Jaccard index of at least `threshold`; texts
        that are the same without case and punctuation are among them.
    """
    ours, theirs = ([words(text) for text in side] for side in (texts, of))
    number = Counter(word for side in (ours, theirs) for found in side for word in found)

    def first(found: frozenset[str]) -> list[str]:
        ranked = sorted(found, key=lambda word: (number[word], word))
        return _prefix(ranked, threshold) or [""]

    by_word: dict[str, list[int]] = defaultdict(list)
    for row, other in enumerate(theirs):
        for word in first(other):
            by_word[word].append(row)
    found: dict[int, int] = {}
    for row, one in enumerate(ours):
        for candidate in sorted({c for word in first(one) for c in by_word.get(word, ())}):
            shared = len(one & theirs[candidate])
            if _similar(shared, len(one) + len(theirs[candidate]) - shared, threshold):
                found[row] = candidate
                break
    return found


def similar_pairs(sets: Sequence[frozenset[Any]], least: Fraction) -> Iterator[tuple[Fraction, int, int]]:
    """Pairs of sets with a Jaccard similarity of at least `least`, exactly and all of them.

    Yields:
        (similarity, i, j) with i < j.
    """
    frequency = Counter(member for members in sets for member in members)
    index: dict[Any, list[int]] = defaultdict(list)
    for j, members in enumerate(sets):
        prefix = _prefix(sorted(members, key=lambda member: (frequency[member], member)), least)
        for i in sorted({i for member in prefix for i in index[member]}):
            shared = len(members & sets[i])
            united = len(members) + len(sets[i]) - shared
            if _similar(shared, united, least):
                yield Fraction(shared, united), i, j
        for member in prefix:
            index[member].append(j)


class Duplicates:
    """Texts accepted so far, in groups (requests for one target); a near duplicate is looked for in its group alone.

    How often a word will come isn't known yet: in the fixed order long words come first, because they are rarer.
    """

    def __init__(self, threshold: Fraction = Fraction(9, 10)) -> None:
        self.threshold = threshold
        self._texts: dict[str, str] = {}
        self._by_word: dict[tuple[str, str], list[tuple[frozenset[str], str]]] = defaultdict(list)

    def add(self, text: str, group: str) -> None:
        """Remember an accepted text."""
        self._texts.setdefault(normalised(text), text)
        tokens = words(text)
        for word in self._looked_up_by(tokens):
            self._by_word[group, word].append((tokens, text))

    def exact(self, text: str) -> str | None:
        """An accepted text, of any group, that is the same but for case and punctuation."""
        return self._texts.get(normalised(text))

    def near(self, text: str, group: str) -> str | None:
        """The first accepted text of the group that shares nearly all its words with `text`."""
        tokens = words(text)
        for word in self._looked_up_by(tokens):
            for other, accepted in self._by_word.get((group, word), ()):
                short, long = sorted((len(tokens), len(other)))
                if short >= self.threshold * long and jaccard(tokens, other) >= self.threshold:
                    return accepted
        return None

    def _looked_up_by(self, tokens: frozenset[str]) -> list[str]:
        return _prefix(sorted(tokens, key=lambda word: (-len(word), word)), self.threshold)
