"""The candidates in a chat model's answer, however it is laid out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_FENCE = re.compile(r"```\w*\n?")
_THOUGHT = re.compile(r"(?:<think>|\A).*?</think>|<think>.*\Z", re.DOTALL)
"""What a reasoning model thinks before it answers, where the server doesn't take it out; its beginning may be part of
what the model was given."""
_QUOTED = re.compile(r'"((?:[^"\\\n]|\\.)*)"\s*(?=[,\]]|$)')
_BULLET = re.compile(r"^\s*(?:\(?\d+[.):]|[-*•–])\s*")


def parse_candidates(answer: str, truncated: bool = False) -> list[str]:
    """Texts of a JSON array (bare, fenced, within an object, or cut short), or of a numbered or bulleted list.

    Args:
        truncated: The answer was cut off at its longest; its last candidate, which may be half a sentence, is dropped.
    """
    plain = _FENCE.sub("", _THOUGHT.sub("", answer)).strip()
    found = _from_json(plain) or ([] if plain.startswith(("[", "{")) else list(_from_lines(plain)))
    # Half of a surrogate pair, which JSON can spell, can't be written to any file.
    whole = (text.encode(errors="replace").decode() for text in found[: -1 if truncated else None])
    return [text for text in (" ".join(text.split()) for text in whole) if text]


def _from_json(text: str) -> list[str]:
    """The strings of the first JSON array or object that holds any; those of an array without an end, too."""
    for start in (match.start() for match in re.finditer(r"[\[{]", text)):
        try:
            value, _ = json.JSONDecoder().raw_decode(text[start:])
        except (ValueError, RecursionError):
            continue
        if strings := list(_strings(value)):
            return strings
    if objects := list(_objects(text)):
        return objects
    return [_unquoted(quoted) for quoted in _QUOTED.findall(text)] if text.startswith(("[", "{")) else []


def _objects(text: str) -> Iterator[str]:
    """The request of each JSON object, one after the other: a line each, or in an array without an end."""
    at = text.find("{")
    while at >= 0:
        try:
            value, length = json.JSONDecoder().raw_decode(text[at:])
        except (ValueError, RecursionError):
            length = 1
        else:
            yield from _longest(value)
        at = text.find("{", at + length)


def _longest(held: dict[str, Any]) -> list[str]:
    """The longest string that an object holds: its request, and not its number, its style or the like."""
    return sorted((value for value in held.values() if isinstance(value, str)), key=len)[-1:]


def _unquoted(quoted: str) -> str:
    """A JSON string's text; where an escape is none of JSON's, as in "the patient\\'s liver", the character that it
    escapes."""
    try:
        return str(json.loads(f'"{quoted}"', strict=False))
    except ValueError:
        return re.sub(r"\\(.)", r"\1", quoted)


def _strings(value: Any) -> Iterator[str]:
    """Strings in an array, in an array's objects, or in an object's first array."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _longest(item) if isinstance(item, dict) else _strings(item)
    elif isinstance(value, dict):
        yield from next((list(_strings(held)) for held in value.values() if isinstance(held, list)), [])


def _from_lines(text: str) -> Iterator[str]:
    """Items of a list; all lines where none is marked. Lines that end in a colon announce, and aren't candidates."""
    lines = [line for line in text.splitlines() if line.strip() and not line.rstrip().endswith(":")]
    marked = [line for line in lines if _BULLET.match(line)]
    for line in marked or lines:
        item = _BULLET.sub("", line).strip()
        quoted = re.fullmatch(r'["“](.*)["”],?', item)
        yield quoted[1] if quoted else item
