"""What a request asks for, by looking its words up in the vocabulary: no model, no training; a baseline."""

from __future__ import annotations

from prompts.intent import OPPOSITE, ORDINALS, POSITIONS, RELATIONS, Intent, on_display
from prompts.kinds import claims as specified
from prompts.wording.claims import claims, mentions_in, without
from prompts.wording.sides import excluded_member, shown_side


def keyword_intent(text: str) -> Intent:
    """The intent that a request's words spell.

    The first structure that is named and not negated is meant; a relation beside it makes it an anchor. Without a name,
    the first extreme that is claimed is meant, with its rank. Nothing else asks for anything.
    """
    if member := excluded_member(text):
        side, noun = member.split(" ", 1)
        return Intent("anatomy", f"{OPPOSITE[side]} {noun}", frame="patient", negated=True)
    if shown := shown_side(text):
        noun, side = shown
        organ = on_display(f"left {noun}", side)  # type: ignore[arg-type]
        return Intent("anatomy", organ, attribute=side, frame="image")  # type: ignore[arg-type]
    plain = without(text, mentions_in(text))
    said = {name for name, claim in specified().items() if claim.pattern.search(plain)}
    organ = next((mention.organ for mention in mentions_in(text) if not mention.negated), None)
    relation = next((name for name in RELATIONS if name in said), None)
    if organ:
        return Intent("relation", organ, relation=relation) if relation else Intent("anatomy", organ, frame="patient")
    if extreme := next(iter(claims(plain)), None):
        rank = next((rank for rank, name in ORDINALS.items() if name in said), 1)
        return Intent("position" if extreme in POSITIONS else "size", attribute=extreme, rank=rank)  # type: ignore[arg-type]
    return Intent("none")
