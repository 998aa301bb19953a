"""The kinds and styles of requests, read from kinds.yaml, and the cells of the bank that they span."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, cast

from pydantic import TypeAdapter, ValidationError

from corpus.anatomy import ORGANS
from corpus.errors import InputError
from corpus.params import params_dataclass, read_yaml
from prompts.intent import ATTRIBUTES, Attribute, Intent, KindName

SPECIFICATIONS = Path(__file__).with_name("kinds.yaml")


@params_dataclass
class Style:
    """Who speaks: the sources of passages that set the tone, the length of a request in words, the manner."""

    tags: tuple[str, ...]
    words: tuple[int, int]
    voice: str


@params_dataclass
class Claim:
    """What an attribute says of the picture, the pattern of words that claim it, and the shortest ways to ask."""

    says: str
    claims: str
    names: dict[str, tuple[str, ...]]
    """Style -> bare phrases."""


@params_dataclass
class Kind:
    """One kind of request: what it asks for, what it must and must not say, and examples by style."""

    name: str
    targets: Literal["organs"] | dict[str, Claim]
    passages: bool
    task: str
    must: tuple[str, ...]
    must_not: tuple[str, ...]
    angles: tuple[str, ...]
    examples: dict[str, tuple[str, ...]]

    @property
    def target_names(self) -> tuple[str, ...]:
        """Organs in the vocabulary's order, or attributes in the order of `prompts.intent.ATTRIBUTES`."""
        if self.targets == "organs":
            return tuple(organ.name for organ in ORGANS)
        return tuple(attribute for attribute in ATTRIBUTES if attribute in self.targets)


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
        if kinds()[self.kind].targets == "organs":
            return Intent(kind=cast(KindName, self.kind), organ=self.target, frame="patient")
        return Intent(kind=cast(KindName, self.kind), attribute=cast(Attribute, self.target), frame="image")


@cache
def _specifications() -> tuple[dict[str, Style], dict[str, Kind]]:
    """Raises: InputError: kinds.yaml doesn't fit the classes above."""
    content = read_yaml(SPECIFICATIONS)
    try:
        styles = TypeAdapter(dict[str, Style]).validate_python(content["styles"])
        listed = TypeAdapter(list[Kind]).validate_python(content["kinds"])
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(SPECIFICATIONS, f"`{key}`: {first['msg']}", f"correct `{key}`") from None
    return styles, {kind.name: kind for kind in listed}


def styles() -> dict[str, Style]:
    """Style by name, in the order of kinds.yaml."""
    return _specifications()[0]


def kinds() -> dict[str, Kind]:
    """Kind by name, in the order of kinds.yaml."""
    return _specifications()[1]


@cache
def claim_patterns() -> dict[str, re.Pattern[str]]:
    """Attribute -> pattern of the words that claim it, over all kinds."""
    return {
        name: re.compile(rf"\b(?:{claim.claims})\b", re.IGNORECASE)
        for kind in kinds().values()
        if isinstance(kind.targets, dict)
        for name, claim in kind.targets.items()
    }


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
        for target in kind.target_names
        for style in styles()
    }
