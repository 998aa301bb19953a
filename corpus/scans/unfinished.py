"""What an ingest has finished so far, so that a killed one goes on: shards and, beside each, a JSON of its rows.

    <unfinished>/<key>/<shard>.{image,label}.b2nd
    <unfinished>/<key>/<number>.json      there once the number's shards are complete

The key hashes all that the shards depend on, the vocabulary and the code too; work under another key is stale and
thrown away.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

from corpus.anatomy import VOCABULARY
from corpus.files import replacing
from corpus.scans.tree import files_below
from corpus.scans.volumes import Source

CODE = Path(__file__).parent
ABANDONED_S = 3600.0
"""A shard that nobody has written to for so long is a killed task's."""


@dataclass(frozen=True)
class Part:
    """What one task of an ingest found out: rows of the slice table and of the rejects, labels without an organ, and
    what its shards' files hash to."""

    rows: list[dict[str, Any]]
    rejects: list[dict[str, str]]
    dropped: list[str]
    sha256: dict[str, str]


def folder_of(directory: Path, source: Source, parameters: dict[str, Any]) -> Path:
    """The folder in `directory` for work that depends on a source and parameters, new or begun before; any other work
    in `directory` is stale and removed."""
    described = json.dumps({"parameters": parameters, "source": source}, default=_described, sort_keys=True)
    digest = hashlib.sha256(described.encode())
    for path in sorted((VOCABULARY, *CODE.rglob("*.py"), *CODE.rglob("*.yaml"))):
        digest.update(path.read_bytes())
    for root in sorted({path for case in source.cases for path in (case.image, case.label)}):
        files, closed = files_below(root)
        for path in files + closed or [root]:
            digest.update(os.fsencode(path) + b"\0")
            with suppress(OSError):  # a link to nowhere, as in data sets that git-annex keeps, is its volume's affair
                stat = path.stat()
                digest.update(f"{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_mode}\n".encode())
    folder = directory / digest.hexdigest()[:16]
    for other in directory.glob("*"):
        if other != folder and other.is_dir():
            shutil.rmtree(other)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _described(value: Any) -> Any:
    """What JSON says of a part of a source: of a reader its name and what is bound to it, the label map above all."""
    match value:
        case Path():
            return str(value)
        case partial():
            return {"reader": value.func, "args": value.args, "keywords": value.keywords}
        case _ if is_dataclass(value):
            return {field.name: getattr(value, field.name) for field in fields(value)}
        case _ if hasattr(value, "__qualname__"):
            return f"{value.__module__}.{value.__qualname__}"
    raise TypeError(f"{type(value).__name__} has no description")


@dataclass(frozen=True)
class Unfinished:
    """The folder of one ingest's unfinished work."""

    folder: Path

    @classmethod
    def open(cls, directory: Path, source: Source, parameters: dict[str, Any]) -> Unfinished:
        """The unfinished work of this very ingest in `directory`, new or begun before; any other is removed, and so are
        shards that a killed task left half written."""
        work = cls(folder_of(directory, source, parameters))
        for path in work.folder.glob("*.partial"):
            with suppress(FileNotFoundError):  # a task that lives has just completed it
                if time.time() - path.stat().st_mtime > ABANDONED_S:
                    path.unlink()
        return work

    def write(self, number: int, part: Part) -> None:
        """Record that the shards of `number` are complete."""
        with replacing(self._path(number)) as file:
            file.write_text(json.dumps(asdict(part)), encoding="utf-8")

    def read(self, number: int) -> Part | None:
        """The part of `number`, or None where it is not complete."""
        if not self._path(number).is_file():
            return None
        part = Part(**json.loads(self._path(number).read_text(encoding="utf-8")))
        names = {row["shard"] for row in part.rows}
        files = (self.folder / f"{name}.{kind}.b2nd" for name in names for kind in ("image", "label"))
        return part if all(file.is_file() for file in files) else None

    def publish(self, out: Path) -> None:
        """Move the shards to `out`, and throw the rest away."""
        for shard in sorted(self.folder.glob("*.b2nd")):
            shutil.move(shard, out / shard.name)
        shutil.rmtree(self.folder, ignore_errors=True)  # a cluster's worker may be writing there for a killed ingest

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:03d}.json"
