"""One request at a time from the grammar: slots filled, agreement kept, and what no person would say thrown away."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from corpus.anatomy import ORGANS
from corpus.params import read_yaml
from prompts.grammar import Node, expand, parse_rules, pick
from prompts.intent import PAIRS, pair_of
from prompts.kinds import kinds, styles
from prompts.phrases import ORGAN_PHRASES, OrganPhrases, Phrase, organ_phrases

GRAMMAR = Path(__file__).with_name("grammar.yaml")
WORDS = Path(__file__).with_name("grammar_words.yaml")
MORE, QUOTED = 0.56, 0.38
"""Shares of the requests that tell a story of the wider vocabulary, and that take up a passage's words, where there are
any."""
Parsed = dict[str, tuple[Node, ...]]

_BRITISH = {
    "color": "colour",
    "labeled": "labelled",
    "tumor": "tumour",
    "hematuria": "haematuria",
    "hemato": "haemato",
    "hemorrhag": "haemorrhag",
    "hemoptysis": "haemoptysis",
    "hemangioma": "haemangioma",
    "hemochrom": "haemochrom",
    "anemia": "anaemia",
    "edema": "oedema",
    "ischemia": "ischaemia",
    "leukemia": "leukaemia",
    "celiac": "coeliac",
    "practic": "practis",
    "neighbor": "neighbour",
    "theater": "theatre",
    "characterize": "characterise",
    "memorize": "memorise",
    "recogniz": "recognis",
    "localize": "localise",
    "fecal": "faecal",
    "center": "centre",
    "dyspnea": "dyspnoea",
    "modeling": "modelling",
    "esophag": "oesophag",
}
_SPELLING = re.compile("(?<!o)(?:" + "|".join(_BRITISH) + ")")  # "oesophagus" is British already
_QUESTION = re.compile(
    r"(?:^(?:where|which|what|is|does|would|could|can|any chance|how|are|will|so which|now which|okay so which)\b"
    r"|\b(?:can|could|would|will) (?:you|somebody)\b|\bany chance you\b|\bwhere (?:is|are) )",
    re.IGNORECASE,
)
_SCENE = re.compile(
    r"\b(?:images?|slices?|pictures?|sections?|scans?|views?|screen|photo|plane|cut|ct|level|here|there|case|shown|visible|view)\b",
    re.IGNORECASE,
)
_VOWEL = re.compile(r"\b([Aa]) (?=[aeio]|u(?!n[ie]|r(?!g)|s[aeiou]|te)|8|1[18]\b)(?!one\b|once\b|eu)")
_PARTICLE = re.compile(
    r"\b(point|colou?r|shade|light|pick|mark|map|draw|fill|cover|pencil|fence|single|carve|set|call|bring)"
    r"( out| in| up| off| apart)( it| them)\b"
)
_SIDE = re.compile(r"\b(?:left|right)\b")
_OWN_SIDE = {"self", "contrast", "wrong", "side", "noun"}
_WHOSE_LEFT = re.compile(r"\bon the (?:left|right)(?: side)? (?:in|on|at|here)\b", re.IGNORECASE)
"""Of a named structure: the patient's left, or the picture's?"""
_REPEATABLE = {"left", "right", "that", "than", "from", "with", "side", "sided", "hand"}


@dataclass(frozen=True)
class Request:
    """What to ask for. `passages` is the lower-case text of the passages that came with it, or ""; `quotes` are their
    phrases that a request may take up."""

    kind: str
    target: str
    style: str
    passages: str = ""
    quotes: tuple[str, ...] = ()


@cache
def _grammar() -> dict[str, Any]:
    return dict(read_yaml(GRAMMAR))


@cache
def _rules() -> Parsed:
    return parse_rules(_grammar()["rules"] | read_yaml(WORDS))


@cache
def _form(kind: str, target: str, style: str) -> Parsed | None:
    """How a kind puts what it asks for where the vocabulary doesn't say it: rules for {np} and its kin; None where the
    vocabulary does."""
    grammar, intent = _grammar(), kinds()[kind].intents[target]
    paired = intent.negated and intent.organ in PAIRS
    names = (f"{kind} pair" if paired else kind, f"{kind} {intent.kind}")
    form = next((grammar["forms"][name] for name in names if name in grammar["forms"]), None)
    if form is None:
        if intent.kind == "anatomy":
            return None
        own = kinds()[kind].names.get(target, {})
        bare = own.get(style) or [phrase for phrases in own.values() for phrase in phrases]
        form = {"bare": bare, "np": bare, "the": bare} if bare else {}
    told = [
        grammar[facet].get(value, {})
        for facet, value in (("attributes", intent.attribute), ("relations", intent.relation), ("ranks", intent.rank))
    ]
    rules = {name: texts for facet in told for name, texts in facet.items()} | form | grammar["words"][style]
    if intent.kind != "anatomy" and "adj" in rules:
        rules["compound"] = ["{adj} {thing}"] if intent.rank == 1 else ["{nth} {adj} {thing}"]
    if intent.kind != "anatomy" or intent.organ in PAIRS or kind == "displayed":
        rules |= {"it": ["it"], "is": ["is"], "do": ["does"], "the1": ["{the}"]}
    return _rules() | parse_rules(rules)


@cache
def _proper() -> frozenset[str]:
    """Words that begin with a capital letter wherever they stand: abbreviations and people's names."""
    text = " ".join((repr(ORGANS), ORGAN_PHRASES.read_text(encoding="utf-8"), repr(_grammar()["rules"]["errand"])))
    return frozenset(word for word in re.findall(r"[A-Za-z][\w'/]*", text) if word[0].isupper()) | {"I", "CT", "GP"}


