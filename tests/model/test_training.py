"""Training is a pure function of parameters and data: killed and resumed, it gives the same weights to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from model import training
from model.data import Batch, TrainingBatches
from model.training import TrainParams, fit, rate

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


class Batches(torch.utils.data.Dataset):
    """Batches of noise, a pure function of the step."""

    def __len__(self) -> int:
        return PARAMS.steps

    def __getitem__(self, step: int) -> Batch:
        image = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(step))
        nothing = torch.zeros(4, dtype=torch.int64)
        return Batch(image, nothing, nothing, nothing, nothing, nothing)


class Objective(nn.Module):
    """A network with dropout and batch norm: both keep state that a resumed run must not lose."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 1)
        )

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return {"loss": (self.network(batch.image) - 1).square().mean()}


class Killed(Exception):
    pass


def run(folder: Path, kill_at: int | None = None) -> tuple[dict[str, Tensor], list]:
    objective, history, done = Objective(), [], 0

    def advance(n: int) -> None:
        nonlocal done
        done += n
        if kill_at is not None and done >= kill_at:
            raise Killed

    batches = cast(TrainingBatches, Batches())
    log = lambda step, values: history.append((step, values))  # noqa: E731
    fit(objective, batches, batches, PARAMS, state_dir=folder, key={}, log=log, advance=advance)
    return objective.state_dict(), history


@pytest.mark.parametrize("kill_at", [5, 9, 11])
def test_killed_and_resumed_is_the_same_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill_at: int
) -> None:
    monkeypatch.setattr(training, "SAVE_EVERY", 3)
    whole, history = run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "killed", kill_at)
    resumed, resumed_history = run(tmp_path / "killed")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert resumed_history == history
    assert not list((tmp_path / "killed").iterdir()), "the state of a finished run is removed"


def test_an_unfinished_run_of_other_parameters_is_not_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SAVE_EVERY", 3)
    with pytest.raises(Killed):
        run(tmp_path, 7)
    assert len(list(tmp_path.glob("*.pt"))) == 1
    other = TrainParams(**(vars(PARAMS) | {"learning_rate": 1e-3}))
    started: list[int] = []
    batches = cast(TrainingBatches, Batches())
    fit(Objective(), batches, batches, other, state_dir=tmp_path, key={}, log=lambda *_: None, advance=started.append)
    assert started[0] == 0


def test_rate_warms_up_and_ends_near_zero() -> None:
    rates = [rate(step, PARAMS) for step in range(PARAMS.steps)]
    assert rates[0] < rates[1] < rates[2]
    assert max(rates) == pytest.approx(PARAMS.learning_rate)
    assert rates[-1] < 0.05 * PARAMS.learning_rate
