"""The pictures that reviewers see: outlines that hide nothing, of the masks that show a target best."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from corpus.scans.store import SLICES, TABLE, ShardWriter, SliceStore
from prompts.facts import shapes, slice_facts
from prompts.pictures import ASKED, LETTER, RIVAL, WHITE, draw_pictures, outline, picture, representatives
from prompts.rules import Scene, slice_answers
from prompts.targets import TargetParams, eligible


@pytest.fixture
def label() -> np.ndarray:
    """The liver's square at the viewer's left, the spleen's smaller one at the right."""
    label = np.zeros((64, 64), np.uint8)
    label[20:40, 8:28] = 1
    label[24:36, 44:56] = 2
    return label


def test_the_outline_encloses_the_mask_and_hides_none_of_it() -> None:
    mask = np.zeros((6, 6), bool)
    mask[0:2, 2:4] = True
    line = outline(mask)
    assert not (line & mask).any()
    assert line.sum() == 6  # the picture's edge cuts the ring open


def test_a_picture_keeps_proportions_and_outlines_the_mask(label: np.ndarray) -> None:
    image = np.full((64, 64), 40, np.int16)
    drawn = picture(image, label == 1, (2.0, 1.0), 128, [label == 2])
    assert drawn.size == (64, 128)
    canvas = np.asarray(drawn)
    rows, cols = np.nonzero(canvas == ASKED)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (39, 80, 7, 28)
    assert np.nonzero(canvas == RIVAL)[1].min() == 43
    assert canvas[60, 18] == 127  # the window's level is mid-grey


@pytest.mark.parametrize(("pixels", "tall"), [(256, 1), (640, 2), (1024, 4)])
def test_letters_lie_at_the_patients_sides_and_grow_with_the_picture(pixels: int, tall: int) -> None:
    air = np.full((64, 64), -1000, np.int16)
    white = np.asarray(picture(air, np.zeros((64, 64), bool), (1.0, 1.0), pixels)) == WHITE
    rows, cols = np.nonzero(white)
    assert LETTER[1] * tall / 2 < np.ptp(rows) + 1 <= LETTER[1] * tall
    left, right = cols[cols < pixels / 2], cols[cols > pixels / 2]
    assert left.max() < pixels / 10
    assert right.min() > 0.9 * pixels


def test_equal_outlines_that_run_together_both_show(label: np.ndarray) -> None:
    image = np.zeros((64, 64), np.int16)
    equal, unequal = (
        np.asarray(picture(image, label == 1, (1.0, 1.0), 64, [label == 1], equals=equals)) for equals in (True, False)
    )
    line = outline(label == 1)
    asked, rival = (int((equal == colour).sum()) for colour in (ASKED, RIVAL))
    assert asked + rival == line.sum()
    assert min(asked, rival) > 0.4 * line.sum()
    assert (unequal[line] == ASKED).all(), "a rival never covers what was asked for"


def test_representatives_have_the_largest_margin_and_pictures_the_same_bytes(label: np.ndarray, tmp_path: Path) -> None:
    small = np.where(label == 1, np.pad(label, ((0, 0), (4, 0)))[:, :64], 0) + np.where(label == 2, label, 0)
    labels = np.stack([small.astype(np.uint8), label])
    images = np.random.default_rng(0).integers(-200, 300, labels.shape).astype(np.int16)
    writer = ShardWriter(tmp_path, 0)
    shard, _ = writer.append(images, labels)
    writer.close()
    keys = [{"slice_id": f"s/p/{z}", "source": "s", "patient": "p", "volume": "p"} for z in range(2)]
    rest = {"spacing_z": 5.0, "spacing_y": 1.0, "spacing_x": 1.0, "modality": "CT", "orientation": "RAS", "specks": 0}
    rest |= {"intensity": "HU", "mended": "", "specks_only": []}
    size = {"shard": shard, "height": 64, "width": 64, "labelled": [1, 2], "present": [1, 2]}
    SLICES.validate(pd.DataFrame([k | {"z": z, "row": z} | rest | size for z, k in enumerate(keys)])).to_parquet(
        tmp_path / TABLE
    )
    facts = pd.DataFrame(
        [k | f for k, part in zip(keys, labels, strict=True) for f in slice_facts(shapes(part), (1.0, 1.0), [1, 2])]
    )
    answers = pd.DataFrame(
        [
            {"slice_id": k["slice_id"]} | found
            for k, part in zip(keys, labels, strict=True)
            for found in slice_answers(Scene(part[None], (1.0, 1.0), [1, 2]))
        ]
    )
    params = TargetParams(position_margin_mm=5.0, size_ratio=1.25, min_area_mm2=10.0, absent=0)
    targets = eligible(facts, answers, params)
    best = representatives(targets).set_index("picture")
    assert best.loc["position-leftmost.png", ["slice_id", "organ"]].tolist() == ["s/p/1", "liver"]
    assert best.loc["anatomy-liver.png", "slice_id"] == "s/p/1"
    assert best.loc["anatomy-spleen.png", "slice_id"] == "s/p/0"  # equal areas: the first slice

    candidates = dict(zip(facts["slice_id"], facts["candidates"], strict=True))
    written = []
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        draw_pictures(best.reset_index(), candidates, {"s": SliceStore(tmp_path)}, tmp_path / run, 128)
        written.append({path.name: path.read_bytes() for path in sorted((tmp_path / run).iterdir())})
    assert written[0] == written[1]
    assert set(written[0]) == set(best.index)
    assert b"s/p/" not in b"".join(written[0].values())


def test_a_caption_stands_in_the_lower_left_corner_alone() -> None:
    image, nothing = np.full((60, 60), -160, np.int16), np.zeros((60, 60), bool)
    plain, told = (np.array(picture(image, nothing, (1, 1), 240, sides={}, caption=each)) for each in ("", "12/30"))
    rows, columns = np.nonzero(plain != told)
    assert rows.min() > 200
    assert columns.max() < 120
