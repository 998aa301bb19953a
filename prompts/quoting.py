"""Short phrases of report passages that a request may take up: what is the matter, in the report's own words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from corpus.anatomy import mentions
from prompts.intent import Intent
from prompts.kinds import claims

WORDS = (2, 6)
"""Fewest and most words of a phrase: fewer than checks.py takes for a copy."""
_PARTS = re.compile(
    r"(?:\.(?!\d)|[,;:!?()/\"“”‘\[\]])+\s*|\s+[-–—]\s+|\s+(?:and|but|with|which|that|because|so|or|if|when|while|although)\s+"
)
_ENDS = re.compile(
    r"^(?:which|that|whether|if|allowing|until|and|or|but|with|of|in|on|at|to|for|from|is|are|was|were|has|have|as|by|"
    r"than|its?|their|this|these|those|there|then|just|only|even|still|now|both|neither|nowhere|given|"
    r"the other|besides?|look|leave|grow|took|went|suggests?|recommends?|touching|checking|churns|filter|goes|\w)\b"
    r"|\b(?:the|an?|of|in|on|at|to|for|from|by|with|and|or|is|are|was|were|be|been|has|have|no|not|as|my|your|than|into|its?|do|does|i|"
    r"very|so|can|will|there|may|one|two|three|\w)$",
    re.IGNORECASE,
)
_NEVER = re.compile(
    r"\b(?:no|not|nor|without|left|right|patient\w*|please|you|your|he|she|his|her|we|us|they|them|normal|unremarkable|previous\w*|"
    r"images?|slices?|scans?|ct|mri?|pet|x-?rays?|ultraso\w+|phase|contrast\w*|coronal|sagittal|axial|instructions?|what|who|how|why|"
    r"where|ask\w*|named|called|i|my|me|am|im|mum|dad|wife|husband|son|daughter|whats|something|things?|sounds|mean|wonder\w*|"
    r"do|does|did|can|could|dr|mr|mrs|doctors?|surgeons?|nurses?|gp|said|says|told|wrote|prior|since|hello|hi|thanks?|"
    r"anyone)\b|[^\x20-\x7e]|\d{3}",
    re.IGNORECASE,
)


def _fits(phrase: str, organ: str | None) -> bool:
    named = list(mentions(phrase))
    beside = phrase
    for mention in reversed(named):
        beside = beside[: mention.start] + beside[mention.end :]
    return not (
        _NEVER.search(phrase)
        or _ENDS.search(phrase)
        or (named and not re.search(r"[^\W\d_]{4,}", beside))
        or any(claim.pattern.search(phrase) for claim in claims().values())
        or any(mention.organ != organ or mention.negated for mention in named)
    )


def quotes(passages: Iterable[str], intent: Intent) -> tuple[str, ...]:
    """The phrases of `passages` that claim nothing of the picture and name no structure but the one asked for."""
    return tuple(dict.fromkeys(_phrases(passages, intent)))


def _phrases(passages: Iterable[str], intent: Intent) -> Iterator[str]:
    organ = intent.organ if intent.kind == "anatomy" and not intent.negated and intent.frame == "patient" else None
    for passage in passages:
        for part in _PARTS.split(passage):
            phrase = part.strip(" '")
            if WORDS[0] <= len(re.findall(r"[^\W\d_]{3,}", phrase)) <= len(phrase.split()) <= WORDS[1] and _fits(
                phrase, organ
            ):
                first = phrase.split()[0]
                yield phrase if first[1:] != first[1:].lower() or first == "I" else phrase[0].lower() + phrase[1:]
