"""The organs that a passage names, and those that it only ever negates, as reports put it.

To the vocabulary's own matching this adds what reports say in fewer words: one noun for two sides ("left and right
kidney", "bilateral adrenal nodules"), absence told after the organ ("gallbladder: surgically absent"), and operations
that took an organ away ("status post left nephrectomy").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from corpus.anatomy import BY_NAME, Mention, mentions
from corpus.params import read_yaml

_REMOVALS: dict[str, list[str]] = read_yaml(Path(__file__).with_name("removals.yaml"))

_NOUN = r"(?:kidneys?|adrenals?(?:[ ]glands?)?|suprarenal[ ]glands?|femoral[ ]heads?|(?:ad)?renal(?=[ ]\w))(?![\w-])"
_SIDE = r"(?:left|right|L|R|Lt|Rt)"
_TWO_SIDES = re.compile(rf"\b({_SIDE})\.?(?:[ ]*(?:and|&|/|,|or)[ ]*)({_SIDE})\.?[ ]+({_NOUN})", re.IGNORECASE)
_TWO_NOUNS = re.compile(rf"\b(left|right)[ ]+({_NOUN})[ ]+(and|or)[ ]+({_NOUN})", re.IGNORECASE)
_SHORT_SIDE = re.compile(rf"\b(L|R|Lt|Rt)\.?[ ]({_NOUN})")
_BOTH = re.compile(r"\b(?:bilateral|both)[ ]+(adrenal|suprarenal|femoral head)\b(?![ ]?gland|s)", re.IGNORECASE)
_SIDES = {"l": "left", "lt": "left", "r": "right", "rt": "right"}

_ABSENT_AFTER = re.compile(
    r"(?:\s*[:,(-]\s*|\s+(?:(?:is|are|was|were|has been|have been|can ?not be|could not be)\s+)?)"
    r"(?:(?:surgically|previously|congenitally|now|status post|also)\s+)*"
    r"(?:absent|removed|resected|excised|explanted|agenesis|not\s+(?:seen|visuali[sz]ed|identified|present|included)|"
    r"seen(?<=not be seen)|visuali[sz]ed(?<=not be visuali[sz]ed)|"
    r"identified(?<=not be identified))\b(?! on the (?:left|right))",
    re.IGNORECASE,
)
_ABSENT_BEFORE = re.compile(r"\b(?:absence|agenesis|aplasia|non-?visuali[sz]ation) of (?:the )?$", re.IGNORECASE)
_OPERATION = re.compile(
    r"\b(?P<side>(?:left|right|bilateral|[lr]t?\.?)[ -]+(?:\w+[ -]+){0,2}?)?(?:post-?)?"
    rf"(?P<name>{'|'.join(sorted(map(re.escape, _REMOVALS), key=len, reverse=True))})\b",
    re.IGNORECASE,
)
_PAST = re.compile(
    r"\b(?:status[ -]post|s/p|prior|previous(?:ly)?|history of|hx of|h/o|post|after|following|since|interval|"
    r"remote|had|"
    r"underwent|undergone|evidence of|sequelae of|changes of|clips from|compatible with)\b|\bpost-?$",
    re.IGNORECASE,
)
_NOT_WHOLE = re.compile(
    r"\b(?:partial|subtotal|distal|proximal|sleeve|hemi|segmental|wedge|central|completion of|robotic partial|ovarian|"
    r"no|not|without|never|denies|for|before|planned|candidate for|consider\w*|recommend\w*|scheduled for|declined|"
    r"transurethral|simple)(?:[ -]+\w+)?[ -]*$",
    re.IGNORECASE,
)


def organs_of(text: str) -> tuple[list[str], list[str]]:
    """Organs that `text` names, in order of mention, and those of them that it negates each time."""
    text = _spelled_out(text)
    found = [(m.start, m.organ, not is_negated) for m, is_negated in _told(text)]
    found += [(at, organ, False) for at, organ in _removed(text)]
    affirmed: dict[str, bool] = {}
    for _, organ, is_affirmed in sorted(found, key=lambda item: item[0]):
        affirmed[organ] = affirmed.get(organ, False) or is_affirmed
    return list(affirmed), [organ for organ, is_affirmed in affirmed.items() if not is_affirmed]


def _spelled_out(text: str) -> str:
    """`text` with a noun for each side, and a side for each noun."""

    def side(word: str) -> str:
        return _SIDES.get(word.lower(), word.lower())

    text = _TWO_SIDES.sub(lambda m: f"{side(m[1])} {m[3].rstrip('s')} and {side(m[2])} {m[3].rstrip('s')}", text)
    text = _SHORT_SIDE.sub(lambda m: f"{side(m[1])} {m[2]}", text)
    text = _TWO_NOUNS.sub(lambda m: f"{m[1]} {m[2]} {m[3]} {m[1]} {m[4]}", text)
    return _BOTH.sub(lambda m: f"both {m[1]}s" if m[1].lower() != "femoral head" else "both femoral heads", text)


def _told(text: str) -> Iterator[tuple[Mention, bool]]:
    """Mentions, and whether each is negated; in "no lesion of the liver, spleen or pancreas" all three are."""
    found = list(mentions(text))
    negated = [m.negated or _absent(text, m.start, m.end) for m in found]
    for i in range(1, len(found)):
        gaps = [text[a.end : b.start] for a, b in pairwise(found[: i + 1])]
        if not re.fullmatch(r",?\s+n?or\s+(?:the\s+)?", gaps[-1]):
            continue
        first = i - 1
        while first and re.fullmatch(r",\s+(?:the\s+)?", gaps[first - 1]):
            first -= 1
        if found[first].negated:
            negated[first : i + 1] = [True] * (i + 1 - first)
    yield from zip(found, negated, strict=True)


def _absent(text: str, start: int, end: int) -> bool:
    return bool(_ABSENT_AFTER.match(text, end) or _ABSENT_BEFORE.search(text[:start]))


def _removed(text: str) -> Iterator[tuple[int, str]]:
    """(place, organ) of the operations that are told as done."""
    for match in _OPERATION.finditer(text):
        sentence = re.split(r"[.;\n]", text[: match.start("name")])[-1]
        side = (match["side"] or "").lower()
        if _NOT_WHOLE.search(sentence) or not _PAST.search(sentence):
            continue
        sides = [s for s in ("left", "right") if side.startswith(("bilateral", s, s[0] + " ", s[0] + "t", s[0] + "."))]
        for organ in _REMOVALS[match["name"].lower()]:
            names = [organ.format(side=s) for s in sides] if "{side}" in organ else [organ]
            yield from ((match.start("name"), name) for name in names)


assert all(o.format(side=s) in BY_NAME for organs in _REMOVALS.values() for o in organs for s in ("left", "right"))
