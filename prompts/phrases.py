"""How one may refer to a structure: noun phrases with their number, and reasons to ask for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from corpus.anatomy import BY_NAME, Organ
from corpus.params import read_yaml

ORGAN_PHRASES = Path(__file__).with_name("grammar_organs.yaml")

_AFTER_HEAD = re.compile(
    r"\s(?:that|on|in|of|beside|behind|below|above|under|beneath|around|between|with|from|to|feeding|after|just|back|down)\s"
)
_PURPOSE = re.compile(r"\b(?:planning|staging|volumetry|placement|contouring|work-up|status|volume)\b")
_LATIN = re.compile(
    r"\b(?:hepar|lien|ren|renes|gaster|ventriculus|intestinum|vesica|aorta abdominalis|postcava|vena cava inferior|"
    r"vena portae|glandula|prostata|vesiculae|caput|pulmo|cholecyst)\b"
)
_OWNERS = ("my dad's", "my husband's", "my brother's", "grandad's", "my son's")
_OWNERS_WOMEN = ("my mum's", "my wife's", "my sister's", "grandma's")
_MALE = ("prostate", "seminal vesicles")
_SINGULAR = {"seminal vesicles": "seminal vesicle", "portal vein and splenic vein": "portal and splenic vein"}


@dataclass(frozen=True)
class Phrase:
    """A noun phrase. `bare` is without its article; `others`: it belongs to somebody else ("my dad's liver")."""

    article: str
    bare: str
    others: bool = False

    @property
    def text(self) -> str:
        return f"{self.article} {self.bare}".strip()

    @property
    def plural(self) -> bool:
        """Whether it takes "are" and "them": told by the noun, before whatever qualifies it."""
        head = _AFTER_HEAD.split(f"{self.bare} ", maxsplit=1)[0].strip()
        return bool(re.search(r"\w (?:and|et) \w", head)) or (
            head.endswith("s") and not head.endswith(("ss", "us", "as", "is", "os"))
        )


@dataclass(frozen=True)
class OrganPhrases:
    """All that can be said of one structure."""

    by_style: dict[str, tuple[tuple[float, tuple[Phrase, ...]], ...]]
    """Style -> (weight, phrases of one sort); weights sum to 1."""
    plain: dict[str, tuple[Phrase, ...]]
    """Style -> phrases that name it, as somebody's own at most."""
    compounds: dict[str, tuple[str, ...]]
    """Style -> what goes before "mask": names, abbreviations, adjectives."""
    landmarks: tuple[Phrase, ...]
    reasons: tuple[str, ...]
    purposes: tuple[str, ...]
    findings: tuple[str, ...]
    clauses: tuple[str, ...]


def _split(phrase: str) -> Phrase:
    """A phrase of the vocabulary, with its article; "the" where it has none."""
    found = re.match(r"(the|my|both)\s+(.*)", phrase)
    return Phrase(found[1], found[2]) if found else Phrase("the", phrase)


def _weighted(*groups: tuple[float, tuple[Phrase, ...]]) -> tuple[tuple[float, tuple[Phrase, ...]], ...]:
    """The groups that hold anything, their weights scaled to sum to 1."""
    held = [(weight, phrases) for weight, phrases in groups if phrases]
    total = sum(weight for weight, _ in held)
    return tuple((weight / total, phrases) for weight, phrases in held)


@cache
def _entries() -> dict[str, Any]:
    return dict(read_yaml(ORGAN_PHRASES))


def _entry(organ: Organ) -> dict[str, tuple[str, ...]]:
    """The organ's entry of grammar_organs.yaml, with its side filled in."""
    key = f"side {organ.name.removeprefix(f'{organ.side} ')}" if organ.side else organ.name
    return {
        field: tuple(text.replace("{side}", organ.side or "") for text in texts)
        for field, texts in _entries()[key].items()
    }


@cache
def organ_phrases(name: str) -> OrganPhrases:
    """All that can be said of the structure called `name`, from both vocabularies."""
    organ = BY_NAME[name]
    entry = _entry(organ)
    names = tuple(_split(text) for text in entry["names"])
    synonyms = tuple(_split(text) for text in organ.synonyms)
    english = tuple(phrase for phrase in synonyms if not _LATIN.search(phrase.bare))
    latin = tuple(phrase for phrase in synonyms if _LATIN.search(phrase.bare))
    short = tuple(Phrase("the", text) for text in organ.abbreviations)
    functions = tuple(Phrase("the", text) for text in organ.functions)
    landmarks = tuple(_split(text) for text in organ.landmarks)
    lay = tuple(_split(text) for text in organ.lay)
    owners = _OWNERS if name in _MALE else _OWNERS + _OWNERS_WOMEN
    mine = tuple(Phrase("my", text) for text in entry["mine"])
    plain = tuple(Phrase("the", text) for text in (*entry["mine"][:1], *entry["names"][:1]))
    others = tuple(Phrase(owner, text, others=True) for text in entry["mine"] for owner in owners)
    base = _SINGULAR.get(name, name)
    reasons = tuple(text for text in organ.contexts if not _PURPOSE.search(text))
    purposes = tuple(text for text in organ.contexts if _PURPOSE.search(text))
    return OrganPhrases(
        by_style={
            "expert": _weighted((40, names), (24, english), (3, latin), (15, short), (8, functions), (10, landmarks)),
            "trainee": _weighted((45, names), (22, english), (3, short), (15, functions), (15, landmarks)),
            "lay": _weighted((28, lay), (26, mine), (14, plain), (16, others), (12, functions)),
        },
        plain={"expert": names + english, "trainee": names + english, "lay": (*plain, *plain, *mine)},
        compounds={
            "expert": (base, base, *organ.abbreviations, *organ.adjectives),
            "trainee": (base, *organ.adjectives),
            "lay": (base,),
        },
        landmarks=(*landmarks, *functions),
        reasons=(*reasons, *entry["reasons"]),
        purposes=(*purposes, *entry["purposes"]),
        findings=entry["findings"],
        clauses=entry["clauses"],
    )
