"""Checks against what is there already: the passages that the writer was shown, and the texts accepted before."""

from __future__ import annotations

from prompts.checks.registry import Context, check
from prompts.kinds import Cell


@check("copied")
def _copied(text: str, cell: Cell, context: Context) -> str | None:
    copied = context.source.copied(text)
    return f"copied from a passage: {copied!r}" if copied else None


@check("dictated")
def _dictated(text: str, cell: Cell, context: Context) -> str | None:
    said = context.source.dictated(text)
    return f"says what a passage told its writer to say: {said!r}" if said else None


@check("duplicate")
def _duplicate(text: str, cell: Cell, context: Context) -> str | None:
    same = context.duplicates.exact(text)
    return f"the same as {same!r}" if same else None


@check("near_duplicate")
def _near_duplicate(text: str, cell: Cell, context: Context) -> str | None:
    near = context.duplicates.near(text, cell.target)
    return f"nearly the same as {near!r}" if near else None
