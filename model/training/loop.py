"""The training loop of every stage: Lightning Fabric, one code path from one CPU to many nodes of GPUs.

The run is a pure function of its parameters and data: every step seeds its own randomness, so that a killed run
goes on to the same weights. State is kept outside the stage's outputs, under a name that hashes whatever it depends on.
"""

from __future__ import annotations

import hashlib
import json
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader

from corpus.environment import whole_number
from corpus.errors import InputError
from corpus.params import plain
from model.training.memory import keep_memory
from model.training.optimizer import build_optimizer
from model.training.params import TrainParams, rate
from model.training.processes import launch, part, share_batch_norm
from model.training.state import Losses, TrainingState

SAVE_EVERY = 100
MAX_GRADIENT_NORM = 1.0
Log = Callable[[int, dict[str, float]], None]


class Batches(Protocol):
    """The batch of every step: tensors in a dataclass with a method `to`, in a dict or in a list."""

    def __len__(self) -> int: ...

    def __getitem__(self, step: int) -> Any: ...


def fit(
    objective: nn.Module,
    training: Batches,
    validation: Batches,
    params: TrainParams,
    *,
    state_dir: Path,
    key: dict,
    log: Log,
    advance: Callable[..., None] = lambda n=1: None,
    measured: Log = lambda step, values: None,
    save: Callable[[dict[str, float]], None] = lambda figures: None,
    fabric: Fabric | None = None,
) -> None:
    """Minimise what `objective` makes of a batch, its `loss`, in place.

    Of several processes only the first calls `log`, `advance`, `measured` and `save`, and writes. (Under FSDP the
    objective is there to be saved afterwards, not to be run.)

    Args:
        objective: From a batch to named losses, scalars.
        state_dir: Where the states of unfinished runs of this stage lie, until one is finished; a run with the same
            `key` goes on from its own.
        key: What the run depends on besides its parameters (hashes of data and of the weights that it starts from).
        log: Called with a step and its named values, training and validation.
        advance: Called after each step.
        measured: Called with a step and what differs from run to run: `samples_per_second`, and `peak_memory_gb` of
            the first process.
        save: Called with the validation figures once `objective` has its final weights. Until it returns, a killed
            run goes on from its last step.
        fabric: What `launch` gave, where the caller has launched already.

    Raises:
        InputError: The batch can't be shared evenly, no loss is called `params.watch`, the state that an unfinished
            run left is damaged, or the loss of the weights to save is no number on the validation patients.
    """
    torch.set_num_threads(params.threads)
    keep_memory()
    fabric = fabric or launch()
    rank, world = fabric.global_rank, fabric.world_size
    if params.batch_size % (world * params.accumulate):
        raise InputError(
            "params.yaml",
            f"batch_size {params.batch_size} can't be cut evenly for {world} processes and accumulate "
            f"{params.accumulate}",
            f"make it a multiple of {world * params.accumulate}",
        )
    share_batch_norm(objective, fabric.device)
    module = fabric.setup_module(objective)
    optimizer = build_optimizer(objective, params, fabric)
    wrapped = fabric.setup_optimizers(optimizer)
    digest = hashlib.sha256(json.dumps([plain(params), key], sort_keys=True).encode()).hexdigest()[:16]
    run = TrainingState(fabric, objective, optimizer, params, state_dir / f"{digest}.pt")
    run.resume()
    progress, losses = run.progress, Losses(fabric, run.progress)
    if fabric.is_global_zero:
        for step, values in progress.history:
            log(step, values)
        advance(progress.step)

    if params.patience and not progress.step:
        run.check_watch(_validate(module, [validation[0]], fabric))
    steps = range(progress.step, progress.step if run.stopped else params.steps)
    loaders = whole_number("FLANS_LOADERS", 0, least=0)
    loader: DataLoader = DataLoader(training, batch_size=None, sampler=steps, num_workers=loaders)  # type: ignore[arg-type]
    since, clock = progress.step, time.perf_counter()
    for step, batch in zip(steps, loader, strict=True):
        module.train()
        torch.manual_seed(params.seed * 1_000_003 + step + (rank << 40))
        for group in optimizer.param_groups:
            group["lr"] = rate(step, params) * group["share"]
        parts = range(rank, world * params.accumulate, world)
        batches = [fabric.to_device(part(batch, i, world * params.accumulate)) for i in parts]
        losses.add(training_step(fabric, module, wrapped, *batches))
        run.average()
        progress.step = step + 1
        if progress.step % params.validate_every == 0 or progress.step == params.steps:
            values = {f"train/{name}": round(value, 6) for name, value in losses.means().items()}
            measures = _measures((progress.step - since) * params.batch_size / (time.perf_counter() - clock), fabric)
            with run.average_in_place():
                values |= {f"val/{n}": round(v, 6) for n, v in _validate(module, validation, fabric).items()}
            run.judge(values)
            if fabric.is_global_zero:
                log(progress.step, values)
                measured(progress.step, measures)
            since, clock = progress.step, time.perf_counter()
        if fabric.is_global_zero:
            advance(1)
        if progress.step % SAVE_EVERY == 0 or progress.step == params.steps or run.stopped:
            losses.flush()
            run.save()
        if run.stopped:
            break

    run.give()
    if fabric.is_global_zero:
        save(progress.figures)
        for state in state_dir.glob("*.pt"):  # and those of runs that were given up
            state.unlink()
    fabric.barrier()


