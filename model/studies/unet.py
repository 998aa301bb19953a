"""A closed-set U-Net, MONAI's as it comes: 24 organs, no language, no idea of how a scan lies; a baseline.

It sees what the segmenter sees (resolution, window, augmentation) and minimises the same loss of the organ maps, with
organs that a source doesn't label left out. It is asked by organ id, so that it never misunderstands.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from corpus.anatomy import N_ORGANS
from corpus.errors import InputError
from corpus.params import params_dataclass, plain, validated
from model.checkpoint import CONFIG, WEIGHTS, load_weights, read_config
from model.data import Augmentation, Batch, SplitData, learning_batches
from model.flans import ModelParams
from model.framing import to_network
from model.groups import crop_from_square
from model.resolve import organ_scores, predicted_labels
from model.training.loop import fit
from model.training.losses import organ_loss
from model.training.params import TrainParams
from model.training.processes import launch

TRIAL_STEPS = 12
"""Their median time is taken for that of a step."""


@params_dataclass
class UNetParams:
    """MONAI's U-Net; about 3 million parameters."""

    channels: tuple[int, ...] = (32, 64, 128, 256)
    residual_units: int = 2


class ClosedUNet(nn.Module):
    """The network.

    Args:
        model: The section `model` of params.yaml, for the size and the window of what comes in.
        organs: Ids of the organs that training labels; the others' maps mean nothing.
    """

    def __init__(self, params: UNetParams, model: ModelParams, organs: tuple[int, ...]) -> None:
        super().__init__()
        from monai.networks.nets import UNet

        self.params, self.model, self.organs = params, model, organs
        self.network = UNet(
            spatial_dims=2,
            in_channels=1,
            out_channels=N_ORGANS,
            channels=params.channels,
            strides=(2,) * (len(params.channels) - 1),
            num_res_units=params.residual_units,
            norm="batch",
        )

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 1, S, S]` in [0, 1] -> logits `[B, 24, S, S]`; the background's is 0."""
        return self.network(x - 0.5)

    @torch.inference_mode()
    def labels(self, image: np.ndarray) -> np.ndarray:
        """The label map of a slice: HU `[H, W]` -> uint8 organ ids `[H, W]`."""
        x, (frame,) = to_network(image[None], self.model)
        logits = F.interpolate(self(x), (frame.side, frame.side), mode="bilinear", align_corners=False)
        labels = predicted_labels(organ_scores(logits, logits.new_ones(1, N_ORGANS), self.organs))
        return crop_from_square(frame.put_back(labels, 0), *image.shape)[0].numpy()


class UNetObjective(nn.Module):
    """What its training minimises: the loss of the segmenter's organ maps."""

    def __init__(self, network: ClosedUNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The loss of a batch of slices."""
        return {"loss": organ_loss(self.network(batch.image).float(), batch.label, batch.labelled)}


def labelled_organs(data: SplitData) -> tuple[int, ...]:
    """Ids of the organs that any slice's source labels."""
    known = torch.stack([data.labelled(i) for i in range(len(data.table))]).any(0)
    return tuple((known.nonzero()[:, 0] + 1).tolist())


def train_unet(
    dataset: Path,
    slices: Path,
    model: ModelParams,
    augment: Augmentation,
    params: TrainParams,
    out: Path,
    *,
    key: dict,
    state_dir: Path,
    seconds: float | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> ClosedUNet:
    """Train a U-Net, in one process, or load the one that `out` holds if it was trained just so. A killed training
    goes on; one that `seconds` limit is timed anew, and begins again.

    Args:
        dataset, slices: Folders of the data set and of the cohort's slice stores.
        params: The schedule; its `steps` give way to `seconds`.
        key: What the run depends on besides parameters: hashes of the data.
        state_dir: As `fit`'s.
        seconds: How long training may take: the number of steps follows from the time that the first ones take.
        report: Called with a line for people now and then.
    """
    asked = {"model": plain(model), "augment": plain(augment), "train": plain(params), "unet": plain(UNetParams())}
    asked = json.loads(json.dumps(asked | {"data": key, "seconds": seconds}))
    path = out / CONFIG
    if path.is_file() and json.loads(path.read_text(encoding="utf-8"))["asked"] == asked:
        report(f"{out}: trained already")
        return load_unet(out)

    def run(objective: nn.Module, params: TrainParams, **more: Any) -> None:
        batches = learning_batches(dataset, slices, None, model, augment, params)
        fit(objective, *batches, params, fabric=fabric, **more)

    fabric = launch(alone=True)
    torch.manual_seed(params.seed)
    network = ClosedUNet(UNetParams(), model, labelled_organs(SplitData(dataset, slices, "train")))
    if seconds is not None:
        times = [time.perf_counter()]
        trial = replace(params, steps=TRIAL_STEPS, warmup=min(params.warmup, TRIAL_STEPS))
        with TemporaryDirectory() as nowhere:
            again = {"key": {}, "log": lambda step, values: None, "state_dir": Path(nowhere)}
            run(UNetObjective(deepcopy(network)), trial, **again, advance=lambda n: times.append(time.perf_counter()))
        steps = max(1, round(seconds / float(np.median(np.diff(times)))))
        params = replace(params, steps=steps, warmup=min(params.warmup, steps // 10))
        report(f"{steps} steps in {seconds:.0f} s")

    def log(step: int, values: dict[str, float]) -> None:
        report(f"step {step} of {params.steps}: " + "  ".join(f"{k} {v:.4f}" for k, v in values.items()))

    run(UNetObjective(network), params, key={"unet": asked}, log=log, state_dir=state_dir)
    network.cpu().eval()
    out.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, out / WEIGHTS)
    config = {"organs": network.organs, "steps": params.steps, "asked": asked}
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return network


def load_unet(folder: Path) -> ClosedUNet:
    """The U-Net that `train_unet` saved, in evaluation mode.

    Raises:
        InputError: The folder holds none.
    """
    if not (folder / CONFIG).is_file():
        raise InputError(folder / CONFIG, "expected a U-Net's file, found none", "flans baselines trains one")
    config = read_config(folder)
    params = validated(config["asked"]["unet"], UNetParams, folder / CONFIG, "asked.unet")
    model = validated(config["asked"]["model"], ModelParams, folder / CONFIG, "asked.model")
    network = ClosedUNet(params, model, tuple(config["organs"]))
    load_weights(network, folder)
    return network.eval()
