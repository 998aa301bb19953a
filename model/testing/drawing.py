"""Pictures of answers: the predicted mask over the slice, and the true one where there is one."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from corpus.anatomy import BY_NAME
from model.data import SplitData
from model.groups import NAMES, act, act_direction
from model.inference import Segmenter
from model.testing.asked import HeldOutPrompts
from model.testing.poses import pose_of
from prompts.facts import mask_of
from prompts.pictures import SIDES, picture, save

TILES = 6
"""Slices of a volume in one picture."""


def draw_examples(
    chosen: pd.DataFrame, segmenter: Segmenter, data: SplitData, prompts: HeldOutPrompts, out: Path, pixels: int
) -> None:
    """Ask the chosen cases again and draw each: prediction in yellow, truth in blue, dashes of both where they agree;
    examples.csv says what was asked.

    Args:
        chosen: Rows of `scoring.examples`.
        out: Folder of the pictures; an old one is replaced.
        pixels: The longer side of a picture.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    names = []
    for number, case in enumerate(chosen.to_dict("records")):
        i, element = data.place[case["slice_id"]], NAMES.index(case["transform"])
        image, label = (act(element, torch.from_numpy(a)).numpy() for a in data.read(i))
        info = data.table.iloc[i]
        among = frozenset(int(o) for o in info["labelled"])
        answer = segmenter.segment(image[None], prompts.of([case["prompt_id"]]), pose_of(case), among=among)
        truth = mask_of(label, BY_NAME[case["organ"]].id)
        spacing = (info["spacing_y"], info["spacing_x"])
        spacing = spacing if element % 2 == 0 else spacing[::-1]
        drawn = picture(image, answer.masks[0, 0], spacing, pixels, (truth,), sides_shown(element), equals=True)
        names.append(f"{number:02d}-{case['group']}.png")
        save(drawn, out / names[-1])
    chosen.assign(picture=names).to_csv(out / "examples.csv", index=False)


def sides_shown(element: int) -> dict[str, str]:
    """The letters of the patient's sides, by the edge of a picture of which `element` is what turned it."""
    return {act_direction(element, edge): letter for edge, letter in SIDES.items()}


def montage(
    image: np.ndarray, mask: np.ndarray, spacing: tuple[float, float], pixels: int, sides: Mapping[str, str] = SIDES
) -> Image.Image:
    """`TILES` slices of a volume side by side, spread over the mask's extent, or over the volume if the mask is empty;
    each with its number, counted from the feet.

    Args:
        image, mask: HU and bool, `[Z, H, W]`.
        spacing: (y, x) in mm.
        pixels: The longer side of each slice's picture.
        sides: See `picture`.
    """
    filled = np.flatnonzero(mask.any((1, 2)))
    low, high = (filled[0], filled[-1]) if len(filled) else (0, len(mask) - 1)
    # The ends of an organ show little of it: the slices lie at the middles of equal parts.
    chosen = sorted({int(low + (high - low + 1) * (2 * i + 1) / (2 * TILES)) for i in range(TILES)}, reverse=True)
    tiles = [picture(image[z], mask[z], spacing, pixels, sides=sides, caption=f"{z + 1}/{len(mask)}") for z in chosen]
    width, height = tiles[0].size
    columns = min(3, len(tiles))
    # All tiles have one palette; in it the sheet takes a third of the space.
    sheet = Image.new("P", (columns * width, -(-len(tiles) // columns) * height))
    sheet.putpalette(tiles[0].getpalette() or [])
    for i, tile in enumerate(tiles):
        sheet.paste(tile, (i % columns * width, i // columns * height))
    return sheet
