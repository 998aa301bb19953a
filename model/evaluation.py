"""Every prompt of every held-out slice, as it lies and turned; one row a case."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from corpus.anatomy import BY_NAME
from corpus.params import params_dataclass
from model.data import SplitData
from model.groups import IDENTITY, INVERSE, NAMES, ORDER, act, act_direction
from model.inference import Request, Segmentation, Segmenter
from model.metrics import case_metrics
from prompts.facts import mask_of
from prompts.intent import SIDES, Intent, on_display
from prompts.targets import intent_of


@params_dataclass
class EvaluateParams:
    """Section `evaluate` of params.yaml."""

    seed: int
    turned: int
    """Of the seven ways to turn or mirror a slice, how many are drawn for each, besides the slice as it lies."""
    examples: int
    """Pictures of each of the best, typical and worst cases."""
    picture_px: int

    def __post_init__(self) -> None:
        if not 0 <= self.turned < ORDER:
            raise ValueError(f"turned must be from 0 to {ORDER - 1}")


@dataclass(frozen=True)
class TestPrompts:
    """The held-out requests, read once."""

    request: Request
    row: dict[str, int]
    pools: dict[tuple[str, str], list[str]]
    """(kind, target) -> prompt ids, for slices that are turned."""
    styles: dict[str, str]
    """Prompt id -> its style."""

    def of(self, prompt_ids: list[str]) -> Request:
        """Some of them, as a request."""
        rows = torch.tensor([self.row[p] for p in prompt_ids])
        whole = self.request
        return Request(
            tuple(whole.prompts[i] for i in rows),
            whole.text[rows],
            whole.intent[rows],
            tuple(whole.understood[i] for i in rows),
        )


def read_prompts(segmenter: Segmenter, texts: pd.DataFrame) -> TestPrompts:
    """Read the test split's requests ("none" ones too).

    Args:
        texts: The data set's texts.parquet.
    """
    held_out = texts[texts["split"] == "test"]
    pools = held_out.groupby(["kind", "target"], sort=True)["prompt_id"]
    return TestPrompts(
        segmenter.read(held_out["text"].tolist()),
        {prompt: i for i, prompt in enumerate(held_out["prompt_id"])},
        {key: group.tolist() for key, group in pools},  # type: ignore[misc]
        dict(zip(held_out["prompt_id"], held_out["style"], strict=True)),
    )


def variants_understood(segmenter: Segmenter, variants: pd.DataFrame) -> dict[str, float]:
    """Sort of variant -> the share of the test split's that is understood.

    Args:
        variants: The data set's variants.parquet.
    """
    table = variants[variants["split"] == "test"]
    read = segmenter.read(table["text"].tolist()).understood
    wanted = [Intent.of_row({str(k): v for k, v in row.items()}) for row in table.to_dict("records")]
    right = [found.intent == intent for found, intent in zip(read, wanted, strict=True)]
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


def turn_prompts(samples: pd.DataFrame, element: int, prompts: TestPrompts, rng: np.random.Generator) -> pd.DataFrame:
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


def evaluate(
    segmenter: Segmenter,
    data: SplitData,
    prompts: TestPrompts,
    params: EvaluateParams,
    advance: Callable[[int], None] = lambda n: None,
    slices: Iterable[int] | None = None,
) -> pd.DataFrame:
    """Ask every sample of every slice, as it lies and turned; masks are compared at the scan's own resolution.

    Args:
        data: The split to evaluate on.
        advance: Called with the number of slices done since.
        slices: Rows of `data.table`; all by default. What a slice is asked doesn't hang on the others.

    Returns:
        One row a case: what was asked, what was understood and answered, the pose, and the metrics.
    """
    cases: list[dict] = []
    for i in range(len(data.table)) if slices is None else slices:
        info = data.table.iloc[i]
        samples = data.by_slice.get(info["slice_id"])
        if samples is not None:
            rng = np.random.Generator(np.random.PCG64([params.seed, i]))
            turns = [IDENTITY, *sorted(rng.permutation(np.arange(1, ORDER))[: params.turned].tolist())]
            image, label = map(torch.from_numpy, data.read(i))
            for element in turns:
                turned = turn_prompts(samples, element, prompts, rng)
                if turned.empty:
                    continue
                shown, truth = act(element, image).numpy(), act(element, label).numpy()
                request = prompts.of(turned["prompt_id"].tolist())
                answer = segmenter.segment(shown[None], request)
                spacing = (info["spacing_y"], info["spacing_x"])
                cases += _rows(turned, element, answer, truth, spacing if element % 2 == 0 else spacing[::-1])
        advance(1)
    return pd.DataFrame(cases)


def _mask_hash(mask: np.ndarray, spacing: tuple[float, float]) -> str:
    """16 hexadecimal digits that stand for a mask `[H, W]`: runs that were judged by other masks can't be compared."""
    where = repr((mask.shape, [float(step) for step in spacing]))
    return hashlib.sha256(where.encode() + np.packbits(mask).tobytes()).hexdigest()[:16]


def _rows(
    samples: pd.DataFrame, element: int, answer: Segmentation, truth: np.ndarray, spacing: tuple[float, float]
) -> list[dict]:
    rows = []
    canonical = int(answer.pose.element)
    for p, sample in enumerate(samples.to_dict("records")):
        understood = answer.request.understood[p]
        intent, asked = understood.intent, intent_of(sample["kind"], sample["target"])
        wanted = mask_of(truth, BY_NAME[sample["organ"]].id)
        rows.append(
            {
                **{k: sample[k] for k in ("slice_id", "source", "patient", "organ", "kind", "target", "style")},
                "transform": NAMES[element],
                "prompt_id": sample["prompt_id"],
                "text": answer.request.prompts[p],
                "understood_kind": intent.kind,
                "understood": intent.target or intent.kind,
                "understood_right": (intent.kind, intent.frame, intent.target)
                == (asked.kind, asked.frame, asked.target),
                "negated_right": intent.negated == asked.negated,
                "confidence": round(understood.confidence, 4),
                "answered": answer.organs[p],
                "pose_right": canonical == INVERSE[element],
                "pose_sure": bool(answer.pose.sure),
                "area_mm2": float(wanted.sum() * spacing[0] * spacing[1]),
                "truth": _mask_hash(wanted, spacing),
                **{
                    k: round(v, 4)
                    for k, v in case_metrics(answer.masks[p, 0], wanted, spacing, sample["organ"]).items()
                },
            }
        )
    return rows
