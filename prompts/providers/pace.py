"""How fast to ask: additive increase, multiplicative decrease of the calls under way, as a server's refusals teach."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

BACKOFF, MAX_BACKOFF = 0.5, 30.0
"""Seconds: the mean pause after a first failure doubles with every further one, up to the second number."""

LOOK = 0.5
"""Seconds between looks at whether all is halted."""


class Passing(Exception):
    """A call failed in a way that may pass: a timeout, a broken connection, a fault of the server, a torn answer."""

    def __init__(self, problem: str, wait: float | None = None) -> None:
        super().__init__(problem)
        self.wait = wait
        """Seconds after which the server wants to be asked again; None where it doesn't say."""


class Busy(Passing):
    """The server is asked too much at once."""


class Halted(Exception):
    """Nothing more is to be asked."""


class Refused(Exception):
    """The server won't answer this one call, whenever it is asked: its content, for example, isn't to its liking."""


class Fatal(Exception):
    """No call can succeed: a wrong key, address or model, or no credit left."""


def pause(attempt: int) -> float:
    """Seconds to wait after the `attempt`th failure (from 0), with jitter, so that calls don't come back together."""
    return min(MAX_BACKOFF, BACKOFF * 2.0**attempt) * random.uniform(0.5, 1.5)


class Pace:
    """Lets at most `limit` calls be under way.

    The limit halves when the server is busy, once for all calls that were under way together, and nothing goes out
    before the time that the server names. A round of `limit` successes raises it by one, up to `most`.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.halt = threading.Event()
        """Once it is set, whoever waits for room is sent home."""
        self.limit = float(most)
        self._under_way = self._halvings = 0
        self._resume = 0.0
        self._changed = threading.Condition()

    @contextmanager
    def slot(self, attempt: int = 0) -> Iterator[None]:
        """Wait for room, then hold it for one try of a call, its `attempt`th (from 0).

        Raises:
            Halted: There will be none.
        """
        seen = self._enter()
        try:
            yield
        except Busy as error:
            self._leave(seen, pause(attempt) if error.wait is None else error.wait)
            raise
        except BaseException:
            self._leave(seen, None)
            raise
        with self._changed:
            self.limit = min(self.most, self.limit + 1 / self.limit)
        self._leave(seen, None)

    def _enter(self) -> int:
        with self._changed:
            while not self.halt.is_set():
                wait = self._resume - time.monotonic()
                if wait <= 0 and self._under_way < int(self.limit):
                    self._under_way += 1
                    return self._halvings
                self._changed.wait(min(wait, LOOK) if wait > 0 else LOOK)
            raise Halted

    def _leave(self, seen: int, busy: float | None) -> None:
        with self._changed:
            self._under_way -= 1
            if busy is not None:
                self._resume = max(self._resume, time.monotonic() + busy)
                if seen == self._halvings:
                    self.limit = max(1.0, self.limit / 2)
                    self._halvings += 1
            self._changed.notify_all()