def _measures(per_second: float, fabric: Fabric) -> dict[str, float]:
    """Throughput, and the most memory that this process has held so far."""
    if fabric.device.type == "cuda":
        peak = float(torch.cuda.max_memory_allocated(fabric.device))
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0  # kB on Linux
    return {"samples_per_second": round(per_second, 2), "peak_memory_gb": round(peak / 1e9, 3)}


def training_step(fabric: Fabric, module: Any, optimizer: Any, *batches: Any) -> dict[str, Tensor]:
    """One step of the optimizer, on one batch or on several of the same size.

    Returns:
        The mean losses by name, scalar tensors.
    """
    found = []
    for i, batch in enumerate(batches, 1):
        with fabric.no_backward_sync(module, enabled=i < len(batches)):
            losses = module(batch)
            fabric.backward(losses["loss"] / len(batches))
        found.append({name: value.detach() for name, value in losses.items()})
    norm = fabric.clip_gradients(module, optimizer, max_norm=MAX_GRADIENT_NORM, error_if_nonfinite=False)
    if norm is not None and not torch.isfinite(norm):
        raise InputError(
            "this training's section of params.yaml",
            "training has diverged: a gradient is no number",
            "lower learning_rate, or lengthen warmup",
        )
    optimizer.step()
    optimizer.zero_grad()
    return {name: torch.stack([losses[name] for losses in found]).mean() for name in found[0]}


@torch.no_grad()
def _validate(module: nn.Module, batches: Batches, fabric: Fabric) -> dict[str, float]:
    module.eval()
    torch.manual_seed(fabric.global_rank << 40)
    results: list[dict[str, Tensor]] = []
    for i in range(len(batches)):
        batch = part(batches[i], fabric.global_rank, fabric.world_size)
        results.append(module(fabric.to_device(batch)))
    means = {name: torch.stack([r[name] for r in results]).mean() for name in results[0]}
    return {name: float(fabric.all_reduce(x, reduce_op="mean")) for name, x in means.items()}  # type: ignore[arg-type]


@contextmanager
def curves(directory: Path) -> Iterator[Callable[[int, dict[str, float]], None]]:
    """DVCLive's learning curves under `directory`; yields the function that logs a step's values."""
    from dvclive import Live

    with Live(str(directory), dvcyaml=None, save_dvc_exp=False, report=None) as live:

        def log(step: int, values: dict[str, float]) -> None:
            live.step = step
            for name, value in values.items():
                live.log_metric(name, value)
            live.make_summary()

        yield log
