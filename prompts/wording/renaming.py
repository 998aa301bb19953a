"""One name for each structure: a text as the language model reads it.

The vocabulary knows two thousand names and descriptions of two dozen structures. Whoever reads "gaster" and "the bag
that food goes into" as "stomach" has to learn what is said of structures once, and not anew for every word for them.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from itertools import groupby

from corpus.anatomy import PAIRED_NOUNS, Mention
from prompts.wording.cues import Cue, Names, cues, names
from prompts.wording.plainly import plainly
from prompts.wording.spelling import mend

_BOTH = re.compile(r"(?i)\b(?:both|pair|two|bilat\w*|combined|and|plus)\b|[+&]")


def as_read(text: str) -> str:
    """The text as the language model reads it: typing errors mended, and one name for each structure."""
    plain = plainly(mend(text))
    return _written(plain, names(plain))[0]


@dataclass(frozen=True)
class _Stretch:
    """Characters `start:end` of a text, which become `new_start:new_end`."""

    start: int
    end: int
    new_start: int
    new_end: int


def renamed(text: str) -> tuple[str, list[Cue]]:
    """The text as the language model reads it (see `as_read`), and its cues, where they lie in it.

    Words for two structures at once ("the adrenal glands") stay.
    """
    text = plainly(mend(text))
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
            name = _name(organs[0], text[start:end])
            written += text[done:start]
            stretches.append(_Stretch(start, end, len(written), len(written) + len(name)))
            written += name
            done = end
    return written + text[done:], stretches


def _name(organ: str, words: str) -> str:
    """The vocabulary's name, of both of a pair as one or as two: a side beside "kidneys" is another thing's."""
    if organ not in PAIRED_NOUNS:
        return organ
    if _BOTH.search(words):
        return f"both {organ}s"
    return f"{organ}s" if words.lower().endswith("s") else organ


def _place(mention: Mention) -> tuple[int, int]:
    return mention.start, mention.end
