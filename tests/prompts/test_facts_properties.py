"""Every fact of every mask, a slice and a volume, against brute force; margins in mm, whatever the pixels' shape."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from corpus.anatomy import BY_ID, BY_NAME
from corpus.scans.store import SLICES, TABLE, ShardWriter, SliceStore
from prompts.facts import FACTS, POSITION_MARGINS, SIZE_MARGINS, mask_of, shapes, slice_facts, volume_facts
from prompts.measure import measure
from tests.prompts.brute_force import DIRECTIONS, agrees, competitors, masks, position_margin, size_margin

NAMES = {i: organ.name for i, organ in BY_ID.items()}
SOURCES = [
    {"liver", "spleen", "left kidney", "right kidney", "aorta", "lung"},  # labels the parts
    {"liver", "spleen", "kidney", "aorta"},  # labels the union only
    {"liver", "kidney", "left kidney", "right kidney"},  # labels both, each pixel once
    {"liver", "kidney", "left kidney"},  # one part, and a union that holds the rest
    {"liver"},
]
KEYS = {"source": "s", "patient": "s/p", "volume": "v"}
lengths = st.integers(50, 5000).map(lambda n: n / 1000) | st.sampled_from([0.7, 0.8, 1.0, 2.5, 10 / 3])


@st.composite
def scans(draw: st.DrawFn) -> tuple[np.ndarray, tuple[float, float, float], set[str]]:
    """Slices `[Z, H, W]` of random blocks and pixels, spacing (z, y, x) in mm, and what the source labels."""
    labelled = draw(st.sampled_from(SOURCES))
    ids = sorted(BY_NAME[name].id for name in labelled)
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 8), st.integers(1, 9)))
    label = draw(arrays(np.uint8, shape, elements=st.sampled_from([0, 0, 0, *ids]), fill=st.just(np.uint8(0))))
    for _ in range(draw(st.integers(0, 4))):
        (z0, z1), (r0, r1), (c0, c1) = (sorted(draw(st.tuples(*[st.integers(0, n)] * 2))) for n in shape)
        label[z0:z1, r0:r1, c0:c1] = draw(st.sampled_from(ids))
    return label, draw(st.tuples(lengths, lengths, lengths)), labelled


def rows_of(label: np.ndarray, spacing: tuple[float, float, float], labelled: set[str]) -> list[dict]:
    ids = {BY_NAME[name].id for name in labelled}
    return [
        {"slice_id": f"s/v/{z}", **KEYS, **fact}
        for z, picture in enumerate(label)
        for fact in slice_facts(shapes(picture), spacing[1:], ids)
    ]


@settings(max_examples=200, deadline=None)
@given(scans())
def test_every_fact_of_a_slice(scan: tuple[np.ndarray, tuple[float, float, float], set[str]]) -> None:
    label, spacing, labelled = scan
    exact_spacing = (Fraction(spacing[1]), Fraction(spacing[2]))
    for picture in label:
        expected = masks(picture, NAMES, labelled)
        facts = slice_facts(shapes(picture), spacing[1:], {BY_NAME[name].id for name in labelled})
        assert [f["organ"] for f in facts] == sorted(expected, key=lambda name: BY_NAME[name].id)
        rivals = {name: expected[name] for name in competitors(set(expected), labelled)}
        sizes = {name: len(mask.points) for name, mask in rivals.items()}
        for fact in facts:
            name = fact["organ"]
            mask = expected[name]
            assert fact["pixels"] == len(mask.points) == mask_of(picture, BY_NAME[name].id).sum()
            assert agrees(fact["area_mm2"], len(mask.points) * exact_spacing[0] * exact_spacing[1])
            assert (fact["row0"], fact["row1"]) == (-mask.edge(0, -1), mask.edge(0, 1))
            assert (fact["col0"], fact["col1"]) == (-mask.edge(1, -1), mask.edge(1, 1))
            assert agrees(fact["centroid_row"], mask.centre(0))
            assert agrees(fact["centroid_col"], mask.centre(1))
            assert {NAMES[o] for o in fact["candidates"]} == set(rivals)
            assert fact["candidates"] == sorted(fact["candidates"])
            for attribute, column in (POSITION_MARGINS | SIZE_MARGINS).items():
                if name not in rivals or len(rivals) < 2:
                    assert math.isnan(fact[column])
                elif attribute in DIRECTIONS:
                    assert agrees(fact[column], position_margin(name, rivals, attribute, exact_spacing))
                else:
                    assert agrees(fact[column], size_margin(name, sizes, attribute))


def check_volume(volumes: pd.DataFrame, label: np.ndarray, spacing: tuple[float, ...], labelled: set[str]) -> None:
    """One volume's facts against its pixels."""
    z, y, x = map(Fraction, spacing)
    by_slice = [masks(picture, NAMES, labelled) for picture in label]
    voxels: dict[str, int] = {}
    for found in by_slice:
        for name, mask in found.items():
            voxels[name] = voxels.get(name, 0) + len(mask.points)
    assert volumes["organ"].tolist() == sorted(voxels)
    sizes = {name: voxels[name] for name in competitors(set(voxels), labelled)}
    for fact in volumes.to_dict("records"):
        name = fact["organ"]
        assert fact["slices"] == sum(name in found for found in by_slice)
        assert agrees(fact["volume_mm3"], voxels[name] * z * y * x)
        for attribute, column in SIZE_MARGINS.items():
            if name not in sizes or len(sizes) < 2:
                assert math.isnan(fact[column])
            else:
                assert agrees(fact[column], size_margin(name, sizes, attribute))


