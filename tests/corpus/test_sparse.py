"""Labels that leave slices out are refused, in whatever layout they come: those between would be taught as without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from corpus.errors import InputError
from corpus.scans.ingest import ingest
from corpus.scans.ingest_params import IngestParams, SourceParams
from corpus.scans.sparse import slices_apart
from corpus.scans.store import SliceStore
from tests.corpus.dicom_files import write_seg, write_series
from tests.corpus.miniature import save
from tests.corpus.test_nnunet import write_dataset

SHAPE = (12, 10, 24)
IMAGE = np.random.default_rng(0).integers(-1000, 1200, SHAPE).astype(np.int16)


def label_map(slices: list[int], specks: tuple[int, ...] = ()) -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    label[2:6, 3:7, slices] = 1
    label[9, 9, list(specks)] = 1
    return label


def as_nnunet(root: Path, label: np.ndarray) -> None:
    save(root / "imagesTr/a_0000.nii.gz", IMAGE)
    save(root / "labelsTr/a.nii.gz", label)
    write_dataset(root)


def as_structures(root: Path, label: np.ndarray) -> None:
    save(root / "a/ct.nii.gz", IMAGE)
    save(root / "a/segmentations/liver.nii.gz", label)


def as_seg(root: Path, label: np.ndarray) -> None:
    files = write_series(root / "ct", np.ascontiguousarray(IMAGE.T), spacing=(1.5, 1.5))
    write_seg(root / "a.dcm", files, {"Liver": label.T > 0})


LAYOUTS: dict[str, Callable[[Path, np.ndarray], None]] = {
    "nnunet": as_nnunet,
    "totalsegmentator": as_structures,
    "dicom": as_seg,
}


def run(adapter: str, root: Path, **changes: float) -> tuple[list[int], str]:
    """The slices that show the organ, and the rejects table."""
    values = {"shards": 1, "speck_mm2": 20.0, "negatives": 0.0} | changes
    params = IngestParams(sources={"s": SourceParams(adapter=adapter, root=root)}, **values)  # type: ignore[arg-type]
    out = root.parent / "out"
    ingest("s", params, out, root.parent / "unfinished")
    return SliceStore(out).table["z"].tolist(), (out / "rejects.csv").read_text()


@pytest.mark.parametrize("adapter", LAYOUTS)
def test_every_fourth_slice_is_refused(adapter: str, tmp_path: Path) -> None:
    LAYOUTS[adapter](tmp_path / "raw", label_map([4, 8, 12, 16]))
    with pytest.raises(InputError, match=r"liver is drawn on slices 4 apart: draw it on the slices between too"):
        run(adapter, tmp_path / "raw")


@pytest.mark.parametrize("slices", [[4, 8, 12], [3, 4, 5, 6, 9, 12], [4, 5, 7, 8, 11, 12], [7]])
def test_a_small_structure_may_have_gaps(slices: list[int], tmp_path: Path) -> None:
    as_nnunet(tmp_path / "raw", label_map(slices))
    shown, rejects = run("nnunet", tmp_path / "raw")
    assert shown == slices
    assert rejects.count("\n") == 1


def test_specks_do_not_count(tmp_path: Path) -> None:
    as_nnunet(tmp_path / "raw", label_map([10, 11], specks=(1, 4, 7, 14, 17, 20)))
    assert run("nnunet", tmp_path / "raw")[0] == [10, 11]


def test_the_usual_step_decides() -> None:
    assert slices_apart(np.array([0, 2, 4, 6])) == 2
    assert slices_apart(np.array([0.0, 1.5, 3.0, 4.5])) is None
    assert slices_apart(np.array([0, 1, 5, 9, 13])) == 4
    assert slices_apart(np.array([0, 9, 18])) is None
    assert slices_apart(np.array([])) is None
