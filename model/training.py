"""The training loop of all three stages: Lightning Fabric, one code path from one CPU to many GPUs.

The run is a pure function of its parameters and data: every step seeds its own randomness, so that a killed run
goes on to the same weights. State is kept outside the stage's outputs, under a name that hashes whatever it depends on.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from math import cos, pi
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader

from corpus.params import params_dataclass, plain
from model.data import Batch, TrainingBatches
from model.text_encoder import bfloat16_is_fast


@params_dataclass
class TrainParams:
    """Sections `train_canonicalizer`, `train_segmenter` and `train_joint` of params.yaml."""

    steps: int
    batch_size: int
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

    def __post_init__(self) -> None:
        if min(self.steps, self.batch_size, self.prompts, self.validate_every, self.threads) < 1:
            raise ValueError("steps, batch_size, prompts, validate_every and threads must be at least 1")


SAVE_EVERY = 100
MAX_GRADIENT_NORM = 1.0


def launch() -> Fabric:
    """Where training runs: FLANS_ACCELERATOR, FLANS_DEVICES, FLANS_NODES and FLANS_PRECISION, else whatever is there.

    Precision is bf16-mixed where the hardware has it (GPUs, newer CPUs: twice as fast), and 32-true elsewhere.
    """
    accelerator = os.environ.get("FLANS_ACCELERATOR", "auto")
    capable = torch.cuda.is_available() and accelerator != "cpu"
    capable = capable or bfloat16_is_fast()
    fabric = Fabric(
        accelerator=accelerator,
        devices=int(os.environ.get("FLANS_DEVICES", "1")),
        num_nodes=int(os.environ.get("FLANS_NODES", "1")),
        precision=os.environ.get("FLANS_PRECISION", "bf16-mixed" if capable else "32-true"),  # type: ignore[arg-type]
    )
    fabric.launch()
    return fabric


def rate(step: int, params: TrainParams) -> float:
    """The learning rate of a step."""
    if step < params.warmup:
        return params.learning_rate * (step + 1) / params.warmup
    done = (step - params.warmup) / max(1, params.steps - params.warmup)
    return params.learning_rate * (1 + cos(pi * done)) / 2


def fit(
    objective: nn.Module,
    training: TrainingBatches,
    validation: TrainingBatches,
    params: TrainParams,
    *,
    state_dir: Path,
    key: dict,
    log: Callable[[int, dict[str, float]], None],
    advance: Callable[..., None] = lambda n=1: None,
) -> None:
    """Minimise `objective`'s `loss`, in place.

    Args:
        state_dir: Where the state of an unfinished run lies; a run with the same `key` goes on from it.
        key: What the run depends on besides its parameters (hashes of data and of the weights that it starts from).
        log: Called with a step and its named values, training and validation.
        advance: Called after each step.
    """
    torch.set_num_threads(params.threads)
    fabric = launch()
    optimizer = torch.optim.AdamW(
        [p for p in objective.parameters() if p.requires_grad],
        params.learning_rate,
        weight_decay=params.weight_decay,
        fused=True,
    )
    module, optimizer = fabric.setup(objective, optimizer)
    digest = hashlib.sha256(json.dumps([plain(params), key], sort_keys=True).encode()).hexdigest()[:16]
    state_file = state_dir / f"{digest}.pt"
    start, sums, count = 0, {}, 0
    if state_file.is_file():
        state = torch.load(state_file, map_location="cpu", weights_only=True)
        objective.load_state_dict(state["objective"])
        optimizer.load_state_dict(state["optimizer"])
        start, sums, count = state["step"], state["sums"], state["count"]
        for step, values in state["history"]:
            log(step, values)
        history = state["history"]
    else:
        history = []
    advance(start)

    loader = DataLoader(training, batch_size=None, sampler=range(start, params.steps), num_workers=0)
    for step, batch in zip(range(start, params.steps), loader, strict=True):
        module.train()
        torch.manual_seed(params.seed * 1_000_003 + step)
        for group in optimizer.param_groups:
            group["lr"] = rate(step, params)
        losses = training_step(fabric, module, optimizer, batch.to(fabric.device))
        sums = {name: sums.get(name, 0.0) + float(value.detach()) for name, value in losses.items()}
        count += 1
        if (step + 1) % params.validate_every == 0 or step + 1 == params.steps:
            values = {f"train/{name}": round(total / count, 6) for name, total in sums.items()}
            values |= {f"val/{name}": round(v, 6) for name, v in _validate(module, validation, fabric).items()}
            log(step + 1, values)
            history.append((step + 1, values))
            sums, count = {}, 0
        advance(1)
        if fabric.global_rank == 0 and (step + 1) % SAVE_EVERY == 0:
            _save(state_file, objective, optimizer, step + 1, sums, count, history)
    state_file.unlink(missing_ok=True)


def training_step(fabric: Fabric, module: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch) -> dict:
    """One step of the optimizer.

    Returns:
        The losses by name, scalar tensors.
    """
    with _fast_attention(fabric.device):
        losses = module(batch)
        fabric.backward(losses["loss"])
    fabric.clip_gradients(module, optimizer, max_norm=MAX_GRADIENT_NORM)
    optimizer.step()
    optimizer.zero_grad()
    return losses


def _fast_attention(device: torch.device) -> AbstractContextManager:
    """On a CPU the fused kernel's backward pass takes twice as long as plain products, at the sizes met here."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


@torch.no_grad()
def _validate(module: nn.Module, batches: TrainingBatches, fabric: Fabric) -> dict[str, float]:
    module.eval()
    torch.manual_seed(0)
    results: list[dict[str, Tensor]] = [module(batches[i].to(fabric.device)) for i in range(len(batches))]
    return {name: float(torch.stack([r[name] for r in results]).mean()) for name in results[0]}


def _save(
    path: Path, objective: nn.Module, optimizer: torch.optim.Optimizer, step: int, sums: dict, count: int, history: list
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    state = {
        "objective": objective.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "sums": sums,
        "count": count,
        "history": history,
    }
    torch.save(state, partial)
    partial.replace(path)


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
