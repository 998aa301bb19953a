"""A small training run, for processes that get killed or share their work.

`python -m tests.model.training_run OUT ddp fsdp` trains once with each strategy; the first process writes the results.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from corpus.anatomy import BY_NAME, N_ORGANS
from model.data import Batch
from model.intent_head import PARTS, IntentLogits, IntentTargets
from model.training import loop
from model.training.loop import fit
from model.training.losses import intent_loss, organ_loss, organ_targets, presence_loss
from model.training.params import TrainParams
from model.training.processes import launch, mean_everywhere, part
from tests.model.test_objectives import objective_of, slices

PARAMS = TrainParams(
    steps=12,
    batch_size=4,
    prompts=1,
    learning_rate=1e-2,
    weight_decay=1e-2,
    warmup=3,
    validate_every=4,
    seed=0,
    threads=1,
)
EVERYTHING = replace(PARAMS, accumulate=2, ema=0.8, patience=3)
QUIET = {"FLANS_ACCELERATOR": "cpu", "FLANS_PRECISION": "32-true", "OMP_NUM_THREADS": "1"}


@dataclass
class Noise:
    image: Tensor
    """float `[B, 1, 8, 8]`"""
    known: Tensor
    """bool `[B]`: whether the picture counts"""


class Stopped(Exception):
    pass


class Batches:
    """Batches of noise, a pure function of the step; `stop` is the first step that there is no batch for."""

    def __init__(self, steps: int, stop: int | None = None) -> None:
        self.steps, self.stop = steps, stop

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Noise:
        if step == self.stop:
            raise Stopped
        generator = torch.Generator().manual_seed(step)
        known = torch.tensor([True, True, step % 2 == 0, False])  # the parts of a batch differ in how much counts
        return Noise(torch.randn(4, 1, 8, 8, generator=generator), known)


class Objective(nn.Module):
    """A network with batch norm and dropout, which both keep state, a convolution that Muon trains, and a masked
    loss."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(
            *(nn.Conv2d(1, 32, 3, bias=False), nn.BatchNorm2d(32), nn.Conv2d(32, 32, 3)),
            *(nn.Dropout(dropout), nn.Flatten(), nn.Linear(512, 1)),
        ).to(memory_format=torch.channels_last)

    def forward(self, batch: Noise) -> dict[str, Tensor]:
        errors = (self.network(batch.image)[:, 0] - batch.image.mean((1, 2, 3)) - 1).square()
        return {"loss": mean_everywhere((errors * batch.known).sum(), batch.known.sum()), "plain": errors.mean()}


def run(
    folder: Path,
    params: TrainParams,
    dropout: float = 0.5,
    stop: int | None = None,
    advance: Callable[..., None] = lambda n=1: None,
    save: Callable[[dict[str, float]], None] = lambda figures: None,
) -> tuple[dict[str, Tensor], list]:
    """Train; gives the weights and what was logged."""
    objective, history = Objective(dropout), []
    fit(
        objective,
        Batches(params.steps, stop),
        Batches(2),
        params,
        state_dir=folder,
        key={},
        log=lambda step, values: history.append([step, values]),
        advance=advance,
        save=save,
    )
    return objective.state_dict(), history


class Slices:
    """The same two slices in every step."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, step: int) -> Batch:
        return slices()


def segment(folder: Path) -> list:
    """Train a small segmenter; gives what was logged."""
    history: list = []
    params = replace(PARAMS, batch_size=2, steps=3, validate_every=1, learning_rate=1e-3)

    def log(step: int, values: dict[str, float]) -> None:
        history.append([step, values])

    fit(objective_of("segmenter"), Slices(), Slices(), params, state_dir=folder, key={"segmenter": True}, log=log)
    return history


def finish(folder: Path, params: TrainParams, out: Path) -> None:
    """Train to the end and write what came out."""
    loop.SAVE_EVERY = 3
    weights, history = run(folder, params)
    write(out, weights, history)


def write(out: Path, weights: dict[str, Tensor], history: list) -> None:
    save_file({name: x.contiguous() for name, x in weights.items()}, out.with_suffix(".safetensors"))
    out.with_suffix(".json").write_text(json.dumps(history), encoding="utf-8")


def read(out: Path) -> tuple[dict[str, Tensor], list]:
    return load_file(out.with_suffix(".safetensors")), json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))


def die(*_: object) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("killed")


def be_killed(folder: Path, params: TrainParams, moment: int | str) -> None:
    """Train, and be killed after a step, while the state is being written, or before the result is saved."""
    loop.SAVE_EVERY = 3
    done = 0

    def advance(n: int = 1) -> None:
        nonlocal done
        done += n
        if done == moment:
            die()

    if moment == "writing":
        os.fsync = die
    run(folder, params, advance=advance, save=die if moment == "saving" else lambda figures: None)


def batch_losses(index: int, parts: int) -> tuple[Tensor, Tensor]:
    """The losses of one part of a batch of two slices and two texts, of which the second slice's source labels the
    liver alone, and the second text asks for nothing; and their gradient by everything that was predicted."""
    generator = torch.Generator().manual_seed(3)
    label = torch.randint(N_ORGANS + 1, (2, 8, 8), generator=generator).to(torch.uint8)
    label[1] = torch.where(label[1] == BY_NAME["liver"].id, label[1], 0)
    known = torch.ones(2, N_ORGANS, dtype=torch.bool)
    known[1] = torch.arange(N_ORGANS) == BY_NAME["liver"].id - 1
    maps = torch.randn(2, N_ORGANS, 8, 8, generator=generator, requires_grad=True)
    logits = {name: torch.randn(2, 30, generator=generator, requires_grad=True) for name in PARTS}
    wanted = {name: torch.tensor([1, 0]) for name in PARTS}
    m, x, k = (part(t, index, parts) for t in (maps, label, known))
    read = IntentLogits(**{n: part(t, index, parts) for n, t in logits.items()}, embedding=torch.zeros(1))
    loss = organ_loss(m, x, k) + presence_loss(m.mean((-2, -1)), organ_targets(x), k)
    loss = loss + intent_loss(read, IntentTargets(**{n: part(t, index, parts) for n, t in wanted.items()}))
    loss.backward()
    return loss.detach(), torch.cat([t.grad.flatten() for t in (maps, *logits.values())])


def main() -> None:
    out = Path(sys.argv[1])
    loop.SAVE_EVERY = 3
    for strategy in sys.argv[2:]:
        os.environ["FLANS_STRATEGY"] = strategy
        fabric = launch()
        whole = run(out / "unfinished", EVERYTHING, dropout=0.0)
        try:
            run(out / "unfinished", EVERYTHING, dropout=0.0, stop=8)
        except Stopped:
            fabric.barrier()
        resumed = run(out / "unfinished", EVERYTHING, dropout=0.0)
        loss, gradient = batch_losses(fabric.global_rank, fabric.world_size)
        segmented = segment(out / "unfinished")
        losses = {"loss": fabric.all_reduce(loss), "gradient": fabric.all_reduce(gradient)}
        if fabric.is_global_zero:
            write(out / f"{strategy}-whole", *whole)
            write(out / f"{strategy}-resumed", *resumed)
            write(out / f"{strategy}-losses", losses, [fabric.world_size])
            write(out / f"{strategy}-segmenter", {}, segmented)


if __name__ == "__main__":
    main()
