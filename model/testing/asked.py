"""The held-out requests, read once; and what asks in a turned picture for what they ask for."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from model.groups import IDENTITY, act_direction
from model.inference import Request, Segmenter
from prompts.intent import SIDES, Intent, on_display
from prompts.targets import intent_of


@dataclass(frozen=True)
class HeldOutPrompts:
    """The held-out requests, read once."""

    request: Request
    row: dict[str, int]
    pools: dict[tuple[str, str], list[str]]
    """(kind, target) -> the ids to draw from, for slices that are turned and for volumes: each provider's as many as
    another's, for which some come several times."""
    styles: dict[str, str]
    """Prompt id -> its style."""

    def text(self, prompt_id: str) -> str:
        """A request's words."""
        return self.request.prompts[self.row[prompt_id]]

    def of(self, prompt_ids: list[str]) -> Request:
        """Some of them, as a request."""
        rows = torch.tensor([self.row[p] for p in prompt_ids])
        whole = self.request
        return Request(
            tuple(whole.prompts[i] for i in rows),
            tuple(whole.asked[i] for i in rows),
            whole.text.take(rows),
            whole.intent[rows],
            tuple(whole.understood[i] for i in rows),
            tuple(whole.cut[i] for i in rows),
        )


def read_prompts(segmenter: Segmenter, texts: pd.DataFrame) -> HeldOutPrompts:
    """Read the test split's requests ("none" ones too).

    Args:
        texts: The data set's texts.parquet.
    """
    held_out = texts[texts["split"] == "test"]
    return HeldOutPrompts(
        segmenter.read(held_out["text"].tolist()),
        {prompt: i for i, prompt in enumerate(held_out["prompt_id"])},
        {key: _evenly(group) for key, group in held_out.groupby(["kind", "target"], sort=True)},  # type: ignore[misc]
        dict(zip(held_out["prompt_id"], held_out["style"], strict=True)),
    )


def _evenly(texts: pd.DataFrame) -> list[str]:
    """Prompt ids of each provider in turn, until all have come."""
    of_each = [group["prompt_id"].tolist() for _, group in texts.groupby("provider", sort=True)]
    return [prompts[i % len(prompts)] for i in range(max(map(len, of_each))) for prompts in of_each]


def read_texts(segmenter: Segmenter, texts: list[str]) -> HeldOutPrompts:
    """Read texts that aren't the split's own; each is its own id, and in no pool."""
    return HeldOutPrompts(segmenter.read(texts), {text: i for i, text in enumerate(texts)}, {}, {})


def reads(intent: Intent, kind: str, target: str) -> bool:
    """Whether an understood intent is what a sample asks for, however it is put."""
    return _same(intent, intent_of(kind, target))


def _same(a: Intent, b: Intent) -> bool:
    """Whether two intents ask for the same: "not the left one" asks for the right one."""
    return (a.kind, a.frame, a.target) == (b.kind, b.frame, b.target)


def variants_understood(segmenter: Segmenter, variants: pd.DataFrame) -> dict[str, float]:
    """Sort of variant -> the share of the test split's that is understood.

    Args:
        variants: The data set's variants.parquet.
    """
    table = variants[variants["split"] == "test"]
    if table.empty:
        return {}
    read = segmenter.read(table["text"].tolist()).understood
    wanted = map(Intent.of_row, table.to_dict("records"))
    right = [_same(found.intent, intent) for found, intent in zip(read, wanted, strict=True)]
    shares = table.assign(right=right).groupby("variant", sort=True)["right"].mean()
    return {str(variant): float(share) for variant, share in shares.items()}


def turn_intent(intent: Intent, element: int) -> Intent | None:
    """What asks in the picture turned by `element` for what `intent` asks for; None where nothing does: the kidney on
    the left is on no side of a picture that is turned by a quarter."""
    if intent.frame == "patient":
        return intent
    attribute = act_direction(element, intent.attribute) if intent.attribute else None
    relation = act_direction(element, intent.relation) if intent.relation else None
    organ = intent.organ
    if intent.kind == "anatomy":
        if attribute not in SIDES:
            return None
        organ = on_display(str(organ), attribute)
    return replace(intent, organ=organ, attribute=attribute, relation=relation)  # type: ignore[arg-type]


def turn_prompts(
    samples: pd.DataFrame, element: int, prompts: HeldOutPrompts, rng: np.random.Generator
) -> pd.DataFrame:
    """The samples of a slice that is turned by `element`: what was leftmost may now be topmost, and is asked for as
    such. What can't be asked for any more is left out, the others keep their index."""
    if element == IDENTITY:
        return samples
    rows, kept = [], []
    for place, row in zip(samples.index, samples.to_dict("records"), strict=True):
        asked = intent_of(row["kind"], row["target"])
        turned = turn_intent(asked, element)
        if turned != asked:
            pool = prompts.pools.get((row["kind"], str(turned.target))) if turned else None
            if turned is None or not pool:
                continue
            prompt = pool[rng.integers(len(pool))]
            row |= {"target": turned.target, "attribute": turned.attribute, "prompt_id": prompt}
            row["style"] = prompts.styles[prompt]
        rows.append(row)
        kept.append(place)
    return pd.DataFrame(rows, columns=samples.columns, index=kept)
