"""The files of a folder tree as data sets come: with links, hidden copies, and folders that this user may not read."""

from __future__ import annotations

import os
from pathlib import Path


def files_below(root: Path) -> tuple[list[Path], list[Path]]:
    """Every file under a folder, and the folders that may not be looked into, both sorted; of a file, nothing.

    What is hidden is left out, and pipes and the like. Links that lead nowhere are listed: whoever opens them learns
    so. A link to a folder elsewhere is followed; one into this tree, or to a folder above it, isn't: what lies there
    has a path of its own, or is other data.
    """
    files: list[Path] = []
    closed: list[Path] = []
    top = root.resolve()
    entered = {top}

    def leads_on(folder: Path) -> bool:
        if not folder.is_symlink():
            return True
        real = folder.resolve()
        if real in top.parents or not entered.isdisjoint((real, *real.parents)):
            return False
        entered.add(real)
        return True

    def refused(error: OSError) -> None:
        if isinstance(error, PermissionError):
            closed.append(Path(error.filename))

    for folder, inner, names in os.walk(root, followlinks=True, onerror=refused):
        if not os.access(folder, os.X_OK):  # its files have names, and can't be opened
            closed.append(Path(folder))
            inner.clear()
            continue
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        inner[:] = [name for name in inner if leads_on(Path(folder, name))]
        files += [Path(folder, name) for name in names if not name.startswith(".")]
    return sorted(filter(_to_open, files)), sorted(closed)


def _to_open(path: Path) -> bool:
    """Whether a path leads to a file, or to what can't be known."""
    try:
        return path.is_file() or not path.exists()
    except PermissionError:  # a link into a folder that may not be looked into
        return True
