"""Who a phantom patient is: the anatomy table (phantom.yaml), and what chance decides before anything is painted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from corpus.anatomy import ORGANS
from corpus.params import check_least, params_dataclass, read_yaml
from corpus.scans.shapes import Draw, Ellipsoid, Loops, Point, Ribbon, Tube

ANATOMY = Path(__file__).with_name("phantom.yaml")
MODALITIES = ("CT", "MR")
PHASES = ("native", "arterial", "portal")
FINE = tuple(organ for organ in ORGANS if not organ.parts)
"""The organs that a label map holds: all but the union."""
ORIENTATIONS = ("LPS", "RAS", "LAS", "LPS", "RAS", "LAS", "RPI", "LPI", "PSR", "SAL", "ILP")
TRAITS = ("sex", "habitus", "phase", "position", "orientation", "fate")
STRATA = 20  # every run of so many patients covers each trait evenly, so that a small cohort has some of everything
SHRUNKEN = 0.62  # size of an atrophic organ


@params_dataclass
class PhantomParams:
    """Section `phantom` of params.yaml."""

    patients: int = 32
    seed: int = 0
    size: int = 192
    """Rows and columns of a slice."""
    spacing_mm: float = 2.0
    """Pixel edge. size * spacing_mm is the field of view, and should be about 384."""
    slice_mm: float = 7.0
    modality: str = "CT"
    """CT, or MR: the same bodies with the grey values of a T1-weighted scan, in units of no meaning."""

    def __post_init__(self) -> None:
        if self.modality not in MODALITIES:
            raise ValueError(f"modality must be one of {', '.join(MODALITIES)}, but found {self.modality!r}")
        if not 1 <= self.patients <= 9999:
            raise ValueError(f"patients must be between 1 and 9999, but found {self.patients}")
        check_least(self, seed=0)
        if not 16 <= self.size <= 1024:
            raise ValueError(f"size must be between 16 and 1024, but found {self.size}")
        if not 0.4 <= self.spacing_mm <= 20:
            raise ValueError(f"spacing_mm must be between 0.4 and 20, but found {self.spacing_mm}")
        if not 0.4 <= self.slice_mm <= 40:
            raise ValueError(f"slice_mm must be between 0.4 and 40, but found {self.slice_mm}")


@params_dataclass
class Tissue:
    """HU by phase, the MR signal, and its texture; phantom.yaml explains every key of this class and of `Row`."""

    hu: tuple[float, float, float]
    mr: float
    vary: float = 0.06
    grain: float = 0.0
    specks: float = 0.0


@params_dataclass
class Row:
    """One row of the anatomy, painted as a whole."""

    name: str
    tissue: str
    shapes: tuple[Ellipsoid | Tube | Ribbon | Loops, ...] = ()
    region: str | None = None
    band: tuple[float, float] | None = None
    within: str | None = None
    above: tuple[float, float] | None = None
    every: tuple[float, float, float, float, float] | None = None
    rind: tuple[float, str] | None = None
    ragged: float = 0.0
    gas: tuple[float, float] = (-2.0, -2.0)
    pool: tuple[float, float] | None = None
    halo: float = 0.0
    keep: bool = False
    mirror: bool = False
    lumps: float = 0.0
    move: Point = (0.0, 0.0, 0.0)
    turn: Point = (0.0, 0.0, 0.0)
    wobble: float = 0.0
    size: float = 0.0
    anchor: Point | None = None
    follow: str | None = None
    missing: float = 0.0
    shrunken: float = 0.0
    sex: str | None = None


@params_dataclass
class Anatomy:
    """The whole of phantom.yaml."""

    outlines: dict[str, tuple[tuple[float, float, float, float], ...]]
    subcutaneous: dict[str, tuple[float, float]]
    domes: tuple[tuple[float, float, float, float, float, float], ...]
    extent: tuple[tuple[float, float], tuple[float, float]]
    table: dict[str, float]
    tissues: dict[str, Tissue]
    rows: tuple[Row, ...]


@cache
def anatomy() -> Anatomy:
    """The anatomy table, read once."""
    return TypeAdapter(Anatomy).validate_python(read_yaml(ANATOMY))


@dataclass(frozen=True)
class Facts:
    """One row of patients.csv."""

    case: str
    sex: str
    habitus: str
    phase: str
    position: str
    orientation: str
    missing_organs: str


@dataclass
class Body:
    """What chance decided about a patient before anything is painted; `rng` goes on from there."""

    facts: Facts
    rng: np.random.Generator
    scale: Point
    shift: tuple[float, float]
    extent: tuple[float, float]
    fat: float
    spread: float
    gravity: int
    noise_hu: float
    hu: dict[str, float]
    draws: dict[str, list[Draw]]


def case_name(index: int) -> str:
    """The name of patient `index` (0-based)."""
    return f"phantom_{index + 1:03d}"


def evenly(seed: int, index: int, trait: int) -> float:
    """A number in [0, 1) that covers the range evenly over every `STRATA` patients, apart from all other traits."""
    block, place = divmod(index, STRATA)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 2**31 + trait, block])))
    return float((rng.permutation(STRATA)[place] + rng.random(STRATA)[place]) / STRATA)


def draw_body(params: PhantomParams, index: int) -> Body:
    """Decide everything about patient `index` (0-based) that isn't drawn while painting."""
    table = anatomy()
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([params.seed, index])))
    share = {trait: evenly(params.seed, index, number) for number, trait in enumerate(TRAITS)}
    sex = "f" if share["sex"] < 0.3 else "m"
    fat = share["habitus"]
    spread = 0.45 * (fat - 0.3) + float(rng.uniform(-0.06, 0.06)) - (0.04 if sex == "f" else 0.0)
    phase = 0 if share["phase"] < 0.25 else 1 if share["phase"] < 0.5 else 2
    gravity = -1 if share["position"] < 0.12 else 1
    height = float(rng.uniform(0.94, 1.06)) - (0.03 if sex == "f" else 0.0)
    width = height * float(rng.uniform(0.97, 1.03))
    hu = {
        name: value + abs(value) * float(rng.uniform(-t.vary, t.vary))
        for name, t in table.tissues.items()
        for value in (t.mr if params.modality == "MR" else t.hu[phase],)
    }
    if rng.random() < 0.25:  # oral contrast
        hu["chyme"] = hu["contrast medium"]
    draws: dict[str, list[Draw]] = {}
    fate = share["fate"]  # at most one organ of a patient is missing or shrunken
    for row in table.rows:
        if row.sex in (None, sex):
            drawn = draw_row(
                row, rng, SHRUNKEN if row.missing <= fate < row.missing + row.shrunken else 1.0, spread, gravity
            )
            draws[row.name] = [] if 0 <= fate < row.missing else drawn
        fate -= row.missing + row.shrunken
    for row in table.rows:
        if row.follow and row.name in draws:
            draws[row.name] = [
                join(draw, leader) for draw, leader in zip(draws[row.name], draws[row.follow], strict=False)
            ]
    facts = Facts(
        case=case_name(index),
        sex=sex,
        habitus=("thin", "average", "overweight", "obese")[int(fat * 4)],
        phase=PHASES[phase],
        position="prone" if gravity < 0 else "supine",
        orientation=ORIENTATIONS[int(share["orientation"] * len(ORIENTATIONS))],
        missing_organs=";".join(organ.name for organ in FINE if not draws.get(organ.name)),
    )
    scale = (width, 0.53 * (width + height), height)
    shift = (float(rng.uniform(-6, 6)), 24 * fat + float(rng.uniform(-10, 6)))  # the fat lie deeper on the table
    low, high = (float(rng.uniform(*ends)) for ends in table.extent)
    return Body(facts, rng, scale, shift, (low, high), fat, spread, gravity, float(rng.uniform(7, 19)), hu, draws)


def draw_row(row: Row, rng: np.random.Generator, shrink: float, spread: float, gravity: int) -> list[Draw]:
    """The variation of one row, one draw a side."""

    def within(limits: Point) -> Point:
        x, y, z = (float(rng.uniform(-limit, limit)) for limit in limits)
        return x, y, z

    draws = []
    for side in (1, -1) if row.mirror else (1,):
        move, turn = within(row.move), within(row.turn)
        size = shrink * (1 + float(rng.uniform(-row.size, row.size)))
        scale = size if row.anchor else 1.0
        draws.append(Draw(rng, move, turn, size, scale, row.anchor, row.wobble, side, spread, row.gas, gravity))
    return draws


def join(draw: Draw, leader: Draw) -> Draw:
    """`draw` carried along by its leader's move, and by its scale and turn where the leader scales about an anchor."""
    size, turn = draw.size, draw.turn
    if leader.anchor:
        size *= leader.scale
        turn = tuple(a + b for a, b in zip(turn, leader.turn, strict=True))  # type: ignore[assignment]
    move = tuple(a + b for a, b in zip(draw.move, leader.move, strict=True))
    return replace(draw, move=move, turn=turn, size=size, scale=leader.scale, anchor=leader.anchor)  # type: ignore[arg-type]