def _pick_phrase(groups: tuple[tuple[float, tuple[Phrase, ...]], ...], rng: random.Random) -> Phrase:
    mark = rng.random()
    for weight, phrases in groups:
        mark -= weight
        if mark < 0:
            return pick(phrases, rng)
    return pick(groups[0][1], rng)


def _finding(known: OrganPhrases, request: Request, rng: random.Random) -> str:
    """A finding to look for: one that the passages speak of where there is one, otherwise any of the organ's."""
    generic = tuple(_grammar()["words"][request.style]["generic"])
    findings = generic if request.style == "lay" else known.findings + generic
    seen = [text for text in findings if text.split()[-1].removesuffix("s") in request.passages]
    return pick(seen if seen and rng.random() < 0.7 else findings, rng)


def _organ_slots(request: Request, rng: random.Random) -> dict[str, tuple[Node, ...]]:
    """The slots of an anatomy request, with agreement in number. Slots that a plural can't fill are left out."""
    known = organ_phrases(request.target)
    phrase = _pick_phrase(known.by_style[request.style], rng)
    landmark = pick(known.landmarks, rng)
    slots = {
        "np": phrase.text,
        "the": phrase.text,
        "bare": phrase.text if phrase.article not in ("the", "") else phrase.bare,
        "compound": pick(known.compounds[request.style], rng),
        "it": "them" if phrase.plural else "it",
        "is": "are" if phrase.plural else "is",
        "do": "do" if phrase.plural else "does",
        "landmark": landmark.text,
        "lis": "are" if landmark.plural else "is",
        "finding": _finding(known, request, rng),
        "reason": pick(known.reasons, rng),
        "purpose": pick(known.purposes, rng),
    }
    if not phrase.plural:
        slots["the1"] = phrase.text
    if not phrase.others:
        slots |= {"clause": pick(known.clauses, rng), "own_finding": slots["finding"]}
    return {name: (text,) for name, text in slots.items()}


def _plain(organ: str, style: str, rng: random.Random) -> Phrase:
    """A structure by name, not by what it does or where it lies, and as nobody else's."""
    known = organ_phrases(organ).plain[style]
    return pick(known, rng)


def _form_slots(request: Request, rng: random.Random) -> dict[str, tuple[Node, ...]]:
    """The slots of a form: the landmark, the pair, the structure and what it isn't. Reasons that speak of a side are
    left to requests that name it."""
    intent, style = kinds()[request.kind].intents[request.target], request.style
    organ = intent.organ
    if organ is None:
        return {}
    if intent.relation:
        return {"anchor": (_plain(organ, style, rng).text,)}
    slots: dict[str, str] = {}
    if pair_of(organ):
        noun = PAIRS.get(organ, organ)
        wrong = "left" if organ.startswith("right ") else "right"
        side = (intent.attribute or "").removesuffix("most")
        slots = {"noun": pick(_grammar()["nouns"][noun][style], rng), "wrong": wrong, "side": side}
    if intent.negated:
        known, phrase = organ_phrases(organ), _plain(organ, style, rng)
        contrast = pick(_grammar()["contrasts"][organ], rng)
        slots |= {"self": phrase.text, "contrast": _plain(contrast, style, rng).text}
        if organ not in PAIRS:
            slots |= {"it": "them" if phrase.plural else "it", "is": "are" if phrase.plural else "is"}
            slots |= {"do": "do" if phrase.plural else "does"}
        slots |= {"reason": pick(known.reasons, rng), "purpose": pick(known.purposes, rng)}
        slots |= {"finding": _finding(known, request, rng), "clause": pick(known.clauses, rng)}
        slots = {name: text for name, text in slots.items() if name in _OWN_SIDE or not _SIDE.search(text)}
    return {name: (text,) for name, text in slots.items()}


