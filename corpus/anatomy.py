"""The vocabulary of 24 abdominal structures, and how text names them.

`ORGANS` is read once from organs.yaml; its order gives the label ids (1-24) used in every label map.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from corpus.errors import InputError
from corpus.params import params_dataclass, read_yaml, validated

VOCABULARY = Path(__file__).with_name("organs.yaml")


_WORD = re.compile(r"(?<![^\W_])[^\W_]+")


@params_dataclass
class Organ:
    """One structure of the vocabulary. `id` is its value in label maps; `parts` are the names whose union it is."""

    id: int
    name: str
    side: Literal["left", "right"] | None = None
    parts: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()
    adjectives: tuple[str, ...] = ()
    abbreviations: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    lay: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()
    landmarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for key, value in vars(self).items():
            terms = value if isinstance(value, tuple) else ()
            if wordless := [term for term in (*terms, self.name) if not _WORD.search(term)]:
                raise ValueError(f"{key}: expected terms with a word, found {wordless[0]!r}")


def read_organs(path: Path = VOCABULARY) -> tuple[Organ, ...]:
    """The vocabulary that a YAML lists.

    Raises:
        InputError: A key is missing, unknown or of a wrong type, a part isn't listed, or two structures share a term.
    """
    entries = validated(read_yaml(path), list[dict[str, Any]], path)
    organs = tuple(
        validated({"id": i} | entry, Organ, path, str(entry.get("name", f"structure {i}")))
        for i, entry in enumerate(entries, start=1)
    )
    names = {organ.name for organ in organs}
    owners = {organ.name.casefold(): organ for organ in organs}
    for i, organ in enumerate(organs, start=1):
        if organ.id != i:
            raise InputError(path, f"`{organ.name}.id`: the order says that it is {i}, found {organ.id}", "take it out")
        if unknown := [part for part in organ.parts if part not in names]:
            told = f"`{organ.name}.parts`: expected names of structures, found {unknown[0]!r}"
            raise InputError(path, told, f"make it one of {', '.join(sorted(names - {organ.name}))}")
        own = {"name": (organ.name,), "synonyms": organ.synonyms, "abbreviations": organ.abbreviations}
        for key, terms in own.items():
            for term in terms:
                if (owner := owners.setdefault(term.casefold(), organ)) is not organ:
                    told = f"`{organ.name}.{key}`: {term!r} names the structure {owner.name!r} already"
                    raise InputError(path, told, "take it out of one of them")
    return organs


ORGANS: tuple[Organ, ...] = read_organs()
BY_NAME: dict[str, Organ] = {organ.name: organ for organ in ORGANS}
BY_ID: dict[int, Organ] = {organ.id: organ for organ in ORGANS}
N_ORGANS = len(ORGANS)
UNIONS: dict[int, tuple[int, ...]] = {o.id: tuple(BY_NAME[p].id for p in o.parts) for o in ORGANS if o.parts}
"""Union organ id -> ids of its parts."""


def with_unions(ids: set[int]) -> set[int]:
    """Add every union whose parts are all among `ids` (a source that labels both kidneys also labels "kidney")."""
    return ids | {union for union, parts in UNIONS.items() if set(parts) <= ids}


@dataclass(frozen=True)
class Mention:
    """A structure named in a text: characters `start:end`, and whether the sentence negates it ("no gallbladder")."""

    organ: str
    start: int
    end: int
    negated: bool


_OMIT = r"(?:leav(?:e|ing) out|ignor(?:e|ing)|omit(?:ting)?|skip(?:ping)?|exclud(?:e|ing))"
_DOUBTS = rf"(?:sure|certain|quite|clear|only|confident|too|urgent|forget(?:ting)?|miss|overlook|know(?:ing)?|{_OMIT})"
"""After "not": who isn't sure where something is wants to see it, and who is not to forget it has to draw it."""
_NEGATED_BEFORE = re.compile(
    rf"\b(?:no(?!\s+(?:idea|clue|rush|hurry|problem|doubt|matter))|(?<!\bwhy )not(?!\s+{_DOUBTS}\b)|"
    rf"never(?!\s+{_DOUBTS}\b)|without|absent|denies|negative for|status post|s/p|removed|resected|except|"
    r"other than|apart from|rather than|instead of|nor|neither|don't (?:include|want|need|show|mark)|"
    rf"(?<!\bnot )(?<!n't )(?<!\bnever ){_OMIT})\b"
    r"(?<!\bnothing except)(?<!\bnothing other than)(?<!\bnothing apart from)(?:(?!\b(?:but|please)\b)[^.;:,]){0,40}$",
    re.IGNORECASE,
)
REACH = 80
"""Characters before a structure in which words that negate it may stand; they reach over 40."""
_NEGATED_AFTER = re.compile(
    r"\s+(?:is|are|was|were|has been|have been)\s+(?:surgically\s+|previously\s+)?"
    r"(?:absent|removed|resected|not\s+(?:seen|visuali[sz]ed|identified|included))\b",
    re.IGNORECASE,
)

