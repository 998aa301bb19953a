"""A small generative grammar: templates with rules, choices and optional parts, expanded at random.

`{rule}` is one alternative of a rule, `(a|b|c)` one of three texts, `[a]` a or nothing; they nest.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar


@dataclass(frozen=True)
class Rule:
    """A reference to a rule by its name."""

    name: str


@dataclass(frozen=True)
class Choice:
    """One of these."""

    options: tuple[Node, ...]


Node = str | Rule | Choice | tuple["Node", ...]
Rules = Mapping[str, Sequence[Node]]

T = TypeVar("T")

_TOKEN = re.compile(r"\{\w+\}|[()\[\]|]|[^{}()\[\]|]+")
_CLOSING = {"(": ")", "[": "]"}


def parse(template: str) -> Node:
    """The tree of a template.

    Raises:
        ValueError: A bracket isn't closed, or a closing one was never opened.
    """
    tokens = iter(_TOKEN.findall(template))
    options, end = _options(tokens)
    if end or len(options) != 1:
        raise ValueError(f"unbalanced brackets, or a bare `|`, in {template!r}")
    return options[0]


def _options(tokens: Iterator[str]) -> tuple[tuple[Node, ...], str]:
    """(alternatives up to the next closing bracket, that bracket or "" at the end)."""
    options: list[tuple[Node, ...]] = [()]
    for token in tokens:
        if token in _CLOSING:
            inner, end = _options(tokens)
            if end != _CLOSING[token]:
                raise ValueError(f"`{token}` isn't closed")
            options[-1] += (Choice(inner if token == "(" else (*inner, "")),)
        elif token in (")", "]"):
            return tuple(options), token
        elif token == "|":
            options.append(())
        else:
            options[-1] += (Rule(token[1:-1]) if token.startswith("{") else token,)
    return tuple(options), ""


def parse_rules(rules: Mapping[str, Sequence[str]]) -> dict[str, tuple[Node, ...]]:
    """Every alternative of every rule, parsed."""
    return {name: tuple(parse(str(text)) for text in alternatives) for name, alternatives in rules.items()}


def pick(options: Sequence[T], rng: random.Random) -> T:
    """One of `options`. `random()` is the generator's one method that no Python version changes the results of."""
    return options[int(rng.random() * len(options))]


def expand(node: Node, rules: Rules, rng: random.Random) -> str:
    """A text of the grammar.

    Raises:
        KeyError: A rule that `rules` lacks.
    """
    if isinstance(node, str):
        return node
    if isinstance(node, Rule):
        return expand(pick(rules[node.name], rng), rules, rng)
    if isinstance(node, Choice):
        return expand(pick(node.options, rng), rules, rng)
    return "".join([expand(part, rules, rng) for part in node])
