"""Training is a pure function of parameters and data: killed and resumed, or shared by processes, it gives the same."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn

from corpus.errors import InputError
from model.training import loop, processes
from model.training.loop import fit
from model.training.params import TrainParams, rate
from model.training.state import TrainingState
from tests.model import training_run
from tests.model.training_run import EVERYTHING, PARAMS, QUIET, Batches, Noise, Stopped, run


@pytest.fixture
def in_a_process(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Calls a function in a process of its own; gives its exit code. (A fork server has imported PyTorch once.)"""
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.model.training_run"])

    def call(target: Callable, *args: object) -> int:
        process = context.Process(target=target, args=args)
        process.start()
        process.join()
        assert process.exitcode is not None
        return process.exitcode

    return call


def test_killed_at_any_step_and_resumed_is_the_same_to_the_bit(
    tmp_path: Path, in_a_process: Callable[..., int]
) -> None:
    assert in_a_process(training_run.finish, tmp_path, EVERYTHING, tmp_path / "whole") == 0
    weights, history = training_run.read(tmp_path / "whole")
    for moment in (1, 3, 5, 8, 10, 12, "writing", "saving"):
        folder, out = tmp_path / f"killed-{moment}", tmp_path / f"after-{moment}"
        assert in_a_process(training_run.be_killed, folder, EVERYTHING, moment) == -signal.SIGKILL
        assert in_a_process(training_run.finish, folder, EVERYTHING, out) == 0
        resumed, resumed_history = training_run.read(out)
        assert all(torch.equal(weights[name], resumed[name]) for name in weights), moment
        assert resumed_history == history
        assert not list(folder.glob("*.pt")), "the state of a finished run is removed"


def test_a_run_that_was_killed_before_its_result_was_saved_has_nothing_left_to_learn(tmp_path: Path) -> None:
    def fail(figures: dict[str, float]) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        run(tmp_path, PARAMS, save=fail)
    steps, saved = [], []
    run(tmp_path, PARAMS, advance=lambda n=1: steps.append(n), save=saved.append)
    assert steps == [PARAMS.steps]
    assert set(saved[0]) == {"val/loss", "val/plain"}


def test_an_unfinished_run_of_other_parameters_is_not_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SAVE_EVERY", 3)
    with pytest.raises(Stopped):
        run(tmp_path, PARAMS, stop=7)
    assert len(list(tmp_path.glob("*.pt"))) == 1
    started: list[int] = []
    run(tmp_path, replace(PARAMS, learning_rate=1e-3), advance=lambda n=1: started.append(n))
    assert started[0] == 0
    assert not list(tmp_path.glob("*.pt")), "once the stage has a result, what was given up goes"


@pytest.mark.parametrize("left", [0.0, 0.001, 0.5])
def test_a_state_that_is_torn_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: float) -> None:
    monkeypatch.setattr(loop, "SAVE_EVERY", 3)
    with pytest.raises(Stopped):
        run(tmp_path, PARAMS, stop=7)
    (state,) = tmp_path.glob("*.pt")
    content = state.read_bytes()
    state.write_bytes(content[: int(left * len(content))])
    with pytest.raises(InputError, match="expected the state of an unfinished training") as error:
        run(tmp_path, PARAMS)
    assert error.value.where == str(state)
    assert "delete it" in error.value.fix


