"""The registry of checks: named functions `(text, cell, context) -> reason or None`, run in order of registration."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

from prompts.checks.reading import Source
from prompts.duplicates import Duplicates
from prompts.kinds import Cell


@dataclass
class Context:
    """What a candidate is checked against, apart from its cell."""

    passages: tuple[str, ...] = ()
    """The texts that its writer was shown."""
    duplicates: Duplicates = field(default_factory=Duplicates)
    """The texts accepted so far."""

    @cached_property
    def source(self) -> Source:
        """What may not be repeated of the passages."""
        return Source(self.passages)


@dataclass(frozen=True)
class Verdict:
    """The outcome of one check; `reason` is None where it passed."""

    check: str
    reason: str | None

    @property
    def passed(self) -> bool:
        return self.reason is None


Check = Callable[[str, Cell, Context], str | None]
CHECKS: dict[str, Check] = {}
"""Every check by name, in the order in which they run."""


def check(name: str) -> Callable[[Check], Check]:
    """Register a check."""

    def register(function: Check) -> Check:
        CHECKS[name] = function
        return function

    return register


def run_checks(text: str, cell: Cell, context: Context, names: Iterable[str] | None = None) -> list[Verdict]:
    """Verdicts up to and including the first failure.

    Args:
        names: The checks to run; all of them by default.
    """
    verdicts = []
    for name in CHECKS if names is None else names:
        verdicts.append(Verdict(name, CHECKS[name](text, cell, context)))
        if not verdicts[-1].passed:
            break
    return verdicts
