"""What the checks read with: words, the patterns of patterns.yaml, and the sentences of report passages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from corpus.params import read_yaml

PATTERNS = Path(__file__).with_name("patterns.yaml")
RUN = 6
"""So many words in a row, the same as in a passage, are copied."""
_PART_OF_A_RUN = 3
_SHARE_COPIED = 0.6
"""A text, this share of whose runs of three words are a passage's, is one of its sentences with a word changed."""
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.?!])\s+")
_QUOTED = re.compile(r"[\"“']([^\"”']{3,})[\"”']")


def words(text: str) -> list[str]:
    """The words of a text, in lower case; hyphenated words and contractions count as one."""
    return [word.lower() for word in _WORD.findall(text)]


def runs(text: str, length: int) -> Iterator[str]:
    """Every `length` words in a row."""
    listed = words(text)
    return (" ".join(listed[i : i + length]) for i in range(len(listed) - length + 1))


@cache
def _content() -> dict[str, Any]:
    return read_yaml(PATTERNS)


def _list(name: str) -> list[str]:
    return re.split(r",\s+", _content()["lists"][name].strip())


@cache
def word_list(name: str) -> frozenset[str]:
    """A list of patterns.yaml, as words in lower case."""
    return frozenset(word.lower() for word in _list(name))


@cache
def pattern(name: str) -> re.Pattern[str]:
    """The named pattern of patterns.yaml, for texts in lower case; `<list>` in it stands for any entry of that list.

    Raises:
        KeyError: There is no such pattern or list.
    """
    return _compiled(_content()["patterns"][name])


def simple_checks() -> Iterator[tuple[str, str, re.Pattern[str]]]:
    """(check, what is wrong, pattern of what it may not contain), in the order of patterns.yaml."""
    for name, entry in _content()["checks"].items():
        yield name, entry["says"], _compiled(entry["patterns"])


def _compiled(alternatives: str | Sequence[str]) -> re.Pattern[str]:
    joined = alternatives if isinstance(alternatives, str) else "|".join(alternatives)
    return re.compile(_filled(joined))


def _filled(text: str) -> str:
    def listed(match: re.Match[str]) -> str:
        return f"(?:{'|'.join(map(_filled, _list(match[1])))})"

    return re.sub(r"<([a-z_]+)>", listed, text)


class Source:
    """What a text may not repeat of the passages that its writer was shown."""

    def __init__(self, passages: Iterable[str]) -> None:
        self._runs: set[str] = set()
        self._parts: set[str] = set()
        self._sentences: list[str] = []
        self._dictated: set[str] = set()
        """What a passage tells the writer to say: what it quotes, and its runs of three words."""
        for passage in passages:
            self._runs.update(runs(passage, RUN))
            self._parts.update(runs(passage, _PART_OF_A_RUN))
            for sentence in _SENTENCE_END.split(passage):
                plain = " ".join(words(sentence))
                if plain.count(" ") > _PART_OF_A_RUN:
                    self._sentences.append(plain)
                if pattern("dictation").search(sentence.lower()):
                    self._dictated.update(" ".join(words(quoted)) for quoted in _QUOTED.findall(sentence))
                    self._dictated.update(runs(sentence, _PART_OF_A_RUN))
                    self._dictated.update(w.lower() for w in re.findall(r"\b[A-Z][A-Z0-9]{3,}\b", sentence))

    def copied(self, text: str) -> str | None:
        """Words of the text that are a passage's, or None."""
        if not self._runs and not self._sentences:
            return None
        if run := next((run for run in runs(text, RUN) if run in self._runs), None):
            return run
        plain = " ".join(words(text))
        if sentence := next((s for s in self._sentences if s in plain), None):
            return sentence
        parts = list(runs(text, _PART_OF_A_RUN))
        shared = [part for part in parts if part in self._parts]
        return shared[0] if len(parts) > 1 and len(shared) >= _SHARE_COPIED * len(parts) else None

    def dictated(self, text: str) -> str | None:
        """Words of the text that a passage told its writer to say, or None."""
        if not self._dictated:
            return None
        plain = f" {' '.join(words(text))} "
        return next((said for said in sorted(self._dictated) if f" {said} " in plain), None)