def train_in_two(out: Path, launcher: list[str], *strategies: str, **env: str) -> None:
    command = [sys.executable, *launcher, "-m", "tests.model.training_run", str(out), *strategies]
    done = subprocess.run(command, env=os.environ | QUIET | env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


def assert_alike(history: list, shared: list) -> None:
    """Whether one process and several logged the same."""
    for (step, values), (other_step, others) in zip(history, shared, strict=True):
        assert step == other_step
        assert others == pytest.approx(values, rel=1e-4, abs=2e-6)


@pytest.mark.parametrize(
    ("strategy", "launcher", "env"),
    [
        ("ddp", [], {"FLANS_DEVICES": "2"}),
        ("fsdp", ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"], {}),
    ],
)
def test_two_processes_do_what_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str, launcher: list[str], env: dict[str, str]
) -> None:
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    train_in_two(tmp_path, launcher, strategy, **env)
    weights, history = run(tmp_path / "one", EVERYTHING, dropout=0.0)
    for name in ("whole", "resumed"):
        shared, shared_history = training_run.read(tmp_path / f"{strategy}-{name}")
        assert_alike(history, shared_history)
        for key, value in weights.items():
            torch.testing.assert_close(shared[key], value, rtol=1e-3, atol=1e-5)
    assert_alike(training_run.segment(tmp_path / "one"), training_run.read(tmp_path / f"{strategy}-segmenter")[1])
    loss, gradient = training_run.batch_losses(0, 1)
    losses, world = training_run.read(tmp_path / f"{strategy}-losses")
    assert world == [2]
    torch.testing.assert_close(losses["loss"], loss, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(losses["gradient"], gradient, rtol=1e-4, atol=1e-7)


class Needle(nn.Module):
    """One weight that training draws to 1. Validation wants it at 0.5: it gets better, then worse.

    Args:
        lost: The validation whose loss is not a number.
    """

    def __init__(self, lost: int = -1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.until_lost = lost

    def forward(self, batch: Noise) -> dict[str, Tensor]:
        loss = (self.weight - (1.0 if self.training else 0.5)).abs().mean()
        if not self.training:
            self.until_lost -= 1
        return {"loss": loss * torch.nan if self.until_lost == 0 and not self.training else loss, "dice": 1 - loss}


def train_needle(folder: Path, lost: int = -1, **changes: Any) -> tuple[Needle, list, list[float]]:
    needle, history, weights = Needle(lost), [], []
    params = replace(PARAMS, steps=20, learning_rate=0.1, weight_decay=0.0, warmup=0, validate_every=1, **changes)
    fit(
        needle,
        Batches(params.steps),
        Batches(1),
        params,
        state_dir=folder,
        key={},
        log=lambda step, values: history.append(values["val/loss"]),
        advance=lambda n=1: weights.append(needle.weight.item()),
    )
    return needle, history, weights[1:]


def test_training_stops_when_validation_gets_no_better_and_keeps_the_best(tmp_path: Path) -> None:
    needle, history, weights = train_needle(tmp_path, patience=3)
    best = min(range(len(history)), key=history.__getitem__)
    assert 0 < best < len(history) - 1
    assert len(history) == best + 1 + 3
    assert needle.weight.item() == weights[best]
    assert len(train_needle(tmp_path)[1]) == 20, "without patience it trains to the end"


def test_a_loss_that_is_not_a_number_is_never_the_best(tmp_path: Path) -> None:
    whole, history, _ = train_needle(tmp_path, patience=3)
    needle, with_a_gap, _ = train_needle(tmp_path, lost=3, patience=3)  # once to learn the losses' names
    assert np.isnan(with_a_gap[1])
    assert with_a_gap[2:] == history[2:]
    assert needle.weight.item() == whole.weight.item()


@pytest.mark.parametrize("patience", [0, 2, 50])  # the last isn't run out when training ends
def test_weights_whose_loss_is_not_a_number_are_not_saved(
    patience: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(self: Needle, batch: Noise) -> dict[str, Tensor]:
        return {"loss": (self.weight - 1).abs().mean() * (1.0 if self.training else torch.nan)}

    monkeypatch.setattr(Needle, "forward", forward)
    with pytest.raises(InputError, match="loss was no number on the validation patients"):
        train_needle(tmp_path, patience=patience)
    assert len(list(tmp_path.iterdir())) == 1, "the state that it came to"


def test_without_patience_the_last_loss_counts(tmp_path: Path) -> None:
    assert train_needle(tmp_path, lost=19)[1][-2:] == pytest.approx([np.nan, 0.5], nan_ok=True, abs=0.2)
    with pytest.raises(InputError, match="loss was no number on the validation patients"):
        train_needle(tmp_path, lost=20)


def test_what_is_frozen_is_no_other_in_the_average() -> None:
    torch.manual_seed(0)
    frozen = nn.Linear(50, 50)
    params = replace(PARAMS, ema=0.999)
    state = TrainingState(
        Fabric(accelerator="cpu", devices=1), frozen, torch.optim.AdamW(frozen.parameters()), params, Path("x")
    )
    for step in range(50):
        state.progress.step = step
        state.average()
    assert torch.equal(state.averaged["weight"], frozen.weight)


def test_the_average_is_validated_and_kept(tmp_path: Path) -> None:
    needle, history, weights = train_needle(tmp_path, ema=0.6)
    average = 0.0
    for step, (weight, loss) in enumerate(zip(weights, history, strict=True)):
        decay = min(0.6, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weight
        assert loss == pytest.approx(abs(average - 0.5), abs=1e-5)
    assert needle.weight.item() == pytest.approx(average, abs=1e-5)


def test_a_loss_to_watch_must_exist(tmp_path: Path) -> None:
    for name in ("dise", "dice"):  # of Dice more is better
        with pytest.raises(InputError, match=r"watch one of loss$"):
            train_needle(tmp_path, patience=1, watch=name)
    assert not any(tmp_path.iterdir()), "said before the first step"


def test_a_training_that_diverges_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Needle, "forward", lambda self, batch: {"loss": (self.weight * torch.nan).mean()})
    with pytest.raises(InputError, match="training has diverged: a gradient is no number"):
        train_needle(tmp_path)


def test_a_batch_in_parts_is_the_same_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLANS_PRECISION", "32-true")  # in bfloat16, which some CPUs have, parts round otherwise

    class Line(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.line = nn.Linear(64, 1)

        def forward(self, batch: Noise) -> dict[str, Tensor]:
            return {"loss": (self.line(batch.image.flatten(1)) - 1).square().mean()}

    weights = []
    for accumulate in (1, 2, 4):
        line = Line()
        params = replace(PARAMS, accumulate=accumulate)
        fit(line, Batches(12), Batches(1), params, state_dir=tmp_path, key={}, log=lambda *_: None)
        weights.append(line.line.weight.detach())
    torch.testing.assert_close(weights[1], weights[0])
    torch.testing.assert_close(weights[2], weights[0])
    with pytest.raises(InputError, match="multiple of 3"):
        run(tmp_path, replace(PARAMS, accumulate=3))


def test_throughput_and_memory_are_told_apart_from_the_curves(tmp_path: Path) -> None:
    logged, measured = [], []
    batches = Batches(PARAMS.steps)
    fit(
        Needle(),
        batches,
        batches,
        PARAMS,
        state_dir=tmp_path,
        key={},
        log=lambda step, values: logged.append((step, set(values))),
        measured=lambda step, values: measured.append((step, values)),
    )
    assert logged == [(step, {"train/loss", "train/dice", "val/loss", "val/dice"}) for step in (4, 8, 12)]
    assert [step for step, _ in measured] == [4, 8, 12]
    for _, values in measured:
        assert values["samples_per_second"] > 1
        assert 0.05 < values["peak_memory_gb"] < 100, "PyTorch alone takes more than 50 MB"


@pytest.mark.parametrize(
    ("env", "devices", "nodes", "strategy"),
    [
        ({}, 1, 1, "auto"),
        ({"FLANS_DEVICES": "4", "FLANS_NODES": "2"}, 4, 2, "DDPStrategy"),
        ({"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "8", "WORLD_SIZE": "16"}, 8, 2, "DDPStrategy"),
        ({"SLURM_STEP_NUM_TASKS": "12", "SLURM_STEP_NUM_NODES": "3"}, 4, 3, "DDPStrategy"),
        ({"FLANS_DEVICES": "2", "FLANS_STRATEGY": "fsdp"}, 2, 1, "ModelParallelStrategy"),
    ],
)
def test_where_training_runs(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], devices: int, nodes: int, strategy: str
) -> None:
    for name in ("FLANS_DEVICES", "FLANS_NODES", "FLANS_STRATEGY", "TORCHELASTIC_RUN_ID", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(processes, "Fabric", lambda **options: SimpleNamespace(launch=lambda: None, **options))
    fabric: Any = processes.launch()
    assert (fabric.devices, fabric.num_nodes) == (devices, nodes)
    assert strategy in (fabric.strategy, type(fabric.strategy).__name__)
    fabric = processes.launch(alone=True)
    assert (fabric.devices, fabric.num_nodes, fabric.strategy) == (1, 1, "auto")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("FLANS_DEVICES", "0"), ("FLANS_NODES", "two"), ("FLANS_STRATEGY", "dp"), ("FLANS_LOADERS", "-1")],
        *[("FLANS_ACCELERATOR", "gpuu"), ("FLANS_PRECISION", "bf17")],
    ],
)
def test_a_launch_that_makes_no_sense_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=name):
        run(tmp_path, PARAMS)


def test_more_devices_than_there_are_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(**options: Any) -> None:
        raise MisconfigurationException("You requested 4 GPUs, but there is 1")

    monkeypatch.setattr(processes, "Fabric", without)
    monkeypatch.setenv("FLANS_DEVICES", "4")
    with pytest.raises(InputError, match=r"FLANS_DEVICES.*4 a node.*there is 1"):
        processes.launch()


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"accumulate": 0},
        {"ema": 1.0},
        {"ema": -0.1},
        {"patience": -1},
        {"learning_rate": 0.0},
        {"seed": -1},
        {"warmup": PARAMS.steps + 1},
    ],
)
def test_parameters_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        TrainParams(**(vars(PARAMS) | wrong))


def test_rate_warms_up_and_ends_near_zero() -> None:
    rates = [rate(step, PARAMS) for step in range(PARAMS.steps)]
    assert rates[0] < rates[1] < rates[2]
    assert max(rates) == pytest.approx(PARAMS.learning_rate)
    assert 0 == rate(PARAMS.steps, PARAMS) < rates[-1] < 0.05 * PARAMS.learning_rate
    assert rate(3, replace(PARAMS, steps=4, warmup=4)) == PARAMS.learning_rate
