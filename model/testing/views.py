"""A slice as a test shows it: as it lies, turned or mirrored, or rotated by an angle; and what it is asked there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from corpus.anatomy import BY_ID
from corpus.scans.intensity import AIR_HU
from model.groups import IDENTITY, INVERSE, NAMES, act, pad_to_square, rotate
from model.testing.asked import HeldOutPrompts, turn_prompts
from prompts.rules import Scene, answer
from prompts.targets import TargetParams, intent_of, least_margin

ROTATED = "rotated"
"""The transform of a slice that is rotated by an angle; the others are `groups.NAMES`."""
SQUARE = 0.01
"""Pixels whose sides differ by more than this share aren't rotated: on its grid, the picture would be sheared."""


@dataclass(frozen=True)
class View:
    """What is shown and asked, and the truth.

    Of D4, no pixel is changed, and answers are turned back to where the truth lies. A rotated picture is resampled
    once, linearly, in the square that holds the slice, and the truth is rotated along (nearest pixel), so that no
    answer is: what the corners cut off is missing in both.
    """

    transform: str
    degrees: float
    """Counter-clockwise."""
    image: np.ndarray
    """int16 `[H, W]` HU, as displayed"""
    label: np.ndarray
    """uint8 `[H, W]` organ ids, in the frame in which answers are judged"""
    samples: pd.DataFrame
    spacing: tuple[float, float]
    """(y, x) in mm, of `label`."""
    labelled: frozenset[int]
    """Organ ids that the slice's source labels."""

    @property
    def element(self) -> int:
        """The element of D4 that the slice was turned by."""
        return IDENTITY if self.transform == ROTATED else NAMES.index(self.transform)

    @property
    def square_pixels(self) -> bool:
        """Whether the slice can be rotated; see `SQUARE`."""
        return abs(self.spacing[0] / self.spacing[1] - 1) <= SQUARE

    def judged(self, masks: np.ndarray) -> np.ndarray:
        """Answers `[P, H, W]` to the picture as displayed, in the frame in which they are judged."""
        return act(INVERSE[self.element], torch.from_numpy(masks)).numpy()

    def carried(self, masks: np.ndarray) -> np.ndarray:
        """Masks `[P, H, W]` of the slice as it lies, in the frame in which answers are judged."""
        if self.transform != ROTATED:
            return masks
        return rotated_by(torch.from_numpy(masks.astype(np.uint8)), self.degrees).numpy() > 0


def as_it_lies(image: np.ndarray, label: np.ndarray, info: pd.Series, samples: pd.DataFrame) -> View:
    """The slice itself.

    Args:
        info: Its row of the slice table.
    """
    spacing = float(info["spacing_y"]), float(info["spacing_x"])
    return View(NAMES[IDENTITY], 0.0, image, label, samples, spacing, frozenset(int(o) for o in info["labelled"]))


def turned(view: View, element: int, prompts: HeldOutPrompts, rng: np.random.Generator) -> View:
    """A slice, turned by `element`: what was leftmost may now be topmost, and is asked for as such."""
    image = act(element, torch.from_numpy(view.image)).numpy()
    samples = turn_prompts(view.samples, element, prompts, rng)
    return replace(view, transform=NAMES[element], image=image, samples=samples)


def rotated_by(x: Tensor, degrees: float, fill: float = 0.0) -> Tensor:
    """`[B, H, W]` in the square that holds it, rotated counter-clockwise: `[B, S, S]`."""
    return rotate(pad_to_square(x, fill), torch.full((len(x),), degrees), fill)


def rotated(view: View, degrees: float, targets: TargetParams) -> View:
    """A slice of square pixels, rotated. Who is leftmost there is found anew; what has no clear answer any more isn't
    asked, the rest keeps its index."""
    image = rotated_by(torch.from_numpy(view.image)[None].float(), degrees, AIR_HU)[0].round().to(torch.int16).numpy()
    label = rotated_by(torch.from_numpy(view.label)[None], degrees)[0].numpy()
    scene, kept = Scene(label[None], view.spacing, view.labelled), {}
    for place, row in zip(view.samples.index, view.samples.to_dict("records"), strict=True):
        intent = intent_of(row["kind"], row["target"])
        if intent.frame == "image":
            found = answer(scene, intent)
            if found is None or found.margin < least_margin(intent, targets):
                continue
            row["organ"] = BY_ID[found.organ].name
        kept[place] = row
    samples = pd.DataFrame(list(kept.values()), columns=view.samples.columns, index=list(kept))
    return replace(view, transform=ROTATED, degrees=degrees, image=image, label=label, samples=samples)
