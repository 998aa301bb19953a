"""Numbers from the environment: what depends on the machine and changes no result."""

from __future__ import annotations

import math
import os

from corpus.errors import InputError


def whole_number(name: str, default: int, least: int = 1) -> int:
    """The whole number of a variable; `default` where it is unset or empty.

    Raises:
        InputError: It isn't one, or is below `least`.
    """
    value = os.environ.get(name) or str(default)
    if not (value.isascii() and value.isdecimal()) or int(value) < least:
        raise _wrong(name, f"a whole number from {least} on", value)
    return int(value)


def positive_number(name: str, default: float) -> float:
    """The positive number of a variable; `default` where it is unset or empty.

    Raises:
        InputError: It isn't one.
    """
    value = os.environ.get(name) or str(default)
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise _wrong(name, "a positive number", value)
    return number


def _wrong(name: str, expected: str, found: str) -> InputError:
    return InputError(
        f"the environment variable {name}", f"expected {expected}, found {found!r}", "correct or unset it"
    )
