"""Pictures for people: a mask's outline over the CT slice that it lies in.

The slice is shown as radiologists read it, in its display frame: the patient's right on the viewer's left. Nothing that
could name a patient is drawn or written into the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from corpus.anatomy import BY_NAME
from corpus.scans.store import SliceStore
from corpus.scans.windowing import window
from prompts.facts import mask_of
from prompts.targets import intent_of

LETTER = (6, 11)
"""Width and height of a letter in pixels; it grows in pictures of twice `LETTERED` pixels and more."""
LETTERED = 256
WHITE, RIVAL, ASKED = 253, 254, 255
"""A picture's palette: the CT in greys from 0 to WHITE, then the colours of the two outlines."""
COLOURS = ((60, 170, 255), (255, 230, 0))
"""Blue and yellow: people who take red for green tell them apart, and both stand out from grey."""
DASH = 4
"""Where two equal outlines run together each shows in dashes of so many pixels, so that neither hides the other."""
SIDES = {"leftmost": "R", "rightmost": "L"}
"""The patient's sides at the edges of the display frame."""
HUFFMAN_ONLY = 2
"""zlib's strategy without a search for matches: builds of zlib differ in that search, and so would the bytes."""


def representatives(targets: pd.DataFrame) -> pd.DataFrame:
    """For everything that can be asked for, the mask that shows it best: the one with the largest margin.

    Args:
        targets: What `prompts.targets.eligible` returned, of all sources.

    Returns:
        One row a target: the columns of `targets`, then picture (a file name); ties go to the first slice.
    """
    ordered = targets.sort_values(["kind", "target", "margin", "slice_id"], ascending=[True, True, False, True])
    best = ordered.drop_duplicates(["kind", "target"]).reset_index(drop=True)
    return best.assign(picture=(best["kind"] + "-" + best["target"]).str.replace(" ", "-") + ".png")


def outline(mask: np.ndarray) -> np.ndarray:
    """The pixels just outside a mask, so that the line hides nothing of what it encloses.

    Args:
        mask: bool `[H, W]`.

    Returns:
        bool `[H, W]`: pixels outside the mask that touch it with a side.
    """
    return ndimage.binary_dilation(mask) & ~mask


def _letters(text: str, scale: int) -> Image.Image:
    """A text as a mask, `LETTER` pixels a letter before it is enlarged, in Pillow's bitmap font: an outline font's
    pixels change with the FreeType that draws it."""
    shape = Image.new("1", (len(text) * LETTER[0], LETTER[1]))
    ImageDraw.Draw(shape).text((0, 0), text, fill=1, font=ImageFont.load_default_imagefont())
    return shape.resize((shape.width * scale, shape.height * scale), Image.Resampling.NEAREST)


def picture(
    image: np.ndarray,
    mask: np.ndarray,
    spacing: tuple[float, float],
    pixels: int,
    rivals: Sequence[np.ndarray] = (),
    sides: Mapping[str, str] = SIDES,
    equals: bool = False,
    caption: str = "",
) -> Image.Image:
    """Draw one mask's outline over its slice.

    Args:
        image: HU, `[H, W]`, display frame.
        mask: bool `[H, W]`.
        spacing: (y, x) in mm: anatomy keeps its proportions where pixels aren't square.
        pixels: The longer side of the picture.
        rivals: Masks that the mask is compared with, outlined in the other colour.
        sides: Letter of each edge that has one; another than `SIDES` where the slice is turned or mirrored.
        equals: Whether the rivals count as much as the mask: where outlines run together both show, in dashes.
        caption: Stands in the lower left corner.
    """
    extent = image.shape[0] * spacing[0], image.shape[1] * spacing[1]
    height, width = (max(1, round(side / max(extent) * pixels)) for side in extent)
    grey = np.floor(window(image) * np.float32(WHITE) + np.float32(0.5)).astype(np.uint8)
    drawn = Image.fromarray(grey).resize((width, height), Image.Resampling.BILINEAR)

    scale = max(1, pixels // LETTERED)
    across, down = (side * scale for side in LETTER)
    for edge, letter in sides.items():
        x = {"leftmost": 4, "rightmost": width - across - 4 * scale}.get(edge, width // 2 - across // 2)
        y = {"topmost": 2, "bottommost": height - down - 2 * scale}.get(edge, height // 2 - down // 2)
        drawn.paste(WHITE, (x, y), _letters(letter, scale))
    if caption:
        drawn.paste(WHITE, (4, height - down - 2 * scale), _letters(caption, scale))

    def line(each: np.ndarray) -> np.ndarray:
        return outline(np.array(Image.fromarray(each).resize((width, height), Image.Resampling.NEAREST)))

    canvas = np.array(drawn)
    asked, rival = line(mask), np.any([np.zeros((height, width), bool), *map(line, rivals)], axis=0)
    dashes = np.indices(rival.shape).sum(0) // DASH % 2 == 0
    canvas[rival] = RIVAL
    canvas[asked & ~(rival & dashes & equals)] = ASKED
    result = Image.fromarray(canvas).convert("P")
    result.putpalette(
        [level * 255 // WHITE for level in range(WHITE + 1) for _ in range(3)] + [c for rgb in COLOURS for c in rgb]
    )
    return result


def save(drawn: Image.Image, path: Path) -> None:
    """Write a PNG whose bytes are the same everywhere."""
    drawn.save(path, compress_level=9, compress_type=HUFFMAN_ONLY)


def draw_pictures(
    chosen: pd.DataFrame,
    candidates: Mapping[str, list[int]],
    stores: Mapping[str, SliceStore],
    directory: Path,
    pixels: int,
    advance: Callable[..., None] = lambda n=0, total=None: None,
) -> None:
    """Draw the picture of every row of `representatives`.

    Args:
        chosen: What `representatives` returned.
        candidates: Slice id -> ids of the organs that compete in it; outlined where the prompt compares.
        stores: Source -> its slices.
        directory: Where the PNG files go; it must exist.
        pixels: The longer side of a picture.
        advance: Called with the number of pictures done, and once with their `total`.
    """
    advance(0, total=len(chosen))
    for source, rows in chosen.groupby("source", sort=True):
        store = stores[str(source)]
        slices = store.table.set_index("slice_id")
        for row in rows.to_dict("records"):
            where = slices.loc[row["slice_id"]].to_dict()
            image, label = store.read(where["shard"], where["row"])
            asked = BY_NAME[row["organ"]].id
            compared = intent_of(row["kind"], row["target"]).kind != "anatomy"
            others = [i for i in candidates[row["slice_id"]] if i != asked] if compared else []
            spacing = where["spacing_y"], where["spacing_x"]
            drawn = picture(image, mask_of(label, asked), spacing, pixels, [mask_of(label, i) for i in others])
            save(drawn, directory / row["picture"])
            advance(1)
