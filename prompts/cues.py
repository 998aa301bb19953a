"""What a text's words point to: the structures and extremes that the vocabulary knows, stretch by stretch.

A learned reader gets these beside the words themselves, as named-entity taggers get gazetteers: it need not learn anew
what every synonym means, only which of the things that are named is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from corpus.anatomy import BY_NAME, mentions
from prompts.intent import ATTRIBUTES, ORDINALS, RELATIONS
from prompts.kinds import claims

CUES: tuple[str, ...] = (*BY_NAME, *ATTRIBUTES, *RELATIONS, *ORDINALS.values())
"""What a cue may point to. The structures come first, so that the first cues' numbers are the organs' ids."""
NUMBERS = {name: number for number, name in enumerate(CUES, start=1)}


@dataclass(frozen=True)
class Cue:
    """Characters `start:end` point to `CUES[number - 1]`, which the sentence may negate."""

    start: int
    end: int
    number: int
    negated: bool


def cues(text: str) -> list[Cue]:
    """The cues of a text. Names come last: where a name holds a claim ("left kidney"), the name counts."""
    found = [
        Cue(match.start(), match.end(), NUMBERS[name], False)
        for name in CUES[len(BY_NAME) :]
        for match in claims()[name].pattern.finditer(text)
    ]
    return found + [Cue(m.start, m.end, NUMBERS[m.organ], m.negated) for m in mentions(text)]
