"""From the data set to batches. A batch is a pure function of (seed, step), so that training resumes exactly."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from corpus.anatomy import BY_NAME, N_ORGANS, with_unions
from corpus.errors import InputError
from corpus.params import check_least, params_dataclass
from corpus.scans.store import SliceStore
from model.flans import ModelParams
from model.framing import label_to_network, to_network
from model.texts import Texts, read_table
from model.training.params import TrainParams

VALIDATED, VALIDATION_STEPS = 64, 8
"""Validation is on at least so many slices or texts, and batches."""
CACHED_BYTES = 336_000_000
"""Bounds the memory of a loader: some 4,000 slices of 128 x 128 pixels."""


@dataclass
class Batch:
    """B slices with P prompts each, canonical frame. (Not frozen: Fabric moves and casts what goes into a module.)"""

    image: Tensor
    """float `[B, 1, S, S]` in [0, 1]"""
    label: Tensor
    """uint8 `[B, S, S]` organ ids"""
    labelled: Tensor
    """bool `[B, 24]`"""
    text: Tensor
    """int64 `[B, P]`, rows of `Texts`"""
    organ: Tensor
    """int64 `[B, P]`, the organ id whose mask is right"""
    degrees: Tensor
    """float `[B]`, how far each slice is rotated counter-clockwise"""

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


class SplitData:
    """The slices of one split, and the samples of each."""

    def __init__(self, dataset: Path, slices: Path, split: str) -> None:
        table = read_table(dataset / "slices.parquet")
        self.table = table[table["split"] == split].reset_index(drop=True)
        samples = read_table(dataset / "samples.parquet")
        self.samples = samples[samples["split"] == split]
        self.by_slice = dict(list(self.samples.groupby("slice_id", sort=True)))
        self.stores = {source: SliceStore(slices / source) for source in sorted(table["source"].unique())}
        self.place = {slice_id: i for i, slice_id in enumerate(self.table["slice_id"])}

    def some(self, count: int, sources: Collection[str] | None = None) -> list[int]:
        """At most `count` slices that have samples, evenly spread over the split, or over some of its sources."""
        asked = [i for slice_id, i in self.place.items() if slice_id in self.by_slice]
        if sources is not None:
            asked = [i for i in asked if self.table["source"].iloc[i] in sources]
        return [asked[c] for c in np.unique(np.linspace(0, len(asked) - 1, min(count, len(asked))).astype(int))]

    def read(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Slice i: image int16 HU and label uint8, `[H, W]`."""
        row = self.table.iloc[i]
        return self.stores[row["source"]].read(row["shard"], int(row["row"]))

    def labelled(self, i: int) -> Tensor:
        """bool `[24]`: the organs that slice i's source labels, unions included."""
        known = torch.zeros(N_ORGANS, dtype=torch.bool)
        known[[o - 1 for o in with_unions({int(o) for o in self.table["labelled"].iloc[i]})]] = True
        return known


