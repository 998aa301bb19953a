"""What a training run is at a step: weights, their average and the best ones, optimizer, and how far it has come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from math import inf, isfinite, nan
from pathlib import Path
from pickle import UnpicklingError

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from corpus.errors import InputError
from corpus.files import replacing
from model.training.params import TrainParams
from model.training.processes import like, load_optimizer, whole

Weights = dict[str, Tensor]
"""A module's state by name: the very tensors that the optimizer changes, or others of the same shapes."""

SHARES = ("dice", "accuracy")
"""How the names end of values of which more is better: no losses."""


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


class TrainingState:
    """What a run is besides its parameters and data: weights, their average, the best ones, optimizer and progress."""

    def __init__(
        self, fabric: Fabric, objective: nn.Module, optimizer: torch.optim.Optimizer, params: TrainParams, file: Path
    ) -> None:
        self.fabric, self.objective, self.optimizer, self.params, self.file = fabric, objective, optimizer, params, file
        self.progress = Progress()
        self.weights: Weights = dict(objective.state_dict())
        self.averaged = _copy(self.weights) if params.ema else self.weights
        self.best = _copy(self.weights) if params.patience else self.averaged
        self.kept = {"weights": self.weights}  # and the average and the best ones where they are others
        if params.ema:
            self.kept["averaged"] = self.averaged
        if params.patience:
            self.kept["best"] = self.best

    @property
    def stopped(self) -> bool:
        """Whether patience has run out."""
        return 0 < self.params.patience <= self.progress.stale

    def resume(self) -> None:
        """Go on from the state file, if there is one.

        Raises:
            InputError: It is damaged, such as a copy of a part of it.
        """
        if not self.file.is_file():
            return
        try:
            state = torch.load(self.file, map_location="cpu", weights_only=True)
        except (OSError, EOFError, RuntimeError, UnpicklingError) as error:
            found = f"expected the state of an unfinished training, found a damaged one ({type(error).__name__})"
            raise InputError(self.file, found, "delete it: this stage starts anew then") from None
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
        with replacing(self.file) as part:
            torch.save(state, part)

    @torch.no_grad()
    def average(self) -> None:
        """Take a step's weights into the moving average; it forgets faster at first, when weights change most."""
        if not self.params.ema:
            return
        decay = min(self.params.ema, (1 + self.progress.step) / (10 + self.progress.step))
        for name, x in self.weights.items():
            if x.is_floating_point():
                self.averaged[name].lerp_(x, 1 - decay)  # to the bit x, where x doesn't change
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

    def check_watch(self, losses: Iterable[str]) -> None:
        """Refuse to watch a loss that there isn't.

        Raises:
            InputError: So it is.
        """
        known = [name for name in losses if not name.endswith(SHARES)]
        if self.params.watch not in known:
            raise InputError(
                "params.yaml", f"no loss is called {self.params.watch}", f"watch one of {', '.join(known)}"
            )

    def judge(self, values: dict[str, float]) -> None:
        """Enter a validation's values, and keep the weights if they are the best so far."""
        progress, watched = self.progress, f"val/{self.params.watch}"
        progress.history.append((progress.step, values))
        if self.params.patience:
            progress.stale += 1
            if not values[watched] < progress.best:  # a loss that is not a number is no better
                return
            progress.best, progress.stale = values[watched], 0
            _set(self.best, self.averaged)
        progress.figures = {name: value for name, value in values.items() if name.startswith("val/")}

    def give(self) -> None:
        """Give the objective the weights to keep, whole.

        Raises:
            InputError: Their loss is no number on the validation patients, or the best are wanted and there are none.
        """
        watched = self.params.watch if self.params.patience else "loss"
        if not isfinite(self.progress.figures.get(f"val/{watched}", nan)):
            found = f"{watched} was no number on the validation patients"
            raise InputError("this training's section of params.yaml", found, "lower learning_rate")
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


class Losses:
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