@settings(max_examples=40, deadline=None)
@given(scans().filter(lambda scan: bool(scan[0].any())))
def test_every_fact_of_a_volume(scan: tuple[np.ndarray, tuple[float, float, float], set[str]]) -> None:
    label, spacing, labelled = scan
    facts = FACTS.validate(pd.DataFrame(rows_of(label, spacing, labelled)))
    check_volume(volume_facts(facts, {"v": math.prod(spacing)}), label, spacing, labelled)


def test_measure_reads_the_store_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two volumes of different spacing and size in one store: each slice is measured in its own mm."""
    monkeypatch.setenv("FLANS_WORKERS", "1")
    rng = np.random.default_rng(3)
    labelled = SOURCES[0]
    ids = sorted(BY_NAME[name].id for name in labelled)
    volumes = {"a": ((4, 12, 9), (5.0, 0.7, 1.3)), "b": ((3, 8, 8), (1.25, 2.0, 0.8))}
    labels = {name: rng.choice([0, 0, *ids], shape).astype(np.uint8) for name, (shape, _) in volumes.items()}
    labels["b"][labels["b"] == BY_NAME["right kidney"].id] = 0  # one kidney is missing: the union still doesn't compete
    writer, rows = ShardWriter(tmp_path, 0), []
    for name, (shape, (z, y, x)) in volumes.items():
        shard, first = writer.append(np.zeros(shape, np.int16), labels[name])
        for i in range(shape[0]):
            where = {"slice_id": f"s/{name}/{i}", "source": "s", "patient": f"s/{name}", "volume": name, "z": i}
            where |= {"shard": shard, "row": first + i, "height": shape[1], "width": shape[2]}
            where |= {"spacing_z": z, "spacing_y": y, "spacing_x": x, "modality": "CT", "orientation": "LPS"}
            where |= {"intensity": "HU", "mended": ""}
            where |= {"labelled": ids, "specks": 0, "specks_only": []}
            rows.append(where | {"present": np.unique(labels[name][i])[1:].tolist()})
    writer.close()
    SLICES.validate(pd.DataFrame(rows)).to_parquet(tmp_path / TABLE)
    measured = measure(SliceStore(tmp_path))
    facts, by_volume = measured.facts, measured.volumes
    for name, (_, spacing) in volumes.items():
        expected = pd.DataFrame(rows_of(labels[name], spacing, labelled))
        found = facts[facts["volume"] == name]
        pairs = zip(
            found.to_dict("records"), expected.sort_values(["slice_id", "organ"]).to_dict("records"), strict=True
        )
        for stored, direct in pairs:
            assert stored["organ"] == direct["organ"]
            assert stored["area_mm2"] == direct["area_mm2"]
            assert stored["leftmost_mm"] == pytest.approx(direct["leftmost_mm"], nan_ok=True, abs=0)
            assert stored["topmost_mm"] == pytest.approx(direct["topmost_mm"], nan_ok=True, abs=0)
        check_volume(by_volume[by_volume["volume"] == name], labels[name], spacing, labelled)
