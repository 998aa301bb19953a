"""Awkward identifiers in report sentences, from identifier_forms.yaml, and what the rules reach on them.

python -m tests.corpus.identifiers [held_out] [missed]     prints recall of a half, and what is missed of it
"""

from __future__ import annotations

import hashlib
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import yaml

from corpus.reports.deidentify import deidentify

Half = Literal["development", "held_out"]
FORMS = yaml.safe_load(Path(__file__).with_name("identifier_forms.yaml").read_text(encoding="utf-8"))
WORDS: dict[str, list[str]] = FORMS["words"]
MONTHS = WORDS["Month"]
HALVED = ("First", "Last", "Street", "Town")
VALUES: dict[str, list[str]] = FORMS["values"] | {
    "first": ["<First>"],
    "yy2": ["2~", "3~"],
    "vin": ["1HG^^~~~~^^~~~~~~", "^^~^~^^~^~~~~~~~^"],
    "phone10": ["~~~~~~~~~~"],
    "login": ["<f><last>~~", "<last><f>", "^^~~~~~"],
}


@dataclass(frozen=True)
class Sentence:
    """A sentence, and where its identifiers stand: (kind, start, end)."""

    text: str
    identifiers: tuple[tuple[str, int, int], ...]


@cache
def _halved(forms: tuple[str, ...], half: Half) -> tuple[str, ...]:
    """One half of `forms`: every other one in the order of their hashes; all of them where there is but one."""
    ordered = sorted(forms, key=lambda form: hashlib.sha256(form.encode()).digest())
    return tuple(ordered[half == "held_out" :: 2]) if len(forms) > 1 else forms


def _words(half: Half, rng: random.Random) -> Callable[[str], str]:
    """What fills <Word>. Names, streets and towns are halved too."""
    month, day, year = rng.randrange(12), rng.randint(1, 28), rng.randint(1985, 2024)

    def fill(word: str) -> str:
        dates = {"d": day, "dd": f"{day:02d}", "m": month + 1, "mm": f"{month + 1:02d}", "yyyy": year}
        dates |= {"yy": f"{year % 100:02d}", "Month": MONTHS[month], "MONTH": MONTHS[month].upper()}
        dates |= {"Mon": MONTHS[month][:3], "MON": MONTHS[month][:3].upper(), "q": month // 3 + 1}
        if word in dates:
            return str(dates[word])
        if word == "X":
            return rng.choice("ABCDEFGHJKLMNPRSTW")
        kind = "First" if word == "f" else word if word in WORDS else word.title()
        found = rng.choice(_halved(tuple(WORDS[kind]), half) if kind in HALVED else WORDS[kind])
        if word == "f":
            return found[0].lower()
        return (
            found.upper() if word.isupper() and word != "ST" else found.lower() if word in ("first", "last") else found
        )

    return fill


def written(form: str, half: Half, rng: random.Random) -> str:
    """A value after its form."""
    text = re.sub(r"<(\w+)>", lambda match: _words(half, rng)(match[1]), form) if "<" in form else form
    if {"<d>", "<dd>", "<m>", "<mm>"} & set(re.findall(r"<\w+>", form)):
        fill = _words(half, rng)
        text = re.sub(r"<(\w+)>", lambda match: fill(match[1]), form)
    text = re.sub("~", lambda match: str(rng.randint(1, 9)), text)
    return re.sub(r"\^(?![A-ZÀ-Þ]{2})", lambda match: rng.choice("ABCDEFGHJKMNPRTWXYZ"), text)


def sentences(half: Half, seed: int, n: int) -> Iterator[Sentence]:
    """`n` sentences of one half, each of its forms in turn."""
    rng = random.Random(seed)
    forms = _halved(tuple(FORMS["sentences"]), half)
    for i in range(n):
        text, spans = "", []
        for part in re.split(r"(\{\w+\})", forms[i % len(forms)]):
            kind = part[1:-1] if part.startswith("{") else ""
            piece = written(rng.choice(_halved(tuple(VALUES[kind]), half)), half, rng) if kind else part
            if kind:
                spans.append((kind, len(text), len(text) + len(piece)))
            text += piece
        yield Sentence(text, tuple(spans))


def marked_sentences(group: Literal["unseen", "survived"]) -> Iterator[Sentence]:
    """The sentences of a group that marks its identifiers."""
    for marked in FORMS[group]:
        text, spans = "", []
        for i, part in enumerate(re.split(r"\[\[|\]\]", marked)):
            if i % 2:
                spans.append(("any", len(text), len(text) + len(part)))
            text += part
        yield Sentence(text, tuple(spans))


def is_hidden(text: str, start: int, end: int, replaced: Iterable[tuple[int, int]]) -> bool:
    """Whether no letter or digit of `text[start:end]` is left, save for "the", "of" and the like."""
    left = [c if not any(a <= k < b for a, b in replaced) else " " for k, c in enumerate(text[start:end], start)]
    return not re.search(
        r"[^\W_]", re.sub(r"\b(?:the|of|de|at|and|on|ext|x|County|LLC|Jr|III?)\b|['’]s", "", "".join(left))
    )


def measure(
    recognise: Callable[[str], list[tuple[int, int]]], half: Half, seed: int, n: int
) -> tuple[Counter[str], Counter[str], list[str]]:
    """(identifiers by kind, those found, what was missed) for a function that gives the replaced spans of a text."""
    there, found, missed = Counter[str](), Counter[str](), []
    for sentence in sentences(half, seed, n):
        replaced = recognise(sentence.text)
        for kind, start, end in sentence.identifiers:
            there[kind] += 1
            if is_hidden(sentence.text, start, end, replaced):
                found[kind] += 1
            else:
                missed.append(f"{kind:10s} [{sentence.text[start:end]}] in: {sentence.text}")
    return there, found, missed


def by_rules(text: str) -> list[tuple[int, int]]:
    """What this project's rules replace."""
    return [(r.start, r.end) for r in deidentify(text, "s")[1]]


if __name__ == "__main__":
    half: Half = "held_out" if "held_out" in sys.argv else "development"
    there, found, missed = measure(by_rules, half, seed=11, n=1500)
    print(f"{half}: {found.total()} of {there.total()}, recall {found.total() / there.total():.4f}")
    print({kind: f"{found[kind]}/{n}" for kind, n in sorted(there.items()) if found[kind] < n})
    if "missed" in sys.argv:
        print(*sorted(set(missed)), sep="\n")