def _draft(request: Request, rng: random.Random) -> str:
    """One expansion of the grammar.

    Raises:
        KeyError: The template asked for a slot that this request can't fill.
    """
    form, intent = _form(request.kind, request.target, request.style), kinds()[request.kind].intents[request.target]
    rules = form | _form_slots(request, rng) if form is not None else _rules() | _organ_slots(request, rng)
    own, share = ("organ", 0.45) if intent.kind == "anatomy" else ("picture", 0.2)
    if intent.kind == "anatomy" and intent.frame == "image":
        share = 0.0
    style = request.style
    mark = rng.random()
    if request.quotes and mark < QUOTED:
        rules, start = rules | {"quote": (pick(request.quotes, rng),)}, f"{style[0]}_quote"
    elif mark > 1 - MORE:
        start = f"{style[0]}_more"
    else:
        start = f"{style}_{own}" if rng.random() < share else style
    return expand(pick(rules[start], rng), rules, rng)


def noun_phrase(request: Request, rng: random.Random) -> str:
    """One way to call what a request asks for."""
    form = _form(request.kind, request.target, request.style)
    if form is None:
        return _pick_phrase(organ_phrases(request.target).by_style[request.style], rng).text
    rules = form | _form_slots(request, rng)
    return " ".join(expand(pick(rules["np"], rng), rules, rng).split())


def _natural(text: str, request: Request) -> bool:
    """Whether nothing is said twice, nothing is ungainly, and the length suits the style."""
    words = re.findall(r"[a-z']+", text.lower())
    low, high = styles()[request.style].words
    content = [word[:5] for word in words if len(word) > 3 and word not in _REPEATABLE]
    return (
        low <= len(words) <= high
        and len(set(content)) == len(content)
        and len(_SCENE.findall(text)) <= 1
        and words.count("can") + words.count("could") + words.count("would") <= 1 + ("so" in words)
        and words.count("me") + words.count("please") <= 1
        and not re.search(r"\b(\w+) \1\b", text)
        and not (kinds()[request.kind].intents[request.target].frame == "patient" and _WHOSE_LEFT.search(text))
    )


def _finish(text: str, style: str, rng: random.Random) -> str:
    """Spelling, capital letter and full stop, as people of this style set them, or don't."""
    text = re.sub(r"\s+([,?;:])", r"\1", re.sub(r"\s+", " ", text)).strip(" ,")
    text = _VOWEL.sub(r"\1n ", text)
    text = _PARTICLE.sub(r"\1\3\2", text)
    text = re.sub(r"\bshow me (it|them)\b", r"show \1 to me", text)
    if rng.random() < 0.35:
        text = _SPELLING.sub(lambda match: _BRITISH[match.group()], text)
    clipped = len(text.split()) <= 3
    careful = {"expert": 0.3 if clipped else 0.85, "trainee": 0.95, "lay": 0.62}[style]
    first = re.match(r"[\w'/]*", text)
    word = first.group() if first else ""
    if rng.random() < careful:
        text = text[0].upper() + text[1:]
    elif word not in _proper() and not word.startswith("I'") and not word[1:2].isupper():
        text = text[0].lower() + text[1:]
    stopped = {"expert": 0.1 if clipped else 0.6, "trainee": 0.95, "lay": 0.65}[style]
    if text.endswith("?") or _QUESTION.search(text):
        return text.rstrip("?") + ("?" if style != "lay" or rng.random() < 0.85 else "")
    return text + ("." if rng.random() < stopped else "")


def compose(request: Request, rng: random.Random) -> str:
    """One request in words: the first draft that sounds natural."""
    while True:
        try:
            draft = _draft(request, rng)
        except KeyError:
            continue
        if _natural(draft, request):
            return _finish(draft, request.style, rng)
