"""What calls to a model cost in tokens and money, and a budget that is never passed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from langchain_core.messages import BaseMessage

from corpus.params import params_dataclass


@params_dataclass
class Prices:
    """The price of a million tokens, in any currency. Discounts for cached prompts are left out of all costs."""

    input: float
    output: float


@params_dataclass
class Budget:
    """The most that may be spent on one provider's model, over all runs that the response store remembers.

    Calls that fail count nothing, though a server may bill an answer that came too late.
    """

    tokens: int | None = None
    """Read and written together."""
    cost: float | None = None
    """In the currency of `Prices`."""


@dataclass(frozen=True)
class Usage:
    """Tokens read and written."""

    tokens_in: int = 0
    tokens_out: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.tokens_in + other.tokens_in, self.tokens_out + other.tokens_out)

    def __sub__(self, other: Usage) -> Usage:
        return Usage(self.tokens_in - other.tokens_in, self.tokens_out - other.tokens_out)

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out

    def cost(self, prices: Prices) -> float:
        """What it costs, in the currency of `prices`."""
        return round((self.tokens_in * prices.input + self.tokens_out * prices.output) / 1e6, 9)


def characters(messages: Sequence[BaseMessage]) -> int:
    """The length of a call, by which its tokens are guessed before a server counts them."""
    return sum(len(str(message.content)) for message in messages)


def most_tokens(length: int) -> int:
    """More tokens than a text of `length` characters has: English has about one in four characters."""
    return ceil(length / 2) + 64


class Ledger:
    """Keeps a budget while calls are under way: room for the worst is reserved before a call goes out.

    Whether the nth call goes out depends on the calls before it alone, and not on the order in which they end: one that
    doesn't fit waits for those under way, whose real usage is less than was reserved.
    """

    def __init__(self, budget: Budget, prices: Prices | None, spent: Usage) -> None:
        self.budget, self.prices, self.spent = budget, prices, spent
        self._reserved = Usage()
        self._calls = 0
        self._settled = threading.Condition()

    def reserve(self, worst: Usage, wait: bool = True) -> bool:
        """Set `worst` aside for a call; False where the budget has no room for it, or none yet and `wait` is False."""
        with self._settled:
            while not self._fits(self.spent + self._reserved + worst):
                if not (wait and self._calls):
                    return False
                self._settled.wait()
            self._reserved += worst
            self._calls += 1
            return True

    def settle(self, worst: Usage, used: Usage) -> None:
        """Book what a call really used, nothing where it failed."""
        with self._settled:
            self._reserved -= worst
            self._calls -= 1
            self.spent += used
            self._settled.notify_all()

    def _fits(self, usage: Usage) -> bool:
        if self.budget.tokens is not None and usage.tokens > self.budget.tokens:
            return False
        return self.budget.cost is None or self.prices is None or usage.cost(self.prices) <= self.budget.cost

    def __str__(self) -> str:
        """What was spent."""
        price = f", cost {self.spent.cost(self.prices):.4f}" if self.prices else ""
        return f"{self.spent.tokens_in} tokens read, {self.spent.tokens_out} written{price}"
