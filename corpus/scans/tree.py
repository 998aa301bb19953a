"""The files of a folder tree as data sets come: with links, hidden copies, and folders that this user may not read."""

from __future__ import annotations

import os
from pathlib import Path


def files_below(root: Path) -> tuple[list[Path], list[Path]]:
    """Every file under a folder, and the folders that may not be looked into, both sorted.

    What is hidden is left out, and what is neither a file nor a link to nowhere. A link to a folder elsewhere is
    followed; one to a folder of this tree, or above it, isn't: what lies there has a path of its own, or is other data.
    """
    files: list[Path] = []
    closed: list[Path] = []
    trees = [root.resolve()]

    def unlinked(folder: Path) -> bool:
        if not folder.is_symlink():
            return True
        real = folder.resolve()
        if any(real.is_relative_to(tree) or tree.is_relative_to(real) for tree in trees):
            return False
        trees.append(real)
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
        inner[:] = [name for name in inner if unlinked(Path(folder, name))]
        files += [Path(folder, name) for name in names if not name.startswith(".")]
    whole = [path for path in files if path.is_file() or (path.is_symlink() and not path.exists())]
    return sorted(whole), sorted(closed)
