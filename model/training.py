"""The training loop of every stage: Lightning Fabric, one code path from one CPU to many nodes of GPUs.

The run is a pure function of its parameters and data: every step seeds its own randomness, so that a killed run
goes on to the same weights. State is kept outside the stage's outputs, under a name that hashes whatever it depends on.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from math import cos, inf, pi
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader

from corpus.errors import InputError
from corpus.params import params_dataclass, plain
from model.processes import launch, like, load_optimizer, number, part, share_batch_norm, whole


@params_dataclass
class TrainParams:
    """Sections `train_canonicalizer`, `train_segmenter` and `train_joint` of params.yaml."""

    steps: int
    batch_size: int
    """Slices a step, of all processes together."""
    prompts: int
    """Prompts a slice."""
    learning_rate: float
    weight_decay: float
    warmup: int
    """Steps of linear warm-up; a cosine brings the rate to zero at the last step."""
    validate_every: int
    seed: int
    threads: int
    """CPU threads. A parameter, because another number changes the last bits of the weights."""
    accumulate: int = 1
    """Parts that a batch is worked through in, for memory's sake; their gradients are averaged."""
    ema: float = 0.0
    """Decay of a moving average of the weights, which is validated and saved in their stead; 0 for none."""
    patience: int = 0
    """Validations in a row without a better `watch` after which training stops, and the best weights are kept; 0 to
    train to the end and keep the last."""
    watch: str = "loss"
    """The validation loss that `patience` looks at: `loss`, or one of those that make it up."""

    def __post_init__(self) -> None:
        if min(self.steps, self.batch_size, self.prompts, self.validate_every, self.threads, self.accumulate) < 1:
            raise ValueError("steps, batch_size, prompts, validate_every, threads and accumulate must be at least 1")
        if not 0 <= self.ema < 1 or self.patience < 0:
            raise ValueError("ema must be from 0 to below 1, and patience at least 0")


SAVE_EVERY = 100
MAX_GRADIENT_NORM = 1.0
Log = Callable[[int, dict[str, float]], None]
Weights = dict[str, Tensor]
"""A module's state by name: the very tensors that the optimizer changes, or others of the same shapes."""


class Batches(Protocol):
    """The batch of every step: tensors in a dataclass with a method `to`, in a dict or in a list."""

    def __len__(self) -> int: ...

    def __getitem__(self, step: int) -> Any: ...


@dataclass
class Progress:
    """How far a run has come; JSON types."""

    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    """Training losses since the last validation, and of how many steps."""
    count: int = 0
    history: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    best: float = inf
    stale: int = 0
    """Validations since the best one."""
    figures: dict[str, float] = field(default_factory=dict)
    """The validation of the weights that are kept."""


