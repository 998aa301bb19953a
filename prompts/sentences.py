"""Clinical sentences about a structure, from sentences.yaml: the offline provider's answer to the task "sentences"."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from corpus.anatomy import BY_NAME
from corpus.params import read_yaml
from prompts.grammar import Node, expand, parse, pick
from prompts.phrases import OrganPhrases, Phrase, organ_phrases

SENTENCES = Path(__file__).with_name("sentences.yaml")
TRIES = 5
"""Drafts of one template before the next one has its turn."""
_REPEATABLE = {"that", "they", "what", "with", "left", "right"}


@cache
def _templates(style: str) -> tuple[Node, ...]:
    """Every template of a style."""
    groups = read_yaml(SENTENCES)[style]
    return tuple(parse(text) for group in groups.values() for text in group)


def _noun_phrases(known: OrganPhrases, style: str) -> tuple[Phrase, ...]:
    """Plain names for an expert; for lay people all that they say of somebody's organ, but for what it does."""
    if style == "expert":
        return known.by_style[style][0][1]
    return tuple(phrase for _, phrases in known.by_style[style][:-1] for phrase in phrases if not phrase.others)


def _slots(organ: str, style: str, rng: random.Random) -> dict[str, tuple[str, ...]]:
    """One choice for every slot, with agreement in number; slots that have none are left out."""
    known, entry = organ_phrases(organ), BY_NAME[organ]
    phrase = pick(_noun_phrases(known, style), rng)

    def agreeing(texts: Iterable[Phrase]) -> tuple[str, ...]:
        return tuple(other.text for other in texts if other.plural is phrase.plural)

    options = {
        "np": (phrase.text,),
        "compound": known.compounds[style],
        "finding": known.findings,
        "reason": known.reasons,
        "purpose": known.purposes,
        "landmark": agreeing(Phrase("the", text.removeprefix("the ")) for text in entry.landmarks),
        "clause": known.clauses,
        "function": agreeing(Phrase("the", text) for text in entry.functions),
        "is": ("are" if phrase.plural else "is",),
        "was": ("were" if phrase.plural else "was",),
        "do": ("do" if phrase.plural else "does",),
        "show": ("show" if phrase.plural else "shows",),
        "have": ("have" if phrase.plural else "has",),
    }
    return {name: (pick(texts, rng),) for name, texts in options.items() if texts}


def _natural(text: str) -> bool:
    """Whether nothing is said twice."""
    words = [word[:5] for word in re.findall(r"[a-z]{4,}", text.lower()) if word not in _REPEATABLE]
    return len(set(words)) == len(words)


def sentences(organ: str, style: str, seed: int) -> Iterator[str]:
    """Endless sentences about `organ` in a style of sentences.yaml; every template has a turn before one returns."""
    rng = random.Random(seed)
    while True:
        for template in sorted(_templates(style), key=lambda _: rng.random()):
            for _ in range(TRIES):
                try:
                    text = expand(template, _slots(organ, style, rng), rng)
                except KeyError:  # a slot that this structure, or this noun phrase, can't fill
                    continue
                if _natural(text):
                    yield text[0].upper() + text[1:]
                    break
