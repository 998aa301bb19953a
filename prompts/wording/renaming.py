"""One name for each structure: a text as the language model reads it.

The vocabulary knows two thousand names and descriptions of two dozen structures. Whoever reads "gaster" and "the bag
that food goes into" as "stomach" has to learn what is said of structures once, and not anew for every word for them.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from itertools import groupby

from corpus.anatomy import Mention
from prompts.wording.cues import Cue, Names, cues, names
from prompts.wording.spelling import mend

_OPPOSITE = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}
_FAR = re.compile(
    r"(?:furthest|farthest|most distant|most remote|as far (?:away )?as possible|at the (?:greatest|largest) distance)"
    r"(?: away)? from (?:the )?(?:very )?(?P<side>left|right|top|bottom)"
    r"(?=(?:[- ]hand)?(?: (?:edge|border|margin|frame)(?! of)|(?: (?:edge|side|border|margin|end))?"
    r"(?: (?:of|in|on) (?:the |this |my )?(?:image|picture|pic|slice|scan|screen|view|frame|display|monitor|photo)|"
    r" ?(?:$|[.,;:!?)]| please| here))))",
    re.IGNORECASE,
)
"""Away from a side of the picture, and not from a structure that bears its name ("the left kidney")."""


def as_read(text: str) -> str:
    """The text as the language model reads it: typing errors mended, and one name for each structure."""
    mended = nearest(mend(text))
    return _written(mended, names(mended))[0]


def nearest(text: str) -> str:
    """The text with "furthest from the left edge" as "nearest the right edge": the words for a side say more to a
    reader than what turns them round."""
    return _FAR.sub(lambda match: f"nearest the {_OPPOSITE[match['side'].lower()]}", text)


@dataclass(frozen=True)
class _Stretch:
    """Characters `start:end` of a text, which become `new_start:new_end`."""

    start: int
    end: int
    new_start: int
    new_end: int


def renamed(text: str) -> tuple[str, list[Cue]]:
    """The text with every structure that it names under the vocabulary's own name, and its cues, where they lie now.

    Words for two structures at once ("the adrenal glands") stay.
    """
    text = nearest(text)
    known = names(text)
    written, stretches = _written(text, known)

    def moved(cue: Cue) -> Cue:
        """A cue that begins or ends within a stretch covers it all."""
        first = bisect_right(stretches, cue.start, key=lambda s: s.start) - 1
        last = bisect_left(stretches, cue.end, key=lambda s: s.start) - 1
        start, end = cue.start, cue.end
        if first >= 0:
            s = stretches[first]
            start = s.new_start if start < s.end else start + s.new_end - s.end
        if last >= 0:
            s = stretches[last]
            end = s.new_end if end <= s.end else end + s.new_end - s.end
        return replace(cue, start=start, end=end)

    return written, [moved(cue) for cue in cues(text, known)]


def _written(text: str, known: Names) -> tuple[str, list[_Stretch]]:
    """The text with the structures that it names renamed, and where these were and are."""
    written, done = "", 0
    stretches: list[_Stretch] = []
    for (start, end), named in groupby(sorted(known.all, key=_place), key=_place):
        organs = [mention.organ for mention in named]
        if len(organs) == 1:
            written += text[done:start]
            stretches.append(_Stretch(start, end, len(written), len(written) + len(organs[0])))
            written += organs[0]
            done = end
    return written + text[done:], stretches


def _place(mention: Mention) -> tuple[int, int]:
    return mention.start, mention.end
