"""Every response of a provider, kept on disk from the moment it arrives: nothing paid for is lost or paid for twice."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from corpus.errors import InputError


@dataclass(frozen=True)
class Response:
    """What a provider answered. Token counts are the server's own, None where it gives none."""

    text: str
    finish_reason: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None


def response_key(provider: str, model: str, parameters: Mapping[str, Any], messages: Sequence[tuple[str, str]]) -> str:
    """sha256 of all that decides a response. `messages` are (role, text) pairs."""
    asked = json.dumps([provider, model, parameters, messages], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(asked.encode()).hexdigest()


class ResponseStore:
    """An append-only file of JSON lines, each written whole by one system call before the response is used.

    A line torn by a kill or a power cut is ignored, and so is a failed call, which is noted for the record: both are
    asked again. Safe for threads; of several processes each may append, but none sees what the others add.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offsets: dict[str, int] = {}
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise InputError(path, f"can't be opened: {error}", "make the folder writable") from None
        self._end = self._read()

    def _read(self) -> int:
        """Note where each response lies; returns the file's size, after closing a torn last line."""
        self._file.seek(0)
        offset, line = 0, b"\n"
        with self.path.open("rb") as lines:
            for line in lines:
                try:
                    record = json.loads(line)
                except ValueError:
                    record = {}
                if "response" in record:
                    self._offsets[record["key"]] = offset
                offset += len(line)
        if not line.endswith(b"\n"):
            offset += self._file.write(b"\n")
        return offset

    def __len__(self) -> int:
        return len(self._offsets)

    def __contains__(self, key: str) -> bool:
        return key in self._offsets

    def __enter__(self) -> ResponseStore:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def get(self, key: str) -> Response:
        """The response to a call that was answered before.

        Raises:
            KeyError: It never was.
        """
        with self._lock, self.path.open("rb") as lines:
            lines.seek(self._offsets[key])
            return Response(**json.loads(lines.readline())["response"])

    def put(self, key: str, response: Response, call: Mapping[str, Any]) -> None:
        """Append a response; `call` says what was asked of whom.

        Raises:
            InputError: It couldn't be written.
        """
        self._offsets[key] = self._append({"key": key, **call, "response": asdict(response)})

    def put_failure(self, key: str, error: BaseException, call: Mapping[str, Any]) -> None:
        """Note that a call failed. It stays unanswered."""
        self._append({"key": key, **call, "error": f"{type(error).__name__}: {error}"[:500]})

    def _append(self, record: Mapping[str, Any]) -> int:
        line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
        with self._lock:
            try:
                written = self._file.write(line)
                os.fsync(self._file.fileno())
            except OSError as error:
                raise InputError(
                    self.path, f"a response can't be written: {error}", "free some disk space, then run again"
                ) from None
            if written != len(line):
                raise InputError(self.path, "a response was written in part", "free some disk space, then run again")
            offset, self._end = self._end, self._end + len(line)
            return offset
