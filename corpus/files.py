"""What identifies a file, and how one appears whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to. After the block what was written there is on the disk, and takes its name:
    whoever is killed meanwhile leaves what was there before."""
    part = path.with_name(f".{path.name}.part")  # hidden: no file to whoever lists the folder
    yield part
    with part.open("rb+") as stream:
        os.fsync(stream.fileno())
    part.replace(path)
