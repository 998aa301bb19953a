"""From a data set's folder to the slice store: what goes in comes out, bad volumes are listed, bytes don't vary."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from corpus.anatomy import BY_NAME
from corpus.errors import InputError
from corpus.scans.adapters import open_source
from corpus.scans.ingest import IngestParams, SourceParams, ingest, remove_specks
from corpus.scans.orientation import to_display
from corpus.scans.store import SliceStore

REAL = Path(os.environ.get("FLANS_REAL_DATA", "../shared/real"))
LIVER, SPLEEN = BY_NAME["liver"].id, BY_NAME["spleen"].id
AFFINE = np.diag([1.5, 1.5, 4.0, 1.0])


def write_case(
    root: Path, case: str, seed: int, shape: tuple[int, int, int] = (20, 24, 6)
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    image = rng.integers(-1000, 1200, shape).astype(np.int16)
    label = np.zeros(shape, np.uint8)
    label[4:12, 5:13, 1:5], label[14:18, 15:20, 2:4], label[0:3, 0:3, 3] = 1, 2, 3
    for folder, name, array in (("imagesTr", f"{case}_0000", image), ("labelsTr", case, label)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(array, AFFINE), root / folder / f"{name}.nii.gz")
    return image, label


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "raw"
    for i in range(5):
        write_case(root, f"case_{i}", i)
    labels = {"background": 0, "liver": 1, "spleen": 2, "tumour": 3}
    spec = {"labels": labels, "file_ending": ".nii.gz", "channel_names": {"0": "CT"}, "numTraining": 5}
    (root / "dataset.json").write_text(json.dumps(spec))
    return root


def params(root: Path, **changes: float) -> IngestParams:
    values = {"shards": 3, "speck_mm2": 0.0, "negatives": 0.0} | changes
    return IngestParams(sources={"mine": SourceParams(adapter="nnunet", root=root)}, **values)  # type: ignore[arg-type]


def test_what_goes_in_comes_out(root: Path, tmp_path: Path) -> None:
    summary = ingest("mine", params(root), tmp_path / "out")
    store = SliceStore(tmp_path / "out")
    table = store.table
    assert summary["volumes"] == table["volume"].nunique() == 5
    assert summary["dropped_labels"] == ["tumour"]
    assert table["patient"].map(lambda p: p.startswith("mine/")).all()
    assert (table.groupby("patient")["shard"].nunique() == 1).all()
    for volume, rows in table.groupby("volume"):
        image, label = write_case(tmp_path / "again", str(volume), int(str(volume)[-1]))
        display, _ = to_display(image, AFFINE)
        organs, _ = to_display(np.where(label == 1, LIVER, np.where(label == 2, SPLEEN, 0)).astype(np.uint8), AFFINE)
        assert rows["z"].tolist() == [1, 2, 3, 4], "slices without a labelled organ are left out at negatives = 0"
        for row in rows.to_dict("records"):
            read = store.read(row["shard"], row["row"])
            assert np.array_equal(read[0], display[row["z"]])
            assert np.array_equal(read[1], organs[row["z"]])
            assert list(row["labelled"]) == [LIVER, SPLEEN]
            assert list(row["present"]) == ([LIVER, SPLEEN] if row["z"] in (2, 3) else [LIVER])
            assert (row["spacing_z"], row["spacing_y"], row["spacing_x"]) == (4.0, 1.5, 1.5)


def digest(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def test_any_number_of_workers_gives_the_same_bytes(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for workers in (1, 2):
        monkeypatch.setenv("FLANS_WORKERS", str(workers))
        ingest("mine", params(root), tmp_path / f"out{workers}")
    assert digest(tmp_path / "out1") == digest(tmp_path / "out2")


def test_negatives_are_kept_in_the_chosen_proportion(root: Path, tmp_path: Path) -> None:
    ingest("mine", params(root, negatives=1.0), tmp_path / "out")
    table = SliceStore(tmp_path / "out").table
    assert len(table) == 5 * 6
    assert (table["present"].map(len) == 0).sum() == 5 * 2


def test_bad_volumes_are_listed_with_their_reason(root: Path, tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((9, 9, 9), np.uint8), AFFINE), root / "labelsTr/case_0.nii.gz")
    nib.save(nib.Nifti1Image(np.full((20, 24, 6), np.nan, np.float32), AFFINE), root / "imagesTr/case_1_0000.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros((20, 24, 6), np.uint8), AFFINE), root / "labelsTr/case_2.nii.gz")
    nib.save(nib.Nifti1Image(np.full((20, 24, 6), 7, np.int16), AFFINE), root / "imagesTr/case_3_0000.nii.gz")
    summary = ingest("mine", params(root), tmp_path / "out")
    reasons = pd.read_csv(tmp_path / "out/rejects.csv").set_index("volume")["reason"]
    assert summary["rejected_volumes"] == 4
    assert "shape (9, 9, 9) differs" in reasons["case_0"]
    assert "NaN" in reasons["case_1"]
    assert "no organ of the vocabulary" in reasons["case_2"]
    assert "expected HU with air and tissue, found values from 7 to 7" in reasons["case_3"]
    assert SliceStore(tmp_path / "out").table["volume"].unique().tolist() == ["case_4"]


def test_no_usable_volume_is_an_error(root: Path, tmp_path: Path) -> None:
    for label in (root / "labelsTr").iterdir():
        label.write_bytes(b"torn")
    with pytest.raises(InputError, match="none of 5 volumes could be used"):
        ingest("mine", params(root), tmp_path / "out")


def test_specks_are_dropped_and_counted() -> None:
    label = np.zeros((20, 20), np.uint8)
    label[2:8, 2:8], label[12, 12], label[15:17, 3] = LIVER, LIVER, SPLEEN
    clean, dropped = remove_specks(label, (2.0, 1.0), minimum_mm2=5.0)
    assert dropped == 2
    assert np.unique(clean).tolist() == [0, LIVER]
    assert (clean == LIVER).sum() == 36
    assert remove_specks(label, (2.0, 1.0), minimum_mm2=0.0)[1] == 0


def test_dataset_json_must_be_nnunets(root: Path) -> None:
    (root / "dataset.json").write_text('{"labels": {"liver": 1}}')
    with pytest.raises(InputError, match="file_ending and channel_names"):
        open_source("nnunet", root)


@pytest.mark.skipif(not (REAL / "btcv").is_dir(), reason=f"real BTCV scans are not at {REAL}/btcv")
def test_real_btcv_scans_lie_as_radiologists_read_them(tmp_path: Path) -> None:
    source = {"btcv": SourceParams(adapter="btcv", root=REAL / "btcv")}
    summary = ingest("btcv", IngestParams(sources=source, shards=4, speck_mm2=20.0, negatives=0.0), tmp_path)
    assert (summary["volumes"], summary["rejected_volumes"]) == (15, 0)
    store = SliceStore(tmp_path)
    columns: dict[str, list[float]] = {"liver": [], "spleen": []}
    for row in store.table.to_dict("records"):
        label = store.label(row["shard"], row["row"])
        for name, found in columns.items():
            if (label == BY_NAME[name].id).any():
                found.append(np.nonzero(label == BY_NAME[name].id)[1].mean() / row["width"])
    assert max(columns["liver"]) < 0.5 < min(columns["spleen"]), "the liver lies on the viewer's left"
