"""`flans search`: what retrieval finds for a query, for people to read."""

from __future__ import annotations

import textwrap
from collections.abc import Collection

from corpus.anatomy import BY_NAME
from corpus.errors import InputError
from corpus.reports.index import Hit, load_index
from corpus.reports.readers import STYLES
from pipelines.reporting import require
from pipelines.stage import INDEX


def found(query: str, k: int, tags: Collection[str] | None, organs: Collection[str] | None) -> list[Hit]:
    """The k passages nearest to `query`, of the given tags and organs.

    Raises:
        InputError: There is no index, the query is empty, or a tag or organ isn't known.
    """
    if not query.strip():
        raise InputError("flans search", "the query is empty", 'for example: flans search "cyst of the left kidney"')
    for kind, wanted, known in (("--tag", tags, STYLES), ("--organ", organs, BY_NAME)):
        for name in wanted or ():
            if name not in known:
                raise InputError(f"flans search {kind}", f"{name!r} isn't known", f"use one of: {', '.join(known)}")
    (hits,) = load_index(require(INDEX, "index")).search([query], k, tags=tags or None, organs=organs or None)
    return hits


def shown(hit: Hit) -> str:
    """One hit: a line that says where it comes from, then its text. Organs that it negates have a "no" before them."""
    passage = hit.passage
    organs = [f"no {name}" if name in passage["negated_organs"] else name for name in passage["organs"]]
    parts = (passage["tag"], f"{passage['source']}/{passage['report_id']}", passage["section"], ", ".join(organs))
    text = textwrap.fill(passage["text"], 110, initial_indent="       ", subsequent_indent="       ")
    return f"{hit.score:.3f}  " + "  |  ".join(part for part in parts if part) + f"\n{text}"