def rate(step: int, params: TrainParams) -> float:
    """The learning rate of a step."""
    if step < params.warmup:
        return params.learning_rate * (step + 1) / params.warmup
    done = (step - params.warmup) / max(1, params.steps - params.warmup)
    return params.learning_rate * (1 + cos(pi * done)) / 2


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
        state_dir: Where the state of an unfinished run lies; a run with the same `key` goes on from it.
        key: What the run depends on besides its parameters (hashes of data and of the weights that it starts from).
        log: Called with a step and its named values, training and validation.
        advance: Called after each step.
        measured: Called with a step and what differs from run to run: `samples_per_second`, and `peak_memory_gb` of
            the first process.
        save: Called with the validation figures once `objective` has its final weights. Until it returns, a killed
            run goes on from its last step.
        fabric: What `launch` gave, where the caller has launched already.

    Raises:
        InputError: The batch can't be shared evenly, or no loss is called `params.watch`.
    """
    torch.set_num_threads(params.threads)
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
    optimizer = torch.optim.AdamW(
        [p for p in objective.parameters() if p.requires_grad],
        params.learning_rate,
        weight_decay=params.weight_decay,
        fused=True,
    )
    wrapped = fabric.setup_optimizers(optimizer)
    digest = hashlib.sha256(json.dumps([plain(params), key], sort_keys=True).encode()).hexdigest()[:16]
    run = _Run(fabric, objective, optimizer, params, state_dir / f"{digest}.pt")
    run.resume()
    progress, losses = run.progress, _Losses(fabric, run.progress)
    if fabric.is_global_zero:
        for step, values in progress.history:
            log(step, values)
        advance(progress.step)

    steps = range(progress.step, progress.step if run.stopped else params.steps)
    loaders = number("FLANS_LOADERS", 0, least=0)
    loader: DataLoader = DataLoader(training, batch_size=None, sampler=steps, num_workers=loaders)  # type: ignore[arg-type]
    since, clock = progress.step, time.perf_counter()
    for step, batch in zip(steps, loader, strict=True):
        module.train()
        torch.manual_seed(params.seed * 1_000_003 + step + (rank << 40))
        for group in optimizer.param_groups:
            group["lr"] = rate(step, params)
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
        run.file.unlink(missing_ok=True)
    fabric.barrier()


class _Run:
    """What a run is besides its parameters and data: weights, their average, the best ones, optimizer and progress."""

    def __init__(
        self, fabric: Fabric, objective: nn.Module, optimizer: torch.optim.Optimizer, params: TrainParams, file: Path
    ) -> None:
        self.fabric, self.objective, self.optimizer, self.params, self.file = fabric, objective, optimizer, params, file
        self.progress = Progress()
        self.weights: Weights = dict(objective.state_dict())
        self.averaged = _copy(self.weights) if params.ema else self.weights
        self.best = _copy(self.weights) if params.patience else self.averaged
        self.kept = {"weights": self.weights, "averaged": self.averaged, "best": self.best}

    @property
    def stopped(self) -> bool:
        """Whether patience has run out."""
        return 0 < self.params.patience <= self.progress.stale

    def resume(self) -> None:
        """Go on from the state file, if there is one."""
        if not self.file.is_file():
            return
        state = torch.load(self.file, map_location="cpu", weights_only=True)
        for name, tensors in self.kept.items():
            _set(tensors, {n: like(x, tensors[n]) for n, x in state[name].items()})
        load_optimizer(self.optimizer, state["optimizer"])
        self.progress = Progress(**state["progress"])

    def save(self) -> None:
        """Write the state file: under another name first, so that there is always a whole one."""
        state = {name: whole(tensors) for name, tensors in self.kept.items()}
        state |= {"optimizer": whole(self.optimizer.state_dict()), "progress": asdict(self.progress)}
        if not self.fabric.is_global_zero:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_suffix(".partial")
        with partial.open("wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(self.file)

    @torch.no_grad()
    def average(self) -> None:
        """Take a step's weights into the moving average; it forgets faster at first, when weights change most."""
        if not self.params.ema:
            return
        decay = min(self.params.ema, (1 + self.progress.step) / (10 + self.progress.step))
        for name, x in self.weights.items():
            if x.is_floating_point():
                self.averaged[name].mul_(decay).add_(x, alpha=1 - decay)
            else:
                self.averaged[name].copy_(x)

    @contextmanager
    def average_in_place(self) -> Iterator[None]:
        """The objective has the averaged weights, for a while."""
        if not self.params.ema:
            yield
            return
        own = _copy(self.weights)
        _set(self.weights, self.averaged)
        yield
        _set(self.weights, own)

    def judge(self, values: dict[str, float]) -> None:
        """Enter a validation's values, and keep the weights if they are the best so far."""
        progress, watched = self.progress, f"val/{self.params.watch}"
        progress.history.append((progress.step, values))
        if self.params.patience:
            if watched not in values:
                losses = ", ".join(name.removeprefix("val/") for name in values if name.startswith("val/"))
                raise InputError("params.yaml", f"no loss is called {self.params.watch}", f"watch one of {losses}")
            progress.stale += 1
            if values[watched] >= progress.best:
                return
            progress.best, progress.stale = values[watched], 0
            _set(self.best, self.averaged)
        progress.figures = {name: value for name, value in values.items() if name.startswith("val/")}

    def give(self) -> None:
        """Give the objective the weights to keep, whole."""
        _set(self.weights, self.best)
        for name, x in whole(self.weights).items():
            if isinstance(self.weights[name], DTensor):
                path, _, parameter = name.rpartition(".")
                owner = self.objective.get_submodule(path)
                setattr(owner, parameter, nn.Parameter(x, getattr(owner, parameter).requires_grad))


def _copy(weights: Weights) -> Weights:
    return {name: x.clone() for name, x in weights.items()}


@torch.no_grad()
def _set(weights: Weights, values: Weights) -> None:
    for name, x in values.items():
        weights[name].copy_(x)


class _Losses:
    """Training losses until they are added to `progress`: on the device, so that no step waits for their values."""

    def __init__(self, fabric: Fabric, progress: Progress) -> None:
        self.fabric, self.progress = fabric, progress
        self.names: list[str] = []
        self.steps: list[Tensor] = []

    def add(self, losses: dict[str, Tensor]) -> None:
        """Enter a step's losses, this process's part of them."""
        self.names = list(losses)
        self.steps.append(torch.stack([value.float() for value in losses.values()]))

    def flush(self) -> None:
        """Add what was entered to the sums: the means over all processes."""
        if not self.steps:
            return
        table = self.fabric.all_reduce(torch.stack(self.steps), reduce_op="mean")
        for row in table.tolist():  # type: ignore[union-attr]
            for name, value in zip(self.names, row, strict=True):
                self.progress.sums[name] = self.progress.sums.get(name, 0.0) + value
        self.progress.count += len(self.steps)
        self.steps = []

    def means(self) -> dict[str, float]:
        """The means since this was last asked."""
        self.flush()
        means = {name: total / self.progress.count for name, total in self.progress.sums.items()}
        self.progress.sums, self.progress.count = {}, 0
        return means


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
        with fabric.no_backward_sync(module, enabled=i < len(batches)), _fast_attention(fabric.device):
            losses = module(batch)
            fabric.backward(losses["loss"] / len(batches))
        found.append({name: value.detach() for name, value in losses.items()})
    fabric.clip_gradients(module, optimizer, max_norm=MAX_GRADIENT_NORM)
    optimizer.step()
    optimizer.zero_grad()
    return {name: torch.stack([losses[name] for losses in found]).mean() for name in found[0]}


def _fast_attention(device: torch.device) -> AbstractContextManager:
    """On a CPU the fused kernel's backward pass takes twice as long as plain products, at the sizes met here."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


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
