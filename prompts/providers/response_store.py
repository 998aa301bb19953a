"""Every response of a provider, kept on disk from the moment it arrives: nothing paid for is lost or paid for twice."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from corpus.errors import InputError
from prompts.providers.spending import Usage, most_tokens


@dataclass(frozen=True)
class Response:
    """What a provider answered. Token counts are the server's own, None where it gives none."""

    text: str
    finish_reason: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None

    def usage(self, asked: int) -> Usage:
        """Its tokens; where the server gives none, an upper bound from its length and from that of the call.

        Args:
            asked: Characters of the call's messages.
        """
        return Usage(
            most_tokens(asked) if self.tokens_in is None else self.tokens_in,
            most_tokens(len(self.text)) if self.tokens_out is None else self.tokens_out,
        )


def response_key(family: str, model: str, parameters: Mapping[str, Any], messages: Sequence[tuple[str, str]]) -> str:
    """sha256 of all that decides a response: `Provider.family`, model, parameters with the seed, (role, text) pairs."""
    asked = json.dumps([family, model, parameters, messages], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(asked.encode()).hexdigest()


class ResponseStore:
    """An append-only file of JSON lines, each written whole by one system call before the response is used.

    A line torn by a kill or a power cut is ignored, and so is a failed call, which is noted for the record: both are
    asked again. Safe for threads, and for several processes, which see each other's responses after `refresh`.
    """

    def __init__(self, path: Path, writable: bool = True) -> None:
        """Open the store, and create it where it is missing and `writable`.

        Raises:
            InputError: It can't be opened.
        """
        self.path = path
        self._offsets: dict[str, int] = {}
        self._usage: dict[tuple[str, str], Usage] = defaultdict(Usage)
        self._end = 0
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        try:
            if writable:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = path.open("a+b", buffering=0)
            self.refresh()
        except OSError as error:
            raise InputError(path, f"can't be opened: {error}", "make the folder writable") from None

    def refresh(self) -> None:
        """Take in the lines that this process or another one has appended."""
        if not self.path.exists():
            return
        with self._lock, self.path.open("rb") as lines:
            lines.seek(self._end)
            for line in lines:
                if not line.endswith(b"\n"):  # torn, or still being written: read again next time
                    return
                try:
                    record = json.loads(line)
                except ValueError:
                    record = {}
                if "response" in record and record["key"] not in self._offsets:
                    self._offsets[record["key"]] = self._end
                    who = record.get("provider", ""), record.get("model", "")
                    self._usage[who] += Response(**record["response"]).usage(record.get("characters", 0))
                self._end += len(line)

    def usage(self, provider: str, model: str) -> Usage:
        """The tokens of all its responses by a provider's model, whenever they were asked for."""
        return self._usage[provider, model]

    def __len__(self) -> int:
        return len(self._offsets)

    def __contains__(self, key: str) -> bool:
        return key in self._offsets

    def __enter__(self) -> ResponseStore:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file:
            self._file.close()

    def get(self, key: str) -> Response:
        """The response to a call that was answered before.

        Raises:
            KeyError: It never was.
        """
        with self.path.open("rb") as lines:
            lines.seek(self._offsets[key])
            return Response(**json.loads(lines.readline())["response"])

    def put(self, key: str, response: Response, call: Mapping[str, Any]) -> None:
        """Append a response; `call` says what was asked of whom.

        Raises:
            InputError: It couldn't be written.
        """
        self._append({"key": key, **call, "response": asdict(response)})
        self.refresh()

    def put_failure(self, key: str, error: BaseException, call: Mapping[str, Any]) -> None:
        """Note that a call failed. It stays unanswered."""
        self._append({"key": key, **call, "error": f"{type(error).__name__}: {error}"[:500]})

    def _append(self, record: Mapping[str, Any]) -> None:
        # Half of a surrogate pair, which a server may send, is no UTF-8; the rest of a paid answer is worth its money.
        line = json.dumps(record, ensure_ascii=False).encode(errors="replace") + b"\n"
        if self._file is None:
            raise ValueError("the store was opened for reading")
        file = self._file.fileno()
        with self._lock:
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                size = os.fstat(file).st_size
                if size and os.pread(file, 1, size - 1) != b"\n":
                    line = b"\n" + line  # closes a line that a kill has torn
                written = self._file.write(line)
                os.fsync(file)
            except OSError as error:
                raise InputError(
                    self.path, f"a response can't be written: {error}", "free some disk space, then run again"
                ) from None
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)
            if written != len(line):
                raise InputError(self.path, "a response was written in part", "free some disk space, then run again")
