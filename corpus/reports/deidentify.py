"""De-identification by rules, before any text is written.

What the rules find is replaced by surrogates: the n-th distinct name of a report becomes the n-th name of a fixed list,
dates become days of the year 2000, numbers become zeros. A surrogate depends on the order of appearance and the salt
alone, so nothing of the original is left in it, and no map is kept. Within a report the same name gets the same one.

Rules miss what gives no sign of being a name ("seen together with Kowalski"). A library's recogniser joins `RULES` as
one more function, and what it finds, if it has a kind of its own, `SURROGATES`.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from corpus.anatomy import mentions
from corpus.reports.announcements import TITLE
from corpus.reports.identifiers import IDENTIFIERS
from corpus.reports.name_words import SMALL, census, plain
from corpus.reports.names import people
from corpus.reports.readers import Report
from corpus.reports.spans import WORDS, Span, one_of


@dataclass(frozen=True)
class Replacement:
    """What was replaced: its kind, characters `start:end` of the original text, and what stands there now."""

    kind: str
    start: int
    end: int
    surrogate: str


Recogniser = Callable[[str], Iterable[Span]]
RULES: tuple[Recogniser, ...] = (*IDENTIFIERS, people)
_APART = "\n\n"
"""Between the rows of a report; no identifier reaches over a blank line."""
_GOES_ON = re.compile(
    r"(?:(?<=\d-)|(?P<space>(?<=\b[DMS]r\.)|(?<=\bMrs\.)|(?<=\bMs\.)|(?<=\bProf\.)|(?<![.!?:;\n])))"
    r"\n(?![ ]*(?:\n|$|[-*•–]|\d{1,2}[.)][ ]|[^\n:.,]{1,40}:))"
)
"""The end of a line over which a sentence goes on: no field, list item or paragraph begins in the next."""
_SENTENCE = re.compile(
    rf"[ ]*(?:(?P<article>{one_of('articles')}(?:(?<=['’])|[ ](?!(?:las?|los|le|der|den|el|di|du)[ ])))"
    rf"(?P<small>[{SMALL}])?|{TITLE}\b\.?[ ])"
)
"""What begins a line, and goes on with no name."""


def deidentify(text: str, salt: str, recognisers: Iterable[Recogniser] = RULES) -> tuple[str, list[Replacement]]:
    """`text` with every identifier replaced by a surrogate, and what was replaced, left to right.

    Args:
        text: One report.
        salt: Chooses where in the lists of surrogates the report begins; the report's id will do.
        recognisers: What finds identifiers.
    """
    spans = _recognised(text, tuple(recognisers))
    offset = int.from_bytes(hashlib.sha256(salt.encode()).digest()[:4])
    seen: dict[str, dict[str, int]] = {}
    pieces: list[str] = []
    replacements: list[Replacement] = []
    at = 0
    for span in _merged(spans):
        original = text[span.start : span.end]
        ordinals = seen.setdefault(span.kind, {})
        key = span.key or re.sub(r"\W+", " ", original).casefold()
        surrogate = SURROGATES[span.kind](offset, ordinals.setdefault(key, len(ordinals)))
        if span.kind == "name" and len(original) > 2 and original.isupper():
            surrogate = surrogate.upper()
        pieces += (text[at : span.start], surrogate)
        replacements.append(Replacement(span.kind, span.start, span.end, surrogate))
        at = span.end
    return "".join(pieces) + text[at:], replacements


def deidentify_parts(parts: Sequence[Report]) -> list[tuple[Report, Counter[str]]]:
    """The rows of one report, each without identifiers in its text, and how many were replaced by kind. Their id stays
    as it is. They are read as one text: whom one row introduces, the others may call by the bare name."""
    text, replacements = deidentify(_APART.join(p.text for p in parts), salt=f"{parts[0].source}/{parts[0].id}")
    found, start, moved = [], 0, 0
    for part in parts:
        end = start + len(part.text)
        within = [r for r in replacements if start <= r.start < end]
        first, moved = start + moved, moved + sum(len(r.surrogate) - (r.end - r.start) for r in within)
        found.append((replace(part, text=text[first : end + moved]), Counter(r.kind for r in within)))
        start = end + len(_APART)
    return found


def _recognised(text: str, recognisers: Sequence[Recogniser]) -> list[Span]:
    """What is found in `text`, and what is found once its lines, which may be wrapped anywhere, are joined."""
    spans = [span for recognise in recognisers for span in recognise(text)]
    ends = {span.end: text[span.start : span.end] for span in spans}
    joined, at = "", 0
    where: list[int] = []  # in `text`, of each character of `joined`
    for end in _GOES_ON.finditer(text):
        if end.start() in ends and _begins_anew(ends[end.start()], text[end.end() :].split("\n", 1)[0]):
            continue
        joined += text[at : end.start()] + (" " if end["space"] is not None else "")
        where += range(at, end.start() + (end["space"] is not None))
        at = end.end()
    if not at:
        return spans
    joined, where = joined + text[at:], [*where, *range(at, len(text))]
    found = (span for recognise in recognisers for span in recognise(joined))
    return spans + [replace(span, start=where[span.start], end=where[span.end - 1] + 1) for span in found]


def _begins_anew(found: str, line: str) -> bool:
    """Whether a line doesn't go on with what was found at the end of the one above: "Liver is normal" below "Signed by:
    John Smith", and "Le foie est ..." below "Dr. Smith"."""
    if " " in found and (first := next(mentions(line.lstrip()), None)) and first.start == 0:
        return True
    sentence = _SENTENCE.match(line)
    if not sentence or not sentence["article"] or sentence["small"]:
        return sentence is not None
    return plain(found.split()[-1]) not in census("first")  # "Dr. Maria", and below it "La Rosa"


