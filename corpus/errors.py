"""One exception for everything that a user can mend."""

from __future__ import annotations


class InputError(Exception):
    """Bad input: says what was found, what was expected, and how to mend it.

    Args:
        where: The file (and key, row or slice) at fault.
        problem: What was expected and what was found.
        fix: What the reader should do about it.
    """

    def __init__(self, where: object, problem: str, fix: str) -> None:
        super().__init__(f"{where}: {problem}\n  To mend it: {fix}")
        self.where, self.problem, self.fix = str(where), problem, fix
