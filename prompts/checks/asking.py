"""Checks that a text is one request, and that an outline is what it asks for."""

from __future__ import annotations

import re

from prompts.checks.reading import pattern, words
from prompts.checks.registry import Context, check
from prompts.kinds import Cell

_ABBREVIATION = re.compile(r"\b(?:Lt|Rt|Dr|vs|e\.g|i\.e|approx|ca|St|No)\.")
_QUERY = re.compile(r"\?(?=\w)")
"""What clinicians write before a suspicion: "?thrombosis"."""
_LONG = 14
"""Words from which on a text that asks for nothing is no name."""


@check("one_request")
def _one_request(text: str, cell: Cell, context: Context) -> str | None:
    inner = _QUERY.sub("", _ABBREVIATION.sub("", text)).rstrip(" .!?")
    if match := re.search(r"[.!?]+(?=\s|$)|[!?]", inner):
        return f"more than one sentence, after {inner[: match.start()][-30:]!r}"
    if match := pattern("second_task").search(text.lower()):
        return f"a second request: {match.group()!r}"
    return None


@check("request")
def _request(text: str, cell: Cell, context: Context) -> str | None:
    plain = _QUERY.sub("", text).lower()
    start = pattern("lead").match(plain)
    rest = plain[start.end() if start else 0 :]
    # "I want to check my contour, could you draw yours?": what stands before such a clause is why it is asked.
    then_asks = pattern("then_asks").search(plain)
    if not then_asks and (match := pattern("other_task").match(rest) or pattern("asks_about").match(rest)):
        return f"asks for something else than an outline: {match.group()!r}"
    if match := pattern("knowledge").search(plain):
        return f"asks about anatomy, not for an outline: {match.group()!r}"
    if pattern("finding").match(plain) and not then_asks:
        return "a statement, where a request is wanted"
    asks = then_asks or pattern("asks").search(plain)
    if asks:
        return None
    if pattern("question").search(plain):
        return "a question about it, where a request is wanted"
    if pattern("statement").search(plain) or len(words(text)) > _LONG:
        return "a statement, where a request is wanted"
    return None
