"""Further texts for the intent head, made of the data set's own: a request behind a case, as another person would type
it, with typing errors, or for something that isn't in the vocabulary.

They keep the split of the text that they are made of, and no mask is asked for with them.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd

from corpus.anatomy import mentions
from corpus.params import Pattern, params_dataclass, read_yaml, validated
from prompts.intent import Intent

CONTENT = Path(__file__).with_name("variants.yaml")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@params_dataclass
class _Alike:
    """Words of which one does as well as another, and where they do: a pattern that holds "{words}"."""

    words: list[str]
    where: Pattern = r"\b(?:{words})\b"


@params_dataclass
class _Content:
    """variants.yaml."""

    elsewhere: list[str]
    joints: list[str]
    alike: list[list[str] | _Alike]
    openings: list[str]
    endings: list[str]


@cache
def _content() -> _Content:
    return validated(read_yaml(CONTENT), _Content, CONTENT)


@cache
def _alike() -> list[tuple[re.Pattern[str], list[str]]]:
    """Where any of a group of words stands that mean the same, and the group."""
    groups = [group if isinstance(group, _Alike) else _Alike(group) for group in _content().alike]
    return [(re.compile(g.where.format(words="|".join(g.words)), re.IGNORECASE), g.words) for g in groups]


def variants(texts: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    """Each of the four sorts for `share` of the texts that it can be made of.

    Args:
        texts: Columns of the data set's texts.parquet, each with its split.

    Returns:
        More such rows, with `variant` (context, retyped, misspelt or elsewhere).
    """
    sorts = {"context": _in_context, "retyped": _retyped, "misspelt": _misspelt, "elsewhere": _elsewhere}
    parts = []
    for split, group in texts.groupby("split", sort=True):
        for name, make in sorts.items():
            digest = hashlib.sha256(f"{seed}:{split}:{name}".encode()).digest()
            parts.append(make(group, share, np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8])))))
            parts[-1] = parts[-1].assign(variant=name)
    made = pd.concat(parts, ignore_index=True)
    made = made[~made["text"].isin(texts["text"])].drop_duplicates("text", ignore_index=True)
    return made.assign(prompt_id=[f"{row.variant}-{row.prompt_id}" for row in made.itertuples()])


def _drawn(rows: pd.DataFrame, share: float, rng: np.random.Generator) -> pd.DataFrame:
    return rows.iloc[np.sort(rng.permutation(len(rows))[: round(share * len(rows))])]


def _in_context(texts: pd.DataFrame, share: float, rng: np.random.Generator) -> pd.DataFrame:
    """Any text behind (or before) a statement or two that ask for nothing: people tell the case first."""
    cases = texts[(texts["kind"] == "none") & texts["text"].str.contains(r"\w{3}.*\.$")]["text"].to_numpy()
    rows, joints = _drawn(texts, share if len(cases) else 0.0, rng), _content().joints
    joined = []
    for text in rows["text"]:
        case = " ".join(rng.choice(cases, size=rng.integers(1, 3)))
        joint = joints[rng.integers(len(joints))]
        end = "" if text.endswith((".", "?", "!")) or (joint.endswith("}") and "{request} " not in joint) else "."
        joined.append(
            joint.format(case=case, case_bare=case.rstrip("."), request=text + end, request_low=_continued(text))
        )
    return rows.assign(text=joined)


def _continued(text: str) -> str:
    """A text as it goes on within a sentence."""
    return text if re.match(r"\W*[A-Z]{2}|I\b", text) else text[:1].lower() + text[1:]


def _retyped(texts: pd.DataFrame, share: float, rng: np.random.Generator) -> pd.DataFrame:
    """Any text as the next person would type it: it begins and ends otherwise, and half of the words that have their
    like are another of them. Without these, a full stop makes a remark of a request."""
    content, rows = _content(), _drawn(texts, share, rng)

    def another(group: list[str], match: re.Match[str]) -> str:
        word = match.group()
        if rng.random() < 1 / 2:
            return word
        other = str(rng.choice(group))
        return other[:1].upper() + other[1:] if word[0].isupper() else other

    retyped = []
    for text in rows["text"]:
        opening, ending = str(rng.choice(content.openings)), str(rng.choice(content.endings))
        body = text.rstrip(" .!")
        for words, group in _alike():
            body = words.sub(partial(another, group), body)
        body = _continued(body) if opening.endswith(", ") else body
        retyped.append(opening + body + (ending.lstrip(".!,") if body.endswith("?") else ending))
    return rows.assign(text=retyped)


def misspell(word: str, rng: np.random.Generator) -> str:
    """One slip of the fingers in a word of four letters or more: a letter is left out, doubled, swapped with the next
    or another one; the first stays."""
    i = int(rng.integers(1, len(word) - 1))
    letter = _LETTERS[rng.integers(len(_LETTERS))]
    return (
        word[:i] + word[i + 1 :],
        word[:i] + word[i] + word[i:],
        word[:i] + word[i + 1] + word[i] + word[i + 2 :],
        word[:i] + letter + word[i + 1 :],
    )[rng.integers(4)]


def _misspelt(texts: pd.DataFrame, share: float, rng: np.random.Generator) -> pd.DataFrame:
    """A third of the longer words with one slip of the fingers each."""
    rows = _drawn(texts, share, rng)

    def slip(match: re.Match[str]) -> str:
        return match.group() if rng.random() > 1 / 3 else misspell(match.group(), rng)

    return rows.assign(text=[re.sub(r"[A-Za-z]{4,}", slip, text) for text in rows["text"]])


def _elsewhere(texts: pd.DataFrame, share: float, rng: np.random.Generator) -> pd.DataFrame:
    """Requests for an organ with another thing's name in its place; they ask for no segmentation that there is."""
    rows, things, asked = texts[texts["kind"] == "anatomy"], _content().elsewhere, []
    for text in rows["text"]:
        named = list(mentions(text))
        thing = things[rng.integers(len(things))]
        usable = len(named) == 1 and re.search(r"\w", text[: named[0].start] + text[named[0].end :])
        asked.append(text[: named[0].start] + thing + text[named[0].end :] if usable else "")
    rows = rows.assign(text=asked, kind="none", **Intent("none").row)
    return _drawn(rows[rows["text"] != ""], share, rng)
