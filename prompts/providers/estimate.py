"""What calls would take, before any is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prompts.providers.asking import Call
from prompts.providers.chat import ProviderParams, provider
from prompts.providers.response_store import ResponseStore
from prompts.providers.spending import Budget, Prices, Usage, characters

CHARACTERS = 4
"""Of a token of English, about."""
TOKENS = 18
"""Of a candidate, about, with its quotes and comma."""


@dataclass(frozen=True)
class Estimate:
    """Calls, tokens and cost of what is still to ask."""

    calls: int
    stored: int
    """Further calls whose answers the store already holds."""
    usage: Usage
    spent: Usage
    """What the store's answers by this model took."""
    prices: Prices | None
    budget: Budget
    billed: bool

    def __str__(self) -> str:
        lines = [f"{self.calls} calls to make, {self.stored} answered before, if every candidate is accepted"]
        if not self.billed:
            return f"{lines[0]}; they run on this machine and cost nothing"
        lines.append(
            f"about {self.usage.tokens_in} tokens to read and {self.usage.tokens_out} to write; "
            f"a third more if one candidate in four is rejected"
        )
        if self.prices:
            lines.append(
                f"cost: about {self.usage.cost(self.prices):.2f}, spent before {self.spent.cost(self.prices):.2f}"
            )
        else:
            lines.append(f"cost: unknown without generate.prices; spent before: {self.spent.tokens} tokens")
        if self.budget != Budget():
            lines.append(f"budget, all runs together: tokens {self.budget.tokens}, cost {self.budget.cost}")
        return "\n".join(lines)


def estimate(calls: Sequence[Call], count: int, params: ProviderParams, store: ResponseStore) -> Estimate:
    """What `calls`, each for `count` candidates, would take."""
    fresh = [call for call in calls if call.key not in store]
    read = sum(characters(call.messages) for call in fresh) // CHARACTERS
    return Estimate(
        calls=len(fresh),
        stored=len(calls) - len(fresh),
        usage=Usage(read, len(fresh) * count * TOKENS),
        spent=store.usage(params.provider, params.model),
        prices=params.prices,
        budget=params.budget,
        billed=provider(params).billed,
    )
