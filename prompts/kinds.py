"""The kinds and styles of requests, read from kinds.yaml, and the cells of the bank that they span."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from corpus.anatomy import ORGANS
from corpus.errors import InputError
from corpus.params import params_dataclass, read_yaml
from prompts.intent import ATTRIBUTES, ORDINALS, RELATIONS, Intent

SPECIFICATIONS = Path(__file__).with_name("kinds.yaml")


@params_dataclass
class Style:
    """Who speaks: the sources of passages that set the tone, the length of a request in words, the manner."""

    tags: tuple[str, ...]
    words: tuple[int, int]
    voice: str


@params_dataclass
class Claim:
    """What a word such as "leftmost", "second" or "above" says of the picture, and the words that claim it."""

    says: str
    claims: str

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """`claims` as whole words, in any case."""
        return re.compile(rf"\b(?:{self.claims})\b", re.IGNORECASE)


@params_dataclass
class Kind:
    """One kind of request: what it asks for, which fact makes it true, what it must and must not say, and examples."""

    name: str
    title: str
    asks: tuple[dict[str, Any], ...]
    """Fields of `Intent`; a list stands for each of its values in turn, "every" for every organ."""
    rule: str
    """The name in `prompts.rules.RULES` of what finds the right answer and says how clear it is."""
    meaning: str
    passages: bool
    task: str
    must: tuple[str, ...]
    must_not: tuple[str, ...]
    angles: tuple[str, ...]
    examples: dict[str, tuple[str, ...]]
    names: dict[str, dict[str, tuple[str, ...]]]
    """Target -> style -> the shortest ways to ask for it."""

    @cached_property
    def intents(self) -> dict[str, Intent]:
        """What can be asked for, by its `Intent.target`."""
        found = {}
        for fields in self.asks:
            every = {k: tuple(o.name for o in ORGANS) if v == "every" else v for k, v in fields.items()}
            values = [tuple(v) if isinstance(v, list | tuple) else (v,) for v in every.values()]
            for chosen in product(*values):
                intent = Intent(**dict(zip(every, chosen, strict=True)))
                found[str(intent.target)] = intent
        return found


@dataclass(frozen=True)
class Cell:
    """One cell of the bank: requests of one kind for one target in one style."""

    kind: str
    target: str
    style: str

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.target}/{self.style}"

    @property
    def intent(self) -> Intent:
        """What every request of this cell asks for."""
        return kinds()[self.kind].intents[self.target] if self.kind in kinds() else Intent("none")


@cache
def _specifications() -> tuple[dict[str, Style], dict[str, Kind], dict[str, Claim]]:
    """Raises: InputError: kinds.yaml doesn't fit the classes above."""
    content = read_yaml(SPECIFICATIONS)
    try:
        styles = TypeAdapter(dict[str, Style]).validate_python(content["styles"])
        listed = TypeAdapter(list[Kind]).validate_python(content["kinds"])
        claims = TypeAdapter(dict[str, Claim]).validate_python(content["claims"])
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(SPECIFICATIONS, f"`{key}`: {first['msg']}", f"correct `{key}`") from None
    return styles, {kind.name: kind for kind in listed}, claims


def styles() -> dict[str, Style]:
    """Style by name, in the order of kinds.yaml."""
    return _specifications()[0]


def kinds() -> dict[str, Kind]:
    """Kind by name, in the order of kinds.yaml."""
    return _specifications()[1]


def claims() -> dict[str, Claim]:
    """What words claim of the picture: by attribute, ordinal and relation."""
    return _specifications()[2]


def claim_patterns() -> dict[str, re.Pattern[str]]:
    """Attribute -> pattern of the words that claim it."""
    return {name: claims()[name].pattern for name in ATTRIBUTES}


_STRAIGHT = re.compile(r"\bright (?=(?:above|below|beneath|under|over)\b)", re.IGNORECASE)
"""As in "right below the liver", which says nothing of the right."""


def misclaims(text: str, intent: Intent) -> str | None:
    """What a text says of rank or relation that its intent doesn't, or doesn't say that it does; None if nothing.

    Args:
        text: Without the names of structures: "left kidney" is no claim of "left of".
    """
    groups: tuple[tuple[str | None, tuple[str, ...]], ...] = (
        (ORDINALS.get(intent.rank), tuple(ORDINALS.values()) if intent.kind in ("position", "size") else ()),
        (intent.relation, RELATIONS if intent.relation else ()),
    )
    for wanted, values in groups:
        said = [value for value in values if claims()[value].pattern.search(_STRAIGHT.sub("", text))]
        if wanted and wanted not in said:
            return f"doesn't say {wanted!r}"
        if others := [value for value in said if value != wanted]:
            return f"says {others[0]!r}"
    return None


def kind_of(intent: Intent) -> Kind | None:
    """The first kind that asks for an intent."""
    return next((kind for kind in kinds().values() if kind.intents.get(str(intent.target)) == intent), None)


def cells(per_cell: Mapping[str, int]) -> dict[Cell, int]:
    """Every cell of the bank -> how many requests it shall hold, in the order kind, target, style.

    Args:
        per_cell: Kind -> requests in each of its cells.

    Raises:
        InputError: A kind that kinds.yaml doesn't know, or a number below 1.
    """
    for name, number in per_cell.items():
        if name not in kinds():
            raise InputError(
                "params.yaml generate.per_cell", f"no kind is called {name!r}", f"choose from {', '.join(kinds())}"
            )
        if number < 1:
            raise InputError(
                f"params.yaml generate.per_cell.{name}", f"must be at least 1, but found {number}", "remove or raise it"
            )
    return {
        Cell(kind.name, target, style): per_cell[kind.name]
        for kind in kinds().values()
        if kind.name in per_cell
        for target in kind.intents
        for style in styles()
    }
