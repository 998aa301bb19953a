"""The slice store: what several tasks, and processes that outlive a stage, may do to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from corpus.errors import InputError
from corpus.scans.store import TABLE, ShardWriter, SliceStore

LABEL = np.zeros((3, 8, 8), np.uint8)


def images(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 1200, LABEL.shape).astype(np.int16)


def store(folder: Path) -> SliceStore:
    pd.DataFrame({"slice_id": []}).to_parquet(folder / TABLE)
    return SliceStore(folder)


def test_a_task_that_outlived_its_ingest_spoils_no_shard(tmp_path: Path) -> None:
    """On a cluster: the client was killed, its task writes on beside the one that was started in its place."""
    old, new = ShardWriter(tmp_path, 0), ShardWriter(tmp_path, 0)
    old.append(images(0), LABEL)
    shard, first = new.append(images(0), LABEL)
    old.append(images(1), LABEL)
    new.append(images(1), LABEL)
    new.close()
    expected = np.concatenate([images(0), images(1)])
    for _ in range(2):
        assert all(np.array_equal(store(tmp_path).read(shard, first + i)[0], expected[i]) for i in range(6))
        old.close()  # it gives its own files, which are whole, the same names
    assert sorted(path.name for path in tmp_path.glob("*b2nd*")) == ["000-8x8.image.b2nd", "000-8x8.label.b2nd"]


def test_a_shard_that_took_anothers_place_is_read_anew(tmp_path: Path) -> None:
    """A cluster's worker ran `measure` on the old store, and does on the new one."""
    for seed in (0, 1):
        writer = ShardWriter(tmp_path, 0)
        shard, first = writer.append(images(seed), LABEL)
        writer.close()
        assert np.array_equal(store(tmp_path).read(shard, first)[0], images(seed)[0])


def test_a_shard_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"hospital/000-8x8.image.b2nd: expected a shard of slices, found none"):
        SliceStore(tmp_path / "hospital").read("000-8x8", 0)


def test_slices_that_find_no_room_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        shape = (0, 8, 8)

        def resize(self, shape: tuple[int, ...]) -> None:
            raise RuntimeError("Could not resize the array")

    monkeypatch.setattr(ShardWriter, "_create", lambda *_: Full())
    with pytest.raises(InputError, match=r"000-8x8: slices can't be written: Could not .*\n.*free some disk space"):
        ShardWriter(tmp_path, 0).append(np.zeros((1, 8, 8), np.int16), np.zeros((1, 8, 8), np.uint8))