_ALSO_NAMED = {
    "intestine": ("jejunum", "ileum", "jejunal", "ileal"),
    "colon": ("sigmoid", "cecum", "caecum", "hepatic flexure", "splenic flexure"),
    "pancreas": ("panc",),
    "inferior vena cava": ("vena cava", "infrahepatic cava"),
    "portal vein and splenic vein": (
        "portal vein",
        "splenic vein",
        "portosplenic confluence",
        "splenoportal confluence",
    ),
    "seminal vesicles": ("seminal vesicle", "seminal gland"),
}
"""Terms that name a structure, or a part of it, in a report, but that nobody should ask for it by."""

_OTHER_THINGS = (
    "superior vena cava",
    *(f"{organ} {vessel}" for organ in ("hepatic", "renal", "pulmonary") for vessel in ("artery", "arteries", "vein")),
    *(f"{side} renal {vessel}" for side in ("left", "right") for vessel in ("artery", "vein")),
    "splenic artery",
    "pulmonary embolism",
    *(
        f"portal {vein} {shown}"
        for vein in ("venous", "vein")
        for shown in ("phase", "series", "contrast", "CT", "image")
    ),
    "PV phase",
)
"""What isn't in the vocabulary, and has a name that holds one of it."""

PAIRED_NOUNS = {
    "kidney": ("kidney",),
    "adrenal gland": ("adrenal gland", "adrenal", "suprarenal gland", "suprarenal"),
    "head of femur": ("head of femur", "head of the femur", "femoral head", "femur head", "hip ball"),
}
"""The paired structures without their side, and the nouns for each."""

_NOT_OF_PICTURE = (
    r"(?![\s-]+(?:hand|side|edge|border|margin|half|part)\b)"
    r"(?!\s+of\s+(?!(?:the\s+|my\s+|his\s+|her\s+)?(?:patient|body)\b))"
)
"""After "kidney on the left": "of the picture" and "edge" speak of where it is shown, not of the patient's left."""
_NOT_IN_PICTURE = (
    r"(?!\s+(?:in|on|at|as)\s+(?:(?:the|this|that|my|our)\s+)?"
    r"(?:picture|image|screen|monitor|display|displayed|seen|shown|viewed)\b)"
)
"""Nor does "in the picture", unless the side is said to be the patient's."""
_NO_SIDE = (
    r"(?!right\s+(?:now|here|there|away|next\s+to|beside|behind|above|below|under)\b"
    r"|left\s+(?:in\s+place|after|over|behind|there|here|standing|alone)\b)"
)
"""After "kidney": "right now" is no side, and what is "left in place" remains."""
_ENDS = (
    r"(?=\s*(?:$|[^\w\s-]|-\s)|[\s-]+sided\W*$|\s+(?:one|side|only|please|pls|excluded|included|too|for|from|"
    r"outline|contour|segment|mark|show|draw|delineate|trace)\b)"
)
"""After "kidney, left", if that is its side: "left is smaller" says something else of it."""
_RADIOTHERAPY = r"(?!rt\)?[\s-]+(?:plan\w*|oar|dose|treatment)\b|rt?/)"
_OWNER = r"(?:(?:the|my|his|her|your|their)\s+)?(?:patient's\s+)?"
_SIDES = {"left": ("left", "lt", "l"), "right": ("right", "rt", "r")}
"""A side, and how it is shortened."""


def _words(term: str) -> str:
    """A pattern for `term`: any case, hyphens, underscores and spaces alike, with or without a plural or possessive
    ending."""
    words = r"[\s_-]+".join(re.escape(word) for word in re.split(r"[\s-]+", term))
    return rf"(?i:{words}(?:'?s)?)"


def _sided(side: str, noun: str) -> Iterator[tuple[str, str]]:
    """(words, pattern of what must follow them) for a side before, after or inside `noun`."""
    short = "|".join(_SIDES[side])
    for form in (*_SIDES[side], f"{side} sided", f"{side} side", f"{side} hand"):
        yield f"{form} {noun}", ""
    where = rf"{side}(?:[\s-]+hand)?(?:\s+side)?{_NOT_OF_PICTURE}"
    yield (
        noun,
        rf"(?i:\s+(?:on|at|of)\s+(?:{_OWNER}{where}{_NOT_IN_PICTURE}|(?:the\s+)?patient's\s+{where})"
        rf"|(?<!s),\s+{_NO_SIDE}{_RADIOTHERAPY}(?:{short})\b{_ENDS}"
        rf"|(?<!s)[\s_-]+\(?{_NO_SIDE}{_RADIOTHERAPY}(?:{short})(?:\)|\b)(?!\s+(?:of|side)\b))",
    )
    if noun == "kidney":
        yield f"{side} renal", ""
        yield f"{side} sided renal", ""
    if noun == "femoral head":
        yield "head of", rf"(?i:\s+{_OWNER}{side}\s+femur)"
        yield "ball of", rf"(?i:\s+{_OWNER}{side}\s+hip)"


