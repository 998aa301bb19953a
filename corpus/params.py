"""params.yaml -> frozen, validated dataclasses: one section a stage."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar, dataclass_transform

import yaml
from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from corpus.errors import InputError

PARAMS = Path("params.yaml")
T = TypeVar("T")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Refuses a key that comes twice, of which YAML's own would keep the last. Libyaml's where PyYAML was built with
    it: ten times as fast."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._flattened: set[yaml.Node] = set()

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """As ever; a mapping that has been merged into another comes again, with that one's keys among its own."""
        seen: set[Hashable] = set()
        for key, _ in () if node in self._flattened else node.value:
            name = None if key.tag.endswith(":merge") else self.construct_object(key, deep=True)
            if isinstance(name, Hashable) and name is not None:
                if name in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"found the key {name} twice", key.start_mark)
                seen.add(name)
        self._flattened.add(node)
        super().flatten_mapping(node)


@dataclass_transform(frozen_default=True)
def params_dataclass(cls: type[T]) -> type[T]:
    """Decorator of every parameter section: frozen, types checked, unknown keys refused."""
    return pydantic_dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))(cls)  # type: ignore[return-value]


def _compiling(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"expected a pattern, but {error}: found {text!r}") from None
    return text


Pattern = Annotated[str, AfterValidator(_compiling)]
"""A regular expression, or a part of one, that stands by itself."""


def read_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        InputError: The file is missing or isn't YAML.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        fix = "run from the repository's root, or restore it: git checkout params.yaml"
        raise InputError(path.resolve(), "the file is missing", fix if path == PARAMS else "correct its name") from None
    except (yaml.YAMLError, ValueError, OSError) as error:  # not UTF-8, or an impossible date
        raise InputError(path, f"expected YAML, but {error}", "correct the line that the message names") from None


def load_params(section: str, cls: type[T], path: Path = PARAMS) -> T:
    """Read one section of params.yaml into its dataclass.

    Raises:
        InputError: The section is missing, or a key is missing, unknown, or of a wrong type or value.
    """
    content = read_yaml(path)
    if not isinstance(content, dict) or section not in content:
        found = ", ".join(content) if isinstance(content, dict) else type(content).__name__
        raise InputError(path, f"expected a section `{section}`, found {found}", f"add `{section}:` with its keys")
    return validated(content[section], cls, path, section)


def validated(content: Any, cls: type[T], where: Path, section: str = "") -> T:
    """YAML content as the dataclass that describes it.

    Args:
        where: The file that the content is from.
        section: The key in the file that the content lies under.

    Raises:
        InputError: A key is missing, unknown, or of a wrong type or value.
    """
    try:
        return TypeAdapter(cls).validate_python(content)
    except ValidationError as error:
        first, *others = error.errors()
        key = ".".join(str(part) for part in (section, *first["loc"]) if part not in ("", "[key]"))
        beside = [e for e in others if e["loc"][:-1] == first["loc"][:-1]]
        strange = [str(e["loc"][-1]) for e in beside if e["type"] == "unexpected_keyword_argument"]
        meant = get_close_matches(str(first["loc"][-1]) if first["loc"] else "", strange, 1)
        missing = f"the key is missing{f', and nothing is called `{meant[0]}`' if meant else ''}"
        problem = {
            "missing": missing,
            "missing_argument": missing,
            "unexpected_keyword_argument": "no parameter has this name",
            "dataclass_type": f"expected keys with values, found {first.get('input')!r}",
            "value_error": str(first.get("ctx", {}).get("error")),  # it says what it found
        }.get(first["type"], f"{first['msg']}, found {first.get('input')!r}")
        told, which = (f"`{key}`: {problem}", f"`{key}`") if key else (problem, "the file")
        history = "" if where.is_absolute() else f" (git diff {where} shows what changed)"
        raise InputError(where, told, f"correct {which}{history}") from None


def check_least(section: object, **least: float) -> None:
    """See, from a section's `__post_init__`, that none of its numbers is too small.

    Args:
        least: Key -> the least that it may be.

    Raises:
        ValueError: One is smaller.
    """
    for name, lowest in least.items():
        if (found := getattr(section, name)) is not None and found < lowest:
            raise ValueError(f"{name} must be at least {lowest}, but found {found}")


def check_names(names: Iterable[str], where: str) -> None:
    """See that names of params.yaml can name folders, and stages of dvc.yaml.

    Args:
        where: The key that they stand under.

    Raises:
        InputError: One can't.
    """
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
            raise InputError(
                "params.yaml", f"`{where}`: {name!r} can't name a folder", "use letters, digits, _ and - alone"
            )


def plain(section: object) -> dict[str, Any]:
    """A section's dataclass as JSON types."""
    return TypeAdapter(type(section)).dump_python(section, mode="json")
