"""Training in several processes: who they are, and what must be summed over all of them.

A step's batch is one, however many processes share it: each computes the losses of its part, and sums that a loss
divides by one another (masked means, Dice over the batch, batch norm's statistics) are taken over all parts. With the
gradients averaged, W processes do what one would.
"""

from __future__ import annotations

import os
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from lightning_fabric.utilities.exceptions import MisconfigurationException
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.modules.batchnorm import _BatchNorm

from corpus.environment import whole_number
from corpus.errors import InputError
from corpus.reports.encoder import bfloat16_is_fast

SHARDED_APART = 1_000_000
"""Layers of at least so many parameters are gathered one by one under FSDP, and not with the rest."""
T = TypeVar("T")


def launch(alone: bool = False) -> Fabric:
    """Where training runs: FLANS_ACCELERATOR, FLANS_DEVICES, FLANS_NODES, FLANS_STRATEGY and FLANS_PRECISION; else
    what torchrun's or SLURM's environment says; else one process on whatever is there.

    Precision is bf16-mixed where the hardware has it (GPUs, newer CPUs: twice as fast), and 32-true elsewhere.

    Args:
        alone: One process, whatever they say: for a command that isn't a stage, and does more than train.

    Raises:
        InputError: A variable's value makes no sense.
    """
    accelerator = os.environ.get("FLANS_ACCELERATOR", "auto")
    capable = bfloat16_is_fast()
    if torch.cuda.is_available() and accelerator != "cpu":
        capable = torch.cuda.is_bf16_supported(including_emulation=False)
    devices, nodes = (1, 1) if alone else _processes()
    precision = os.environ.get("FLANS_PRECISION", "bf16-mixed" if capable else "32-true")
    try:
        fabric = Fabric(
            accelerator=accelerator,
            strategy="auto" if alone else _strategy(devices * nodes),
            devices=devices,
            num_nodes=nodes,
            precision=precision,  # type: ignore[arg-type]
        )
    except (ValueError, RuntimeError, ImportError, MisconfigurationException) as error:
        found = f"expected what is there, found {accelerator}, {devices} a node and {precision}: {error}"
        raise InputError("FLANS_ACCELERATOR, FLANS_DEVICES, FLANS_PRECISION", found, "correct or unset them") from None
    fabric.launch()
    return fabric


def _processes() -> tuple[int, int]:
    """Processes a node, and nodes."""
    devices, nodes = _around_us()
    return whole_number("FLANS_DEVICES", devices), whole_number("FLANS_NODES", nodes)


def _around_us() -> tuple[int, int]:
    """Processes a node, and nodes, as torchrun or srun started them; 1 and 1 without."""
    env = os.environ
    if "TORCHELASTIC_RUN_ID" in env:
        devices = int(env["LOCAL_WORLD_SIZE"])
        return devices, int(env["WORLD_SIZE"]) // devices
    if "SLURM_STEP_NUM_TASKS" in env:  # set by srun, not by sbatch
        nodes = int(env["SLURM_STEP_NUM_NODES"])
        return int(env["SLURM_STEP_NUM_TASKS"]) // nodes, nodes
    return 1, 1


def _strategy(processes: int) -> Strategy | str:
    name = os.environ.get("FLANS_STRATEGY", "ddp")
    if name not in ("ddp", "fsdp"):
        raise InputError("FLANS_STRATEGY", f"expected ddp or fsdp, found {name!r}", "export FLANS_STRATEGY=ddp")
    if name == "fsdp":
        # Fabric's own FSDPStrategy is the older FSDP, for GPUs alone.
        return ModelParallelStrategy(_shard, data_parallel_size=processes, tensor_parallel_size=1)
    return DDPStrategy(broadcast_buffers=False) if processes > 1 else "auto"


def _shard(module: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Spread the weights over all processes, so that each holds its share."""
    mesh = mesh["data_parallel"]
    for parameter in module.parameters():
        parameter.data = parameter.data.contiguous()  # FSDP takes no weights in channels_last
    for blocks in module.modules():
        if isinstance(blocks, nn.ModuleList | nn.Sequential):
            for block in blocks:
                if sum(p.numel() for p in block.parameters()) >= SHARDED_APART:
                    fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh, reshard_after_forward=True)
    return module


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


class _Sum(torch.autograd.Function):
    """The sum over all processes; what each process's loss asks of it is summed as well."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _Sum.forward(ctx, gradients[0])


def everywhere(x: Tensor) -> Tensor:
    """`x` summed over all processes; gradients flow to every process's share."""
    return _Sum.apply(x) if world_size() > 1 else x


def mean_everywhere(total: Tensor, count: Tensor) -> Tensor:
    """A mean over all processes' parts of a batch, from each part's sum and number; 0 if there is nothing anywhere."""
    total, count = everywhere(torch.stack([total, count.to(total)]))
    return total / count.clamp(min=1)


def part(batch: T, index: int, parts: int) -> T:
    """One of so many equal parts of a batch: any dataclass, dict or list of tensors, cut along their first axis."""
    if parts == 1:
        return batch

    def cut(x: Tensor) -> Tensor:
        size = len(x) // parts
        return x[index * size : (index + 1) * size]

    return apply_to_collection(batch, Tensor, cut)


class _SharedBatchNorm(_BatchNorm):
    """Batch norm whose statistics are those of all processes' parts: what `nn.SyncBatchNorm` does on GPUs alone."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2 dimensions, found {input.dim()}")

    def forward(self, input: Tensor) -> Tensor:
        """`[B, C, ...]` -> the same shape."""
        if not self.training:
            return super().forward(input)
        dims = [d for d in range(input.dim()) if d != 1]
        shape = [1, -1, *[1] * (input.dim() - 2)]
        x, count = input.float(), input.numel() // input.shape[1] * world_size()
        mean = everywhere(x.sum(dims)) / count
        x = x - mean.view(shape)
        variance = everywhere(x.square().sum(dims)) / count
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            assert self.momentum is not None, "a cumulative average isn't kept"
            self.running_mean.lerp_(mean.detach(), self.momentum)
            self.running_var.lerp_(variance.detach() * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        y = x * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(input.dtype)


def share_batch_norm(module: nn.Module, device: torch.device) -> None:
    """Let batch norm see the batches of all processes, in place; its state stays what it was."""
    if world_size() == 1:
        return
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(module)
        return
    for child in module.modules():
        if isinstance(child, _BatchNorm):
            child.__class__ = _SharedBatchNorm


def whole(tree: T) -> T:
    """A state with its sharded tensors gathered. Every process must take part."""
    return apply_to_collection(tree, DTensor, lambda x: x.full_tensor())


def like(full: Tensor, other: Tensor) -> Tensor:
    """A whole tensor as it is where `other`, of the same shape, is sharded: this process's share."""
    if isinstance(other, DTensor):
        return distribute_tensor(full.to(other.device), other.device_mesh, other.placements)
    return full


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load a whole state into an optimizer whose parameters may be sharded."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    shares = {
        i: {key: like(v, parameters[i]) if v.shape == parameters[i].shape else v for key, v in values.items()}
        for i, values in state["state"].items()
    }
    optimizer.load_state_dict(state | {"state": shares})