_DOES = re.compile(r"(?:organ|gland|sac|bag|pouch|tube|pipe|vein|vessel|bowel|gut)s? (?:that|which) ")
_THINGS = ("thing", "part", "bit", "one", "organ")
"""People who don't know the word say what "the thing that" does."""


def _terms() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(words, pattern of what must follow them, organs that they name) for the whole vocabulary."""
    for organ in ORGANS:
        phrases = (
            organ.name,
            *organ.synonyms,
            *organ.adjectives,
            *organ.functions,
            *organ.landmarks,
            *organ.lay,
            *organ.also,
        )
        for phrase in (*phrases, *_ALSO_NAMED.get(organ.name, ())):
            term = re.sub(r"^(the|my)\s+", "", phrase)
            yield term, "", (organ.name,)
            if loose := _DOES.match(term):
                yield from ((f"{thing} that {term[loose.end() :]}", "", (organ.name,)) for thing in _THINGS)
        if organ.side:
            for noun in PAIRED_NOUNS[organ.name.removeprefix(f"{organ.side} ")]:
                for words, after in _sided(organ.side, noun):
                    yield words, after, (organ.name,)
    for term in _OTHER_THINGS:
        yield term, "", ()
    for base, nouns in PAIRED_NOUNS.items():
        pair = (base,) if base in BY_NAME else (f"left {base}", f"right {base}")
        for noun in nouns:
            plural = noun.replace("head", "heads", 1) if noun.startswith("head") else f"{noun}s"
            for form in ("", "both ", "bilateral ", "left and right ", "right and left "):
                yield form + plural, "", pair


def _first(text: str) -> str:
    """The first word, in lower case."""
    return next(_WORD.finditer(text)).group().lower()


@cache
def _matchers() -> dict[str, list[tuple[re.Pattern[str], tuple[str, ...]]]]:
    """First word of a term, in lower case -> (pattern, organs) of all terms that begin with it."""
    matchers: dict[str, dict[str, tuple[str, ...]]] = {}
    for words, after, organs in _terms():
        matchers.setdefault(_first(words), {}).setdefault(_words(words) + after, organs)
    for organ in ORGANS:
        for short in organ.abbreviations:  # case-sensitive: "AA" is the aorta, "aa" is not
            matchers.setdefault(_first(short), {}).setdefault(re.escape(short), (organ.name,))
    return {
        first: [(re.compile(rf"{pattern}(?!\w)"), organs) for pattern, organs in patterns.items()]
        for first, patterns in matchers.items()
    }


def mentions(text: str) -> Iterator[Mention]:
    """Structures that `text` names, left to right, each stretch of text counted once and for its longest term.

    A plural that stands for two structures ("the adrenal glands") is one mention of each.
    """
    text = text.replace("\u2019", "'")
    matchers, taken = _matchers(), 0
    for word in _WORD.finditer(text):
        start = word.start()
        # The first word is looked up without its plural ending too: "kidneys" begins with "kidney".
        first = word.group().lower()
        terms = matchers.get(first, []) + (matchers.get(first.removesuffix("s"), []) if first.endswith("s") else [])
        if start < taken or not terms:
            continue
        hits = [(match.end(), organs) for pattern, organs in terms if (match := pattern.match(text, start))]
        if not hits:
            continue
        taken, organs = max(hits, key=lambda hit: hit[0])
        before = _NEGATED_BEFORE.search(text, max(0, start - REACH), start)
        negated = bool(before or _NEGATED_AFTER.match(text, taken))
        for organ in organs:
            yield Mention(organ, start, taken, negated)


def named_organs(text: str) -> list[str]:
    """Names of the structures that `text` mentions, in order of first mention, each once."""
    return list(dict.fromkeys(m.organ for m in mentions(text)))


def canonical_name(label: str) -> str | None:
    """The vocabulary's name for a dataset's label name ("kidney_left", "Kidney (Lt)", "UrinaryBladder"), or None."""
    for spelled in (label, re.sub(r"(?<=[a-z])(?=[A-Z])", " ", label)):
        words = re.sub(r"[_\s,()-]+", " ", spelled).strip().lower()
        if match := re.fullmatch(r"(.+) (left|right|lt|rt|l|r)", words):
            words = f"{'left' if match[2].startswith('l') else 'right'} {match[1]}"
        for organ in ORGANS:
            if words in (organ.name, *(term.lower() for term in (*organ.synonyms, *organ.abbreviations))):
                return organ.name
    return None
