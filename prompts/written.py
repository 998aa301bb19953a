"""Texts that no provider has to write: bare names to ask by, ways of asking, and texts that ask for no segmentation.

The project brings them along, but for the sentences of the user's reports. Language models drafted most of them (see
forms.yaml)."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from corpus.anatomy import ORGANS, PAIRED_NOUNS, Organ
from corpus.errors import InputError
from corpus.params import read_yaml
from prompts.bank import REPORTS, WRITTEN
from prompts.checks.reading import pattern
from prompts.intent import OPPOSITE, PAIRS, pair_of
from prompts.kinds import Cell, kinds, styles
from prompts.quality import draw

_SENTENCE_END = r"(?<=[.?!])\s"
_DETERMINED = re.compile(
    r"(?:\b(?:the|my|your|his|her|an?|that|this|whole|entire|normal|no)|'s) \{organ\}", re.IGNORECASE
)
_ARTICLE = re.compile(r"^(?:(?:the|my|both) )+")
_MALE = ("prostate", "seminal vesicles")
_OF_A_WOMAN = re.compile(r"(?i)\b(?:hers?|she|wife|mum|mother|granny|grandma|nan|woman|lady|cervix|\d\dF)\b")
FORMS = Path(__file__).with_name("forms.yaml")
LONGEST = 24
"""Words of a sentence."""
OF_REPORTS = ("identifiers", "names", "language", "duplicate")
"""The checks of a report's sentence: de-identification may have missed what the project's own texts never held."""
SHORT, OFTENER = 4, 4
"""A form of so few words is filled with so many times as many structures: such requests are typed most, and in them
the name alone can go astray."""


@dataclass(frozen=True)
class Written:
    """A text for the bank, the checks that it must pass there, and where it comes from."""

    text: str
    cell: Cell
    checks: tuple[str, ...] = ("duplicate",)
    provider: str = WRITTEN
    passage_ids: tuple[str, ...] = ()
    """The passage that it is a sentence of."""


def _for_nothing(text: str, style: str, checks: tuple[str, ...]) -> Written:
    return Written(text, Cell("none", "none", style), checks)


def texts_for_nothing(path: Path) -> Iterator[Written]:
    """Texts of kind "none" that were written for this project.

    Args:
        path: YAML list of {style, text}.

    Raises:
        InputError: An entry is something else.
    """
    for number, entry in enumerate(read_yaml(path), start=1):
        if not isinstance(entry, dict) or entry.get("style") not in styles() or not str(entry.get("text", "")).strip():
            raise InputError(
                f"{path}, entry {number}",
                f"must be {{style, text}} with a style of {', '.join(styles())}, but found {entry!r}",
                "correct the entry",
            )
        yield _for_nothing(entry["text"], entry["style"], ("length", "duplicate", "near_duplicate"))


def report_sentences(passages: pd.DataFrame, n: int, seed: int) -> Iterator[Written]:
    """At most `n` sentences of reports and of people's questions, drawn with a seed; they name organs and ask for none.

    Args:
        passages: Rows of `corpus.reports.passages.SCHEMA`; the first sentence of each is taken, if people might type
            as much.
    """
    people = passages[passages["tag"].isin(("S1", "S2"))]
    first = people.assign(text=people["text"].str.split(_SENTENCE_END, n=1, regex=True).str[0])
    may_ask = first["text"].str.lower().str.contains(pattern("may_ask"))
    fitting = first[(first["text"].str.count(r"\S+") <= LONGEST) & ~may_ask]
    for row in draw(fitting.rename(columns={"passage_id": "prompt_id"}), n, seed).to_dict("records"):
        cell = Cell("none", "none", "lay" if row["tag"] == "S2" else "expert")
        yield Written(row["text"], cell, OF_REPORTS, REPORTS, (row["prompt_id"],))


def forms(number: int, seed: int) -> Iterator[Written]:
    """Ways of asking as people have them, whatever is asked for (forms.yaml); those with a slot are filled with the
    names of `number` structures each (short ones with more), drawn with a seed. Texts that name an organ and ask for
    nothing are among them; none at all for 0."""
    rng, content = random.Random(seed), read_yaml(FORMS) if number else {}
    for asks in ("requests", "nothing"):
        for form in content.get(asks, ()):
            organs = _speakable(form)
            for organ in _drawn(organs, form, number, rng):
                style, names = rng.choice([(style, names) for style, names in _names(organ) if names])
                text = filled(form, rng.choice(names), _other(organ, organs, rng))
                if asks == "nothing":
                    yield _for_nothing(text, style, ("duplicate",))
                else:
                    yield Written(text, Cell("anatomy", organ.name, style))
    for text in content.get("chatter", ()):
        yield _for_nothing(text, "lay", ("duplicate",))
    yield from _of_pairs(content, number, rng)
    for kind in kinds().values():
        beside: dict[str, list[tuple[str, str]]] = {}
        for target, intent in kind.intents.items():
            if intent.relation:
                beside.setdefault(intent.relation, []).append((target, str(intent.organ)))
            elif not intent.negated:  # its target is the one of the same structure asked for by name
                yield from (Written(text, Cell(kind.name, target, "lay")) for text in content.get(target, ()))
        for relation, neighbors in beside.items():
            for form in content.get(relation, ()):
                for target, neighbor in rng.sample(neighbors, number):
                    yield Written(filled(form, neighbor), Cell(kind.name, target, "trainee"))


def _of_pairs(content: Mapping[str, Sequence[str]], number: int, rng: random.Random) -> Iterator[Written]:
    """The members of pairs, asked for by side, by the picture's side, and by the side that isn't meant."""
    members = [organ for organ in ORGANS if organ.name in PAIRS]
    for kind, asks in (("anatomy", "pairs"), ("negated", "negated"), ("displayed", "displayed")):
        for form in content.get(asks, ()):
            for organ in _drawn(members, form, number, rng):
                side = str(organ.side)
                slots = {"noun": rng.choice(PAIRED_NOUNS[PAIRS[organ.name]]), "side": side, "S": side[0].upper()}
                text = _with(form, slots | {"s": side[0], "opposite": OPPOSITE[side]})
                target = f"{side}most {PAIRS[organ.name]}" if kind == "displayed" else organ.name
                yield Written(text, Cell(kind, target, "trainee"))


def _drawn(organs: Sequence[Organ], form: str, number: int, rng: random.Random) -> list[Organ]:
    """The structures that a form is filled with."""
    times = OFTENER if len(form.split()) <= SHORT else 1
    return rng.sample(organs, min(number * times, len(organs)))


def _speakable(form: str) -> Sequence[Organ]:
    """The structures that a form can speak of: nobody asks for his wife's prostate."""
    return [organ for organ in ORGANS if organ.name not in _MALE] if _OF_A_WOMAN.search(form) else ORGANS