@params_dataclass
class Augmentation:
    """Section `augment` of params.yaml: how far a training slice may differ from the original; never mirrored."""

    degrees: float
    tilt: float
    """Degrees; the limit for a slice that lies askew. Beyond 45, so that a neighbouring view's angle is known too."""
    tilted: float
    """Share of the slices that lie askew, where the canonicalizer learns."""
    scale: float
    shift: float
    """Share of the picture's side."""
    contrast: float
    """Share of the window's width."""
    noise: float
    """Standard deviation, as a share of the window's width."""
    copies: int = 0
    """How many augmented copies of a slice a frozen image encoder sees, so that what it makes of each is computed once;
    0: every one is new, as it is for encoders that learn."""

    def __post_init__(self) -> None:
        check_least(self, **dict.fromkeys(vars(self), 0))
        if self.scale >= 1 or self.tilted > 1:
            raise ValueError(f"scale must be below 1 and tilted at most 1, but found {self.scale} and {self.tilted}")

    def __call__(self, image: Tensor, label: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """image `[B, 1, S, S]` and label `[B, S, S]`, moved together; the image's grey values are jittered.

        Returns:
            Image, label, and the degrees by which each was rotated counter-clockwise, `[B]`.
        """
        batch = len(image)

        def uniform(limit: float) -> Tensor:
            return (torch.rand(batch, generator=generator) * 2 - 1) * limit

        askew = torch.rand(batch, generator=generator) < self.tilted
        degrees = torch.where(askew, uniform(self.tilt), uniform(self.degrees))
        angle, scale = torch.deg2rad(degrees), 1 + uniform(self.scale)
        cos, sin = angle.cos() * scale, angle.sin() * scale
        theta = torch.stack(
            [
                torch.stack([cos, -sin, uniform(2 * self.shift)], -1),
                torch.stack([sin, cos, uniform(2 * self.shift)], -1),
            ],
            1,
        )
        grid = F.affine_grid(theta, list(image.shape), align_corners=False)
        image = F.grid_sample(image, grid, align_corners=False)
        label = F.grid_sample(label[:, None].float(), grid, mode="nearest", align_corners=False)[:, 0].to(label.dtype)
        gain, offset = 1 + uniform(self.contrast), uniform(self.contrast / 2)
        image = (image - 0.5) * gain.view(-1, 1, 1, 1) + 0.5 + offset.view(-1, 1, 1, 1)
        noise = torch.randn(image.shape, generator=generator) * (
            torch.rand(batch, 1, 1, 1, generator=generator) * self.noise
        )
        return (image + noise).clamp(0, 1), label, degrees


@lru_cache(maxsize=2)
def _shuffled(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(count)


def _seeded(rng: np.random.Generator) -> torch.Generator:
    return torch.Generator().manual_seed(int(rng.integers(2**62)))


class TrainingBatches(Dataset):
    """The batch of every step.

    Args:
        texts: None where only the pictures matter.
        prompts: Prompts a slice (P).
        augment: None for validation.
    """

    def __init__(
        self,
        data: SplitData,
        texts: Texts | None,
        params: ModelParams,
        *,
        split: str,
        batch_size: int,
        prompts: int,
        steps: int,
        seed: int,
        augment: Augmentation | None,
    ) -> None:
        self.data, self.params, self.augment = data, params, augment
        self.batch_size, self.prompts, self.steps, self.seed = batch_size, prompts, steps, seed
        self._cache: dict[int, tuple[Tensor, Tensor]] = {}
        known = data.samples["prompt_id"].map(texts.row) if texts else pd.Series(0, data.samples.index)
        if missing := int(known.isna().sum()):
            found = f"expected all requests of split {split}, found {missing} samples whose request isn't embedded"
            raise InputError("data/tokens", found, "run `dvc repro embed`")
        samples = pd.DataFrame(
            {
                "slice_id": data.samples["slice_id"],
                "kind": data.samples["kind"],
                "row": known.astype(np.int64),
                "organ": data.samples["organ"].map({name: organ.id for name, organ in BY_NAME.items()}),
            }
        )
        self.choices: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
        for (slice_id, kind), group in samples.groupby(["slice_id", "kind"], sort=True):
            rows, organs = (group[name].to_numpy(np.int64) for name in ("row", "organ"))
            self.choices.setdefault(str(slice_id), {})[str(kind)] = rows, organs
        ids = data.table["slice_id"]
        self.usable = np.flatnonzero(ids.isin(self.choices.keys()))
        self.weight = data.table["weight"].to_numpy()[self.usable]
        if not len(self.usable):
            raise InputError(
                "data/dataset/samples.parquet", f"expected prompts in split {split}, found none", "run dvc repro"
            )

    def __len__(self) -> int:
        return self.steps

    def _slices(self, step: int) -> Sequence[int]:
        """Without replacement within an epoch, where all weigh the same; a batch may span two epochs. Else drawn by
        weight."""
        if np.ptp(self.weight):
            rng = np.random.Generator(np.random.PCG64([self.seed, 2, step]))
            return rng.choice(self.usable, self.batch_size, p=self.weight / self.weight.sum()).tolist()
        first = step * self.batch_size
        chosen = []
        for position in range(first, first + self.batch_size):
            epoch, offset = divmod(position, len(self.usable))
            chosen.append(int(self.usable[_shuffled(len(self.usable), self.seed, epoch)[offset]]))
        return chosen

    def _slice(self, i: int) -> tuple[Tensor, Tensor]:
        """Slice i as the network sees it; the last ones that were read, of `CACHED_BYTES`, are kept."""
        if i not in self._cache:
            image, label = self.data.read(i)
            if len(self._cache) >= CACHED_BYTES // (5 * self.params.size**2):  # float32 and uint8
                self._cache.pop(next(iter(self._cache)))
            x, (frame,) = to_network(image[None], self.params)
            self._cache[i] = x[0], label_to_network(label, frame, self.params.size)
        return self._cache[i]

    def _augmented(
        self, slices: Sequence[int], image: Tensor, label: Tensor, augment: Augmentation, rng: np.random.Generator
    ) -> tuple[Tensor, ...]:
        """Slices moved anew; or, where they have copies, each as a copy of it that is drawn."""
        if not augment.copies:
            return augment(image, label, _seeded(rng))
        drawn = rng.integers(augment.copies, size=len(slices))
        moved = [
            augment(x[None], y[None], _seeded(np.random.Generator(np.random.PCG64([self.seed, 3, i, copy]))))
            for i, copy, x, y in zip(slices, drawn, image, label, strict=True)
        ]
        return tuple(torch.cat(parts) for parts in zip(*moved, strict=True))

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.Generator(np.random.PCG64([self.seed, 1, step]))
        slices = self._slices(step)
        images, labels = [], []
        texts: list[int] = []
        organs: list[int] = []
        for i in slices:
            image, label = self._slice(i)
            images.append(image)
            labels.append(label)
            kinds = self.choices[self.data.table["slice_id"].iloc[i]]
            for _ in range(self.prompts):
                # Half of a batch's prompts name an organ of the slice; the rest are spread over the kinds.
                named = len(texts) % 2 == 0 and "anatomy" in kinds
                rows, ids = kinds["anatomy" if named else list(kinds)[rng.integers(len(kinds))]]
                j = rng.integers(len(rows))
                texts.append(rows[j])
                organs.append(ids[j])
        image, label, degrees = torch.stack(images), torch.stack(labels), torch.zeros(len(slices))
        if self.augment:
            image, label, degrees = self._augmented(slices, image, label, self.augment, rng)
        shape = (len(slices), self.prompts)
        return Batch(
            image,
            label,
            torch.stack([self.data.labelled(i) for i in slices]),
            torch.tensor(np.array(texts)).view(shape),
            torch.tensor(np.array(organs)).view(shape),
            degrees,
        )


def learning_batches(
    dataset: Path, slices: Path, texts: Texts | None, model: ModelParams, augment: Augmentation, params: TrainParams
) -> tuple[TrainingBatches, TrainingBatches]:
    """The batches that a training learns from, and some of other patients (`validation_steps`), not augmented.

    Args:
        dataset, slices: Folders of the data set and of the cohort's slice stores.
    """

    def batches(split: str, steps: int, augment: Augmentation | None) -> TrainingBatches:
        return TrainingBatches(
            SplitData(dataset, slices, split),
            texts,
            model,
            split=split,
            batch_size=params.batch_size,
            prompts=params.prompts,
            steps=steps,
            seed=params.seed,
            augment=augment,
        )

    return batches("train", params.steps, augment), batches("val", validation_steps(params.batch_size), None)


def validation_steps(batch_size: int) -> int:
    """How many batches a validation takes."""
    return max(VALIDATION_STEPS, -(-VALIDATED // batch_size))