def _merged(spans: Iterable[Span]) -> Iterator[Span]:
    """Overlapping spans as one, of the kind and key of the longest, so that no part of an identifier is left."""
    cluster: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start, -s.end)):
        if cluster and span.start >= max(s.end for s in cluster):
            yield _union(cluster)
            cluster = []
        cluster.append(span)
    if cluster:
        yield _union(cluster)


def _union(cluster: list[Span]) -> Span:
    longest = max(cluster, key=lambda s: s.end - s.start)
    return replace(longest, start=cluster[0].start, end=max(s.end for s in cluster))


# ---- surrogates: (offset, ordinal) -> text

_SURROGATE_NAMES = sorted(WORDS["surrogate_names"])


def _surrogate_name(offset: int, ordinal: int) -> str:
    return _SURROGATE_NAMES[(offset + ordinal) % len(_SURROGATE_NAMES)]


def _surrogate_date(offset: int, ordinal: int) -> str:
    month, day = divmod((offset + ordinal) % 336, 28)
    return f"2000-{month + 1:02d}-{day + 1:02d}"


SURROGATES: dict[str, Callable[[int, int], str]] = {
    "name": _surrogate_name,
    "date": _surrogate_date,
    "age": lambda offset, ordinal: "90",
    "record": lambda offset, ordinal: f"{ordinal + 1:08d}",
    "ssn": lambda offset, ordinal: f"000-00-{ordinal + 1:04d}",
    "phone": lambda offset, ordinal: f"555-{100 + (offset + ordinal) % 100:04d}",
    "email": lambda offset, ordinal: f"person{ordinal + 1}@example.org",
    "url": lambda offset, ordinal: f"https://example.org/{ordinal + 1}",
    "ip": lambda offset, ordinal: f"192.0.2.{1 + ordinal % 254}",
    "address": lambda offset, ordinal: f"{ordinal + 1} Example Street",
    "place": lambda offset, ordinal: "Exampletown",
    "facility": lambda offset, ordinal: "Example Hospital",
    "employer": lambda offset, ordinal: "Example Company",
}
"""Kind -> surrogate. A new recogniser's kind is entered here."""