def _other(organ: Organ, organs: Sequence[Organ], rng: random.Random) -> str:
    """The name of one of `organs` that has nothing to do with `organ`."""
    pair = (organ.name, PAIRS.get(organ.name), *(pair_of(organ.name) or ()))
    return rng.choice([other.name for other in organs if other.name not in pair])


def _names(organ: Organ) -> Iterator[tuple[str, Sequence[str]]]:
    """(style, names of one sort)"""
    yield "expert", (organ.name,)
    yield "trainee", (organ.name, *organ.synonyms)
    yield "expert", organ.synonyms
    yield "expert", organ.abbreviations
    yield "expert", organ.also
    yield "lay", organ.lay


def filled(form: str, name: str, other: str = "") -> str:
    """The form with a name in its slot, an article that both bring said once, and another structure's name in the
    other."""
    if _DETERMINED.search(form):
        name = _ARTICLE.sub("", name)
    return _with(form, {"organ": name, "other": other})


def _with(form: str, slots: Mapping[str, str]) -> str:
    """The form with its slots filled; other braces stay, since programs write some."""
    for slot, value in slots.items():
        form = form.replace(f"{{{slot}}}", value)
    return form


def bare_names() -> Iterator[Written]:
    """The shortest ways to ask: people type "liver" or "biggest organ", and nothing more."""
    names: dict[tuple[str, str], Mapping[str, Sequence[str]]] = {
        ("anatomy", organ.name): {
            "expert": (organ.name, *organ.synonyms, *organ.abbreviations, *organ.also),
            "lay": organ.lay,
        }
        for organ in ORGANS
    }
    names |= {(kind.name, target): by_style for kind in kinds().values() for target, by_style in kind.names.items()}
    for (kind_name, target), by_style in names.items():
        for style, texts in by_style.items():
            yield from (Written(text, Cell(kind_name, target, style)) for text in texts)
