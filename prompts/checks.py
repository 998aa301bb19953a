"""What a request must pass before it enters the bank: named checks, each of which gives its reason.

A check is a function `(text, cell, context) -> reason or None`, registered under its name by `@check`. `run_checks`
runs them in order of registration and stops at the first that fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

from corpus.anatomy import Mention, mentions
from prompts.duplicates import Duplicates
from prompts.kinds import Cell, claim_patterns, kinds, misclaims, styles
from prompts.sides import indirect


@dataclass
class Context:
    """What a candidate is checked against, apart from its cell."""

    passages: tuple[str, ...] = ()
    """The texts that its writer was shown."""
    duplicates: Duplicates = field(default_factory=Duplicates)
    """The texts accepted so far."""

    @cached_property
    def copied(self) -> set[str]:
        """Every run of 8 words of the passages."""
        return {run for passage in self.passages for run in _runs(passage)}


@dataclass(frozen=True)
class Verdict:
    """The outcome of one check; `reason` is None where it passed."""

    check: str
    reason: str | None

    @property
    def passed(self) -> bool:
        return self.reason is None


Check = Callable[[str, Cell, Context], str | None]
CHECKS: dict[str, Check] = {}
"""Every check by name, in the order in which they run."""


def check(name: str) -> Callable[[Check], Check]:
    """Register a check."""

    def register(function: Check) -> Check:
        CHECKS[name] = function
        return function

    return register


def run_checks(text: str, cell: Cell, context: Context, names: Iterable[str] | None = None) -> list[Verdict]:
    """Verdicts up to and including the first failure.

    Args:
        names: The checks to run; all of them by default.
    """
    verdicts = []
    for name in CHECKS if names is None else names:
        verdicts.append(Verdict(name, CHECKS[name](text, cell, context)))
        if not verdicts[-1].passed:
            break
    return verdicts


_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def words(text: str) -> list[str]:
    """The words of a text, in lower case; hyphenated words and contractions count as one."""
    return [word.lower() for word in _WORD.findall(text)]


def _runs(text: str, length: int = 8) -> Iterable[str]:
    listed = words(text)
    return (" ".join(listed[i : i + length]) for i in range(len(listed) - length + 1))


def _found(pattern: re.Pattern[str], what: str) -> Check:
    """A check that fails where `pattern` occurs."""

    def search(text: str, cell: Cell, context: Context) -> str | None:
        match = pattern.search(text)
        return f"{what}: {match.group().strip()!r}" if match else None

    return search


_ANY_LENGTH = (0, 60)
"""Words of a text that asks for nothing: such texts have no style to keep to."""


@check("length")
def _length(text: str, cell: Cell, context: Context) -> str | None:
    low, high = styles()[cell.style].words if cell.kind in kinds() else _ANY_LENGTH
    number = len(words(text))
    return None if low <= number <= high else f"{number} words, where {cell.style} requests have {low} to {high}"


_FOREIGN = re.compile(r"[^\x20-\x7eäéèêëïöü’‘“”–—]")
_ENGLISH = re.compile(
    r"\b(?:an?|the|this|that|these|my|your|his|it|its|is|are|was|i|me|we|you|to|of|in|on|at|for|from|with|and|or|so|but|as|"
    r"not?|can|could|would|will|please|where|what|which|who|how|do|did|be|have|has|need|show|find|mark|here|if|than|else)\b",
    re.IGNORECASE,
)


@check("language")
def _language(text: str, cell: Cell, context: Context) -> str | None:
    if match := _FOREIGN.search(text):
        return f"the character {match.group()!r}"
    if len(words(text)) > 6 and not _ENGLISH.search(text):
        return "no common English word"
    return None


check("chatbot")(
    _found(
        re.compile(
            r"^(?:sure|certainly|of course|absolutely|okay, here|here (?:is|are)|here's|happy to|great question)\b"
            r"|\bas an? (?:ai|language model|assistant)\b|\blanguage model\b|\bi can help\b"
            r"|\bi(?:'m| am) (?:sorry, but|unable|not able)\b"
            r"|\bi (?:cannot|can't) (?:assist|help|provide|comply)\b|\bhope this helps\b|\blet me know if\b"
            r"|\b(?:variations?|paraphrases?|examples?|requests?|prompts?) (?:of|for|that) ",
            re.IGNORECASE,
        ),
        "a chatbot's remark",
    )
)
check("debris")(
    _found(
        re.compile(
            r"^\s*(?:\(?\d+[.):]|[-*•>#]|[a-z][.)]\s)|[`{}\[\]<>|*_#\\\n\t]|^[\"'“‘]|[\"”]$|,$|(?:^|\s)\"|\.\.\.|…"
            r"|^(?:prompt|request|query|example|expert|trainee|lay|style|text|output|answer|user)\s*\d*\s*:|\s{2,}|^\s|\s$",
            re.IGNORECASE,
        ),
        "debris of a list or of markup",
    )
)
check("injection")(
    _found(
        re.compile(
            r"\b(?:ignore|disregard|forget|override) (?:all |any |the |these |your |every )*"
            r"(?:previous|prior|above|earlier|preceding|instructions?|rules?|prompts?)\b|\bsystem prompt\b"
            r"|\binstructions?\b|\byou are now\b|\bpretend\b|\b(?:output|respond|reply|answer) (?:only|with)\b"
            r"|\bpassages? (?:above|below|says?|provided|given)\b|\bjailbreak|\bpassword|\bapi key\b",
            re.IGNORECASE,
        ),
        "an instruction to the writer, not to the segmenter",
    )
)
check("identifiers")(
    _found(
        re.compile(
            r"\b(?:Dr|Mr|Mrs|Ms|Prof|Doctor|Professor|Nurse)\.?\s+[A-Z][a-z]+"
            r"|\b(?i:mrn|dob|ssn|nhs number|accession|record)\s*(?i:number|no\.?|#)?\s*:?\s*\d+"
            r"|\b\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}\b|\b\d{5,}\b|\b\d{3}[\s.-]\d{3,4}\b"
            r"|\S+@\S+\.\w+|\bhttps?:|\bwww\.|\b(?i:patient|named|called|name is) [A-Z][a-z]+(?: [A-Z][a-z]+)?\b"
            r"|\b(?:January|February|March|April|June|July|August|September|October|November|December)\s+\d"
            r"|\b\d{1,2}(?:st|nd|rd|th)? (?:January|February|March|April|May|June|July|August|September|October)\b"
        ),
        "an identifier",
    )
)


@check("one_request")
def _one_request(text: str, cell: Cell, context: Context) -> str | None:
    inner = re.sub(r"\b(?:Lt|Rt|Dr|vs|e\.g|i\.e|approx|ca|St|No)\.", "", text).rstrip(" .!?")
    if match := re.search(r"[.!?]+(?=\s|$)|[!?]", inner):
        return f"more than one sentence, after {inner[: match.start()][-30:]!r}"
    return None


_REQUEST = re.compile(
    r"\?|\b(?:please|can|could|would|will|where|which|what|show|find|mark\w*|need|want|like|love|let|help|give|tell|point|"
    r"segment\w*|seg|contour\w*|outlin\w+|delineat\w+|annotat\w+|label\w*|mask\w*|trac(?:e|ing)|highlight\w*|isolat\w+|"
    r"extract\w*|identif\w+|locali[sz]e|locate|map|draw\w*|put|place|colou?r|circle|shade|pick|request\w*|requir\w+|roi|"
    r"demarcat\w+|circumscribe|define|capture|render|display|generate|produce|create|return|provide|compute|prepare|"
    r"to be|grateful|region of interest|set|light|tint|paint|fill|zoom|guide|take|"
    r"walk|teach|make|see|boundary|delineation|target|next)\b",
    re.IGNORECASE,
)
_STATEMENT = re.compile(
    r"\b(?:is|are|was|were|appears?|measures?|shows?|demonstrates?|reveals?|has|have|contains?|looks?)\b", re.I
)


@check("request")
def _request(text: str, cell: Cell, context: Context) -> str | None:
    if _REQUEST.search(text):
        return None
    if _STATEMENT.search(text) or len(words(text)) > 14:
        return "a statement, where a request is wanted"
    return None


@check("copied")
def _copied(text: str, cell: Cell, context: Context) -> str | None:
    if not context.passages:
        return None
    return next((f"copied from a passage: {run!r}" for run in _runs(text) if run in context.copied), None)


@check("target")
def _target(text: str, cell: Cell, context: Context) -> str | None:
    wanted = cell.intent.organ
    named = list(mentions(text))
    if pair := indirect(text, cell.intent):
        others = [m for m in named if m.organ not in pair]
        return f"names the {others[0].organ}" if others else None
    if cell.intent.kind == "anatomy" and cell.intent.attribute:
        return "doesn't name one of a pair by the side of the picture"
    if cell.intent.negated and not any(m.negated for m in named):
        return "excludes nothing"
    others = [m for m in named if m.organ != wanted and not m.negated]
    if others:
        return f"names the {others[0].organ}"
    if wanted is None:
        return f"mentions the {named[0].organ}" if named else None
    own = [m for m in named if m.organ == wanted]
    if not own:
        return f"doesn't name the {wanted}"
    if any(m.negated for m in own):
        return f"negates the {wanted}"
    return None


_PATHS = re.compile(
    r"\b(?:from\s+)?(?:the\s+)?(left|right|top|bottom)(?:[\s-]hand)?(?:\s+(?:side|edge))?\s+"
    r"(?:up |down |over |across )?to\s+(?:the\s+)?(?!\1)(?:left|right|top|bottom)\b"
    r"|\b(?:down|up) from the (top|bottom)\b",
    re.IGNORECASE,
)
"""A way of reading the picture: only where it begins says which structure is meant."""
_EXTREME = re.compile(
    r"most\b|\b(?:furthest|farthest|closest|nearest|highest|lowest|extreme|outermost|very|first|all the way|far|edge|"
    r"border|than|nothing|no other|none|of everything)\b",
    re.IGNORECASE,
)
_PATIENT = re.compile(
    r"\b(?:patient'?s|my|his|her|anatomical(?:ly)?)\s+(?:own\s+)?(?:left|right|upper|lower)\b|\bpatient\b",
    re.IGNORECASE,
)


@check("attribute")
def _attribute(text: str, cell: Cell, context: Context) -> str | None:
    wanted = cell.intent.attribute
    plain = _PATHS.sub(lambda match: f"first {next(filter(None, match.groups()))}", text.replace("’", "'"))
    if wanted is None:
        plain = _without(plain, mentions(plain))
        claim = next((name for name in claim_patterns() if name in plain.lower()), None)
        return f"claims {claim!r} of an organ" if claim else None
    claimed = [name for name, pattern in claim_patterns().items() if pattern.search(plain)]
    if wanted not in claimed:
        return f"doesn't say {wanted!r}"
    if len(claimed) > 1:
        return f"says {' and '.join(map(repr, claimed))}"
    if cell.kind == "position" and not _EXTREME.search(plain):
        return "says a direction, but not that it is the extreme one"
    if match := _PATIENT.search(plain):
        return f"speaks of the patient's side: {match.group()!r}"
    return None


@check("claim")
def _claim(text: str, cell: Cell, context: Context) -> str | None:
    return misclaims(_without(text, mentions(text)), cell.intent)


def _without(text: str, spans: Iterable[Mention]) -> str:
    """The text with the structures' names cut out: "the body's biggest artery" claims nothing of the picture."""
    for mention in sorted(spans, key=lambda m: -m.start):
        text = f"{text[: mention.start]} {text[mention.end :]}"
    return text


check("modality")(
    _found(
        re.compile(
            r"\b(?:mri|mr image|magnetic resonance|ultraso\w+|sonogra\w+|echo(?:gram)?|x-?rays?|radiograph|"
            r"pet|scintigraphy|angiogram|t[12][\s-]weighted|non-?contrast|unenhanced|contrast-enhanced|coronal|sagittal|"
            r"(?:portal[\s-]venous|arterial|venous|delayed|nephrographic) phase)\b",
            re.IGNORECASE,
        ),
        "a claim about the scan that isn't known to be true",
    )
)


@check("duplicate")
def _duplicate(text: str, cell: Cell, context: Context) -> str | None:
    same = context.duplicates.exact(text)
    return f"the same as {same!r}" if same else None


@check("near_duplicate")
def _near_duplicate(text: str, cell: Cell, context: Context) -> str | None:
    near = context.duplicates.near(text, cell.target)
    return f"nearly the same as {near!r}" if near else None
