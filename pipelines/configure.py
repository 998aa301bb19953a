"""`flans configure`: overlays, a few parameters that turn params.yaml into that of another run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from corpus.errors import InputError
from corpus.files import replacing
from corpus.params import PARAMS, check_names, read_yaml, validated


def apply_overlay(overlay: Path, params: Path = PARAMS) -> list[str]:
    """Merge an overlay into params.yaml in place, keeping comments and order. Null is written where a parameter may be
    null; elsewhere it takes out what is there, a source for one.

    Returns:
        One line a change.

    Raises:
        InputError: A file is missing, isn't YAML, has a key twice or can't be written, or the overlay has a section
            that params.yaml lacks, or what no stage would take. Nothing is written then.
    """
    if not overlay.is_file():
        raise InputError(
            overlay, "expected a YAML file with parameters, found none", "examples/ has some; name one of them"
        )
    yaml = YAML()
    yaml.width = 4096
    yaml.preserve_quotes = True
    yaml.default_flow_style = None  # a new list or map of plain values in one line, as those of params.yaml are
    yaml.representer.add_representer(type(None), _null)
    changes, content = _load(YAML(typ="safe"), overlay), _load(yaml, params)
    if not isinstance(changes, dict):
        raise InputError(overlay, "expected sections of params.yaml", "see examples/btcv.yaml")
    if not isinstance(content, dict):
        raise InputError(params, "expected sections of parameters", "restore it: git checkout params.yaml")
    if unknown := [str(key) for key in changes if key not in content]:
        raise InputError(overlay, f"params.yaml has no section {', '.join(unknown)}", f"use those of {params}")
    if flat := [key for key, value in changes.items() if isinstance(content.get(key), dict) != isinstance(value, dict)]:
        found = f"expected parameters under {', '.join(map(str, flat))} as params.yaml has them"
        raise InputError(overlay, found, "see examples/btcv.yaml")
    lines: list[str] = []
    _merge(content, changes, (), lines)
    _check(content, changes, overlay, params)
    try:
        with replacing(params) as part, part.open("w", encoding="utf-8") as stream:
            yaml.dump(content, stream)
    except PermissionError:
        found = "expected to write it anew, but this user may not write to its folder"
        raise InputError(params.absolute(), found, "change the folder's permissions") from None
    return lines


def _check(content: Any, changes: dict, overlay: Path, params: Path) -> None:
    """See that some stage would take what the overlay makes of params.yaml; what was wrong there before is told so."""
    from corpus.scans.adapters import check_adapter
    from pipelines.sections import SECTIONS  # most of the project

    before = read_yaml(params)
    for key in (key for key in changes if key in SECTIONS):
        try:
            validated(content.get(key), SECTIONS[key], overlay, key)
        except InputError:
            validated(before[key], SECTIONS[key], params, key)
            raise
    check_names(content["ingest"]["sources"], "ingest.sources")
    check_names([content["cohort"]], "cohort")
    for name in (changes.get("ingest") or {}).get("sources") or {}:
        if name in content["ingest"]["sources"]:  # of a wrong one dvc would only say that a file isn't there
            check_adapter(content["ingest"]["sources"][name]["adapter"], f"{overlay}: `ingest.sources.{name}`")


def _load(yaml: YAML, path: Path) -> Any:
    read_yaml(path)  # what it says of a file that can't be read holds here, too
    try:
        return yaml.load(path.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:  # it is stricter than PyYAML: a tab behind a colon
        line = error.problem_mark.line + 1
        raise InputError(path, f"expected YAML, but line {line}: {error.problem}", "correct that line") from None


def _null(representer: Any, value: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")  # as it was written, not as nothing


def _remove(into: Any, key: str) -> None:
    """Take a parameter out. What stands in the lines below it, a comment or the empty one before the next section,
    stays, behind the parameter above, where that is in one line."""
    names = list(into)
    above = names[max(0, names.index(key) - 1)]
    token = (into.ca.items.pop(key, None) or [None] * 4)[2]
    into.pop(key)
    below = token.value.partition("\n")[2] if token else ""
    if not below or above not in into or (isinstance(into[above], dict | list) and not into[above].fa.flow_style()):
        return
    held = into.ca.items.get(above)
    if held and held[2]:
        held[2].value += below
    else:
        token.value = f"\n{below}"
        into.ca.items[above] = [None, None, token, None]


def _takes_null(kind: Any, path: Sequence[str]) -> bool:
    """Whether null is a value of what lies there in a section of this type; that of a misspelt name is to be told."""
    if get_origin(kind) in (Union, UnionType):
        return any(_takes_null(each, path) for each in get_args(kind))
    if not path:
        return kind is NoneType
    if is_dataclass(kind):
        fields = get_type_hints(kind)
        return path[0] not in fields or _takes_null(fields[path[0]], path[1:])
    return get_origin(kind) is dict and _takes_null(get_args(kind)[1], path[1:])


def _merge(into: Any, changes: dict, above: tuple[str, ...], lines: list[str]) -> None:
    from pipelines.sections import SECTIONS

    for key, value in changes.items():
        path = (*above, key)
        name = ".".join(map(str, path))
        if value is None and not _takes_null(SECTIONS.get(path[0]), path[1:]):
            if key in into:
                _remove(into, key)
                lines.append(f"{name}: removed")
        elif isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value, path, lines)
        elif key not in into or into[key] != value:
            lines.append(f"{name}: {into.get(key, 'not set')} -> {value}")
            if into and key not in into:  # not at the end: the empty line before the next section hangs on the last key
                into.insert(len(into) - 1, key, value)
            else:
                into[key] = value
    if not into:
        into.fa.set_flow_style()  # "{}" behind the comment of its key; in a line below, it would be no YAML
