"""What the robustness card does to a picture or a text: a function each, by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn import functional as F

from corpus.params import check_least, params_dataclass
from prompts.variants import misspell


@params_dataclass
class RobustnessParams:
    """`evaluate.robustness` of params.yaml. The first level of each list is the one that leaves things as they are."""

    slices: int
    """How many, evenly spread over the split."""
    paraphrases: int
    """Ways to ask for the same."""
    typos: tuple[int, ...]
    """Slips of the fingers in a text."""
    angle: tuple[float, ...]
    """Degrees, counter-clockwise."""
    noise: tuple[float, ...]
    """Standard deviation in HU."""
    shift: tuple[float, ...]
    """HU that are added everywhere."""
    resolution: tuple[float, ...]
    """How many times larger a pixel is."""

    def __post_init__(self) -> None:
        for name, same in (("typos", 0), ("angle", 0), ("noise", 0), ("shift", 0), ("resolution", 1)):
            if not (levels := getattr(self, name)) or levels[0] != same:
                raise ValueError(f"robustness.{name} must begin with {same}, what leaves things as they are")
            if name not in ("angle", "shift") and min(levels) < same:
                raise ValueError(f"robustness.{name} must be at least {same}, but found {min(levels)}")
        check_least(self, slices=1, paraphrases=2)


def noise(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """White noise, as a lower dose makes it."""
    return _hu(image + rng.normal(0.0, sigma, image.shape))


def shift(image: np.ndarray, hu: float, rng: np.random.Generator) -> np.ndarray:
    """Another calibration, or a window that is set too high or low."""
    return _hu(image + np.float64(hu))


def resolution(image: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    """Larger pixels, on the old grid: down (antialiased) and up again, both linear."""
    size = [max(1, round(side / factor)) for side in image.shape]
    x = torch.from_numpy(image)[None, None].float()
    low = F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)
    return _hu(F.interpolate(low, image.shape, mode="bilinear", align_corners=False)[0, 0].numpy())


def _hu(image: np.ndarray) -> np.ndarray:
    limits = np.iinfo(np.int16)
    return np.clip(np.rint(image), limits.min, limits.max).astype(np.int16)


PICTURES: dict[str, Callable[[np.ndarray, float, np.random.Generator], np.ndarray]] = {
    "noise": noise,
    "shift": shift,
    "resolution": resolution,
}
"""What is done to HU int16 `[H, W]` at a level; masks stay where they are. The names are `RobustnessParams`'s."""


def paragraph(cases: Sequence[str], request: str, rng: np.random.Generator) -> str:
    """A request behind three sentences of a case that ask for nothing."""
    told = " ".join(rng.choice(np.array(cases, dtype=object), size=3))
    return f"{told} {request[:1].upper()}{request[1:]}" + ("" if request.endswith((".", "?", "!")) else ".")


def with_typos(text: str, count: int, rng: np.random.Generator) -> str:
    """A text with a slip of the fingers in each of `count` words of four letters or more, if it has as many."""
    found = list(re.finditer(r"[A-Za-z]{4,}", text))
    chosen = sorted(rng.permutation(len(found))[:count].tolist(), reverse=True)
    for match in (found[i] for i in chosen):
        text = text[: match.start()] + _wrong(match.group(), rng) + text[match.end() :]
    return text


def _wrong(word: str, rng: np.random.Generator) -> str:
    """A slip that shows: swapping two letters that are the same doesn't."""
    slips = (misspell(word, rng) for _ in range(100))
    return next((slip for slip in slips if slip != word), word)
