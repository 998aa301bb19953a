"""What training makes of a slice that lies anyhow."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pandas as pd
import pytest
import torch
from torch import nn

from corpus.anatomy import N_ORGANS
from model.canonicalizer import Pose
from model.data import Batch
from model.flans import FLanS
from model.groups import INVERSE, ORDER, act_batch, compose, rotate
from model.intent_head import IntentTargets
from model.texts import TextBatch, Texts
from model.training.objectives import (
    CanonicalizerObjective,
    JointObjective,
    LanguageObjective,
    LossWeights,
    SegmenterObjective,
    nearly_upright,
)
from prompts.intent import Intent
from tests.model.test_flans import D4, PARAMS, SIZE, TEXT_DIM, Letters


def found(element: torch.Tensor, degrees: torch.Tensor) -> Pose:
    return Pose(element, degrees, torch.ones(len(element)), torch.ones(len(element), dtype=torch.bool))


def picture() -> torch.Tensor:
    """A smooth blob off the centre, so that a rotation there and back loses little."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 65), torch.linspace(-1, 1, 65), indexing="ij")
    return torch.exp(-8 * ((x - 0.3) ** 2 + (y + 0.1) ** 2))[None, None]


def test_a_pose_that_is_nearly_right_stays_and_any_other_is_put_right() -> None:
    element = torch.arange(ORDER)
    tilt = torch.full((ORDER,), 20.0)
    turned = act_batch(element, rotate(picture().expand(ORDER, -1, -1, -1), tilt))
    undone = torch.tensor(INVERSE)[element]

    close = nearly_upright(found(undone, torch.full((ORDER,), -15.0)), element, tilt)
    assert torch.equal(close.element, undone)
    assert (close.degrees == -15).all(), "5 degrees out: the segmenter learns to live with it"

    for error in range(1, ORDER):
        wrong = torch.tensor([compose(int(u), error) for u in undone])
        mended = nearly_upright(found(wrong, torch.full((ORDER,), -20.0)), element, tilt)
        assert torch.equal(mended.element, undone)
        upright = rotate(act_batch(mended.element, turned), mended.degrees)
        assert (upright - picture()).abs().max() < 0.02


def test_a_quarter_turn_and_a_tilt_the_other_way_are_one_pose() -> None:
    """Tilted by 48 degrees, a slice is nearer to the neighbouring view."""
    element, tilt = torch.tensor([0]), torch.tensor([48.0])
    other = found(torch.tensor([3]), torch.tensor([42.0]))
    same = nearly_upright(other, element, tilt)
    assert torch.equal(same.element, other.element)
    assert torch.equal(same.degrees, other.degrees)
    upright = rotate(act_batch(same.element, rotate(picture(), tilt)), same.degrees)
    assert (upright - picture()).abs().max() < 0.02


@pytest.mark.parametrize(("kind", "upright"), [("identity", 1 / ORDER), ("d4", 1.0)])
def test_without_a_canonicalizer_slices_stay_turned(
    kind: Literal["identity", "d4"], upright: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = FLanS(PARAMS, replace(D4, kind=kind), torch.randn(N_ORGANS, TEXT_DIM))
    objective = JointObjective(model, None, LossWeights())  # type: ignore[arg-type]
    image = torch.linspace(0, 1, SIZE * SIZE).reshape(1, 1, SIZE, SIZE).expand(64, -1, -1, -1)
    seen: list[Batch] = []

    def segment(batch: Batch) -> dict[str, torch.Tensor]:
        seen.append(batch)
        return {"loss": torch.zeros(())}

    monkeypatch.setattr(objective.segmenter, "forward", segment)
    if kind == "d4":  # as one that is always wrong by a mirror: put right
        mirrored = found(torch.full((64,), 4), torch.zeros(64))
        monkeypatch.setattr(model.canonicalizer, "pose", lambda *heads: mirrored)
    nothing = torch.zeros(64, 1, dtype=torch.long)
    labelled = torch.ones(64, N_ORGANS, dtype=torch.bool)
    objective(Batch(image, (255 * image[:, 0]).byte(), labelled, nothing, nothing, torch.zeros(64)))
    lies = torch.isclose(seen[0].image, image, atol=1e-3).flatten(1).all(1).float().mean()
    assert abs(float(lies) - upright) < 0.15
    assert torch.allclose(seen[0].label.float() / 255, seen[0].image[:, 0], atol=0.02), "labels turn with their picture"


REQUESTS = {
    "outline the liver": Intent("anatomy", "liver", None, "patient"),
    "not the left kidney, the other": Intent("anatomy", "right kidney", None, "patient", True),
    "the second largest": Intent("size", None, "largest", rank=2),
    "what lies below the spleen": Intent("relation", "spleen", relation="below"),
}


def objective_of(stage: str, resolve: str = "geometric") -> nn.Module:
    """What a stage minimises, for a small untrained model."""
    torch.manual_seed(0)
    model = FLanS(replace(PARAMS, resolve=resolve), D4, torch.randn(N_ORGANS, TEXT_DIM))
    texts = Texts(pd.DataFrame(), Letters().encode(list(REQUESTS)), IntentTargets.of(list(REQUESTS.values())), {})
    if stage == "canonicalizer":
        return CanonicalizerObjective(model.canonicalizer, LossWeights())
    if stage == "language":
        return LanguageObjective(model.intent_head, texts)
    model.canonicalizer.requires_grad_(stage == "joint")
    return {"segmenter": SegmenterObjective, "joint": JointObjective}[stage](model, texts, LossWeights())


def slices() -> Batch:
    """Two noisy slices, two prompts each."""
    torch.manual_seed(1)
    prompts, organs = torch.arange(4).reshape(2, 2), torch.tensor([[1, 2], [3, 1]])
    image, label = torch.rand(2, 1, SIZE, SIZE), torch.randint(N_ORGANS + 1, (2, SIZE, SIZE)).to(torch.uint8)
    return Batch(image, label, torch.ones(2, N_ORGANS, dtype=torch.bool), prompts, organs, torch.tensor([5.0, -9.0]))


@pytest.mark.parametrize("resolve", ["geometric", "learned"])
@pytest.mark.parametrize("stage", ["canonicalizer", "language", "segmenter", "joint"])
def test_all_that_a_stage_trains_has_a_part_in_its_loss(stage: str, resolve: str) -> None:
    """Several processes wait for every weight's gradient, and stop where one has none."""
    objective, batch = objective_of(stage, resolve), TextBatch(torch.arange(4), torch.arange(4))
    objective.train()
    objective(batch if stage == "language" else slices())["loss"].backward()
    idle = [name for name, p in objective.named_parameters() if p.requires_grad and p.grad is None]
    assert not idle
