"""From a data set's folder to the slice store: what goes in comes out, bad volumes are listed, bytes don't vary."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import blosc2
import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from corpus.anatomy import BY_NAME
from corpus.errors import InputError
from corpus.scans import ingest as ingesting
from corpus.scans.adapters import open_source
from corpus.scans.ingest import ingest, remove_specks
from corpus.scans.ingest_params import IngestParams, SourceParams
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


def run(parameters: IngestParams, out: Path, name: str = "mine") -> dict:
    return ingest(name, parameters, out, out.with_name(f"{out.name}_unfinished"))


def test_what_goes_in_comes_out(root: Path, tmp_path: Path) -> None:
    summary = run(params(root), tmp_path / "out")
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
            assert (row["modality"], row["orientation"], row["mended"]) == ("CT", "RAS", "")
            assert list(row["present"]) == ([LIVER, SPLEEN] if row["z"] in (2, 3) else [LIVER])
            assert (row["spacing_z"], row["spacing_y"], row["spacing_x"]) == (4.0, 1.5, 1.5)


def digest(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def test_any_number_of_workers_gives_the_same_bytes(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for workers in (1, 2):
        monkeypatch.setenv("FLANS_WORKERS", str(workers))
        run(params(root), tmp_path / f"out{workers}")
    assert digest(tmp_path / "out1") == digest(tmp_path / "out2")


def test_a_cpu_of_any_number_of_cores_gives_the_same_bytes(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLANS_WORKERS", "1")
    for cores in (2, 16):
        monkeypatch.setattr(blosc2, "nthreads", cores)  # what Blosc2 takes from the CPU where nothing is said
        run(params(root), tmp_path / f"out{cores}")
    assert digest(tmp_path / "out2") == digest(tmp_path / "out16")


def test_a_chunk_is_a_block_is_a_slice(root: Path, tmp_path: Path) -> None:
    run(params(root), tmp_path / "out")
    filters = {"image": blosc2.Filter.SHUFFLE, "label": blosc2.Filter.NOFILTER}
    paths = sorted((tmp_path / "out").glob("*.b2nd"))
    assert len(paths) >= 2
    for path in paths:
        array = blosc2.open(str(path), mode="r")
        assert array.chunks == array.blocks == (1, *array.shape[1:])
        assert array.schunk.cparams.filters[0] == filters[path.name.split(".")[1]]
        assert array.schunk.cparams.codec == blosc2.Codec.LZ4HC


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="this system doesn't list a process's threads")
def test_open_shards_keep_no_threads(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(params(root), tmp_path / "out")
    store = SliceStore(tmp_path / "out")
    shards = store.table["shard"].unique()
    monkeypatch.setattr(blosc2, "nthreads", 4)
    before = len(list(Path("/proc/self/task").iterdir()))
    for shard in shards:
        store.read(shard, 0)
    assert len(list(Path("/proc/self/task").iterdir())) == before


@pytest.fixture
def killed(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[int]]:
    """An ingest into "out" that was killed when it began its second shard; the fixture says which shards are made
    from then on."""
    begun: list[int] = []
    write_shard = ingesting._write_shard

    def write(task: ingesting._Task) -> None:
        begun.append(task.number)
        if len(begun) == 2:
            raise KeyboardInterrupt
        write_shard(task)

    monkeypatch.setenv("FLANS_WORKERS", "1")
    monkeypatch.setattr(ingesting, "_write_shard", write)
    with pytest.raises(KeyboardInterrupt):
        run(params(root), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    return lambda: begun[1:]


def test_a_killed_ingest_goes_on_to_the_same_bytes(killed: Callable[[], list[int]], root: Path, tmp_path: Path) -> None:
    stopped_at = killed()[0]
    seen: list[tuple[int, int | None]] = []
    resumed = ingest(
        "mine",
        params(root),
        tmp_path / "out",
        tmp_path / "out_unfinished",
        lambda n=0, total=None: seen.append((n, total)),
    )
    assert killed()[1] == stopped_at
    assert stopped_at == min(killed()), "the first shard is not made again"
    assert seen[0][0] > 0, "progress begins with the volumes that were done"
    assert sum(n for n, _ in seen) == seen[0][1] == 5
    assert resumed == run(params(root), tmp_path / "whole")
    assert digest(tmp_path / "out") == digest(tmp_path / "whole")
    assert list((tmp_path / "out_unfinished").iterdir()) == []


@pytest.mark.parametrize("change", ["parameters", "a file", "the label map"])
def test_unfinished_work_is_dropped_where_what_it_depends_on_changes(
    killed: Callable[[], list[int]], change: str, root: Path, tmp_path: Path
) -> None:
    before = len(killed())
    changed = params(root, speck_mm2=60.0) if change == "parameters" else params(root)
    if change == "a file":
        for case in range(5):
            write_case(root, f"case_{case}", 10 + case)
    if change == "the label map":
        spec = json.loads((root / "dataset.json").read_text())
        spec["labels"] |= {"liver": 2, "spleen": 1}
        (root / "dataset.json").write_text(json.dumps(spec))
    run(changed, tmp_path / "out")
    assert killed()[before:] == [0, 1, 2], "every shard is made again"
    run(changed, tmp_path / "whole")
    assert digest(tmp_path / "out") == digest(tmp_path / "whole")


def test_a_lost_shard_is_made_again(killed: Callable[[], list[int]], root: Path, tmp_path: Path) -> None:
    shard = next((tmp_path / "out_unfinished").rglob("*.label.b2nd"))
    shard.unlink()
    run(params(root), tmp_path / "out")
    assert int(shard.name[:3]) in killed()
    assert shard.name in digest(tmp_path / "out")


def test_scans_of_one_patient_share_a_shard(root: Path, tmp_path: Path) -> None:
    spec = json.loads((root / "dataset.json").read_text())
    spec["patients"] = {f"case_{i}": "anna" for i in range(4)}
    (root / "dataset.json").write_text(json.dumps(spec))
    run(params(root), tmp_path / "out")
    table = SliceStore(tmp_path / "out").table
    assert table.groupby("patient")["volume"].nunique().to_dict() == {"mine/anna": 4, "mine/case_4": 1}
    assert (table.groupby("patient")["shard"].nunique() == 1).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"patients": {"case_0.nii.gz": "anna"}}, "expected `patients` to name volumes, such as 'case_0'"),
        ({"labels": {"background": 0, "liver": 1, "spleen": 1}}, "expected a value of its own for each label"),
        ({"labels": {"background": 0, "liver": 1, "unknown": -1}}, "expected label values above the background's 0"),
        ({"labels": {"liver": 0, "spleen": 1}}, "expected label values above the background's 0"),
        ({"labels": {"0": "background", "1": "liver"}}, "expected name: value, as nnU-Net 2 has them"),
        ({"labels": {"background": 0, "liver": 1, "whole": [1, 2]}}, "expected a value for each, found regions: whole"),
        ({"patients": ["anna"]}, "`patients`: Input should be a valid dictionary"),
    ],
)
def test_a_slip_in_dataset_json_is_named(root: Path, change: dict, says: str) -> None:
    spec = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps(spec | change))
    with pytest.raises(InputError, match=says):
        open_source("nnunet", root)


def test_the_patients_of_test_images_may_be_told(root: Path) -> None:
    (root / "imagesTs").mkdir()
    (root / "imagesTs/case_9_0000.nii.gz").touch()
    spec = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps(spec | {"patients": {"case_0": "anna", "case_9": "anna"}}))
    assert len(open_source("nnunet", root).cases) == 5


def test_a_dask_cluster_gives_the_same_bytes(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster

    monkeypatch.setenv("FLANS_WORKERS", "1")
    ingest("mine", params(root), tmp_path / "alone", tmp_path / "unfinished")
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, processes=True) as cluster:
        monkeypatch.setenv("FLANS_DASK_SCHEDULER", cluster.scheduler_address)
        ingest("mine", params(root), tmp_path / "cluster", tmp_path / "unfinished")
    assert digest(tmp_path / "alone") == digest(tmp_path / "cluster")


def test_negatives_are_kept_in_the_chosen_proportion(root: Path, tmp_path: Path) -> None:
    run(params(root, negatives=1.0), tmp_path / "out")
    table = SliceStore(tmp_path / "out").table
    assert len(table) == 5 * 6
    assert (table["present"].map(len) == 0).sum() == 5 * 2


def test_bad_volumes_are_listed_with_their_reason(root: Path, tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((9, 9, 9), np.uint8), AFFINE), root / "labelsTr/case_0.nii.gz")
    nib.save(nib.Nifti1Image(np.full((20, 24, 6), np.nan, np.float32), AFFINE), root / "imagesTr/case_1_0000.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros((20, 24, 6), np.uint8), AFFINE), root / "labelsTr/case_2.nii.gz")
    nib.save(nib.Nifti1Image(np.full((20, 24, 6), 7, np.int16), AFFINE), root / "imagesTr/case_3_0000.nii.gz")
    summary = run(params(root), tmp_path / "out")
    reasons = pd.read_csv(tmp_path / "out/rejects.csv").set_index("volume")["reason"]
    assert summary["rejected_volumes"] == 4
    assert "shape (9, 9, 9) differs" in reasons["case_0"]
    assert "NaN" in reasons["case_1"]
    assert "no organ of the vocabulary" in reasons["case_2"]
    assert "expected HU with air and tissue, found values from 7 to 7" in reasons["case_3"]
    assert SliceStore(tmp_path / "out").table["volume"].unique().tolist() == ["case_4"]


def test_of_two_volumes_of_one_name_the_second_is_listed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a/b.dcm and a-b.dcm of a folder tree."""
    source = open_source("nnunet", root)
    twin = replace(source.cases[0], patient="somebody else", label=root / "twin.nii.gz")
    monkeypatch.setattr(ingesting, "open_source", lambda *_: replace(source, cases=[*source.cases, twin]))
    assert run(params(root), tmp_path / "out")["rejected_volumes"] == 1
    rejects = pd.read_csv(tmp_path / "out/rejects.csv")
    assert (
        rejects["reason"].item()
        == f"{twin.label}: its volume would be called case_0, as that of {source.cases[0].label}; rename one"
    )
    assert set(SliceStore(tmp_path / "out").table["volume"]) == {f"case_{i}" for i in range(5)}


def test_no_volume_stops_the_others_or_is_lost(root: Path, tmp_path: Path) -> None:
    """A link to nowhere, a header with an unknown unit, a label map without its image, and what nobody foresaw."""
    (root / "imagesTr/case_0_0000.nii.gz").unlink()
    (root / "imagesTr/case_0_0000.nii.gz").symlink_to("/nowhere/annex/object")
    (root / "imagesTr/case_1_0000.nii.gz").rename(root / "imagesTr/case_1.nii.gz")
    odd = root / "imagesTr/case_2_0000.nii.gz"
    content = bytearray(gzip.decompress(odd.read_bytes()))
    content[123] = 7  # xyzt_units
    odd.write_bytes(gzip.compress(bytes(content)))
    unfinished = tmp_path / "out_unfinished"
    unfinished.mkdir()
    (unfinished / ".DS_Store").touch()
    summary = run(params(root), tmp_path / "out")
    reasons = pd.read_csv(tmp_path / "out/rejects.csv").set_index("volume")["reason"]
    assert set(reasons.index) == {"case_0", "case_1"}
    assert "case_0_0000.nii.gz" in reasons["case_0"]
    assert "case_1.nii.gz: expected the image case_1_0000.nii.gz" in reasons["case_1"]
    assert summary["rejected_volumes"] == 2
    mended = SliceStore(tmp_path / "out").table.drop_duplicates("volume").set_index("volume")["mended"]
    assert mended["case_2"] == "unit of length unknown, taken as mm"


def test_no_usable_volume_is_an_error(root: Path, tmp_path: Path) -> None:
    for label in (root / "labelsTr").iterdir():
        label.write_bytes(b"torn")
    with pytest.raises(InputError, match="none of 5 volumes could be used"):
        run(params(root), tmp_path / "out")


def test_specks_are_dropped_and_counted() -> None:
    label = np.zeros((20, 20), np.uint8)
    label[2:8, 2:8], label[12, 12], label[15:17, 3] = LIVER, LIVER, SPLEEN
    clean, dropped = remove_specks(label, (2.0, 1.0), minimum_mm2=5.0)
    assert dropped == 2
    assert np.unique(clean).tolist() == [0, LIVER]
    assert (clean == LIVER).sum() == 36
    assert remove_specks(label, (2.0, 1.0), minimum_mm2=0.0)[1] == 0


def test_an_organ_of_which_only_specks_were_there_is_neither_shown_nor_lacked(root: Path, tmp_path: Path) -> None:
    run(params(root, speck_mm2=60.0), tmp_path / "out")  # the spleen's mask has 45 mm2
    table = SliceStore(tmp_path / "out").table
    assert all(list(present) == [LIVER] for present in table["present"])
    specks = table["specks_only"].map(list)
    assert (specks.map(bool) == table["z"].isin([2, 3])).all()
    assert specks[table["z"] == 2].tolist() == [[SPLEEN]] * 5


@pytest.mark.parametrize("axis", [2, 1])
def test_slices_with_nnunets_ignore_label_are_left_out(root: Path, tmp_path: Path, axis: int) -> None:
    """What nobody annotated is unknown: as background it would say that the liver isn't there."""
    spec = json.loads((root / "dataset.json").read_text())
    spec["labels"]["ignore"] = 4
    (root / "dataset.json").write_text(json.dumps(spec))
    ignored = {"case_1": [2], "case_2": [0, 5], "case_3": range(6)}
    for case, slices in ignored.items():
        image, label = write_case(root, case, 7)
        label[0, 20, list(slices)] = 4
        affine = AFFINE if axis == 2 else AFFINE[:, [0, 2, 1, 3]]  # slices along another axis of the file
        for path, array in ((f"imagesTr/{case}_0000.nii.gz", image), (f"labelsTr/{case}.nii.gz", label)):
            nib.save(nib.Nifti1Image(np.moveaxis(array, 2, axis), affine), root / path)
    run(params(root, negatives=1.0), tmp_path / "out")
    store = SliceStore(tmp_path / "out")
    rows = {str(volume): rows for volume, rows in store.table.groupby("volume")}
    assert {volume: len(r) for volume, r in rows.items()} == {"case_0": 6, "case_1": 3, "case_2": 4, "case_4": 6}
    noted = {volume: set(r["mended"]) for volume, r in rows.items() if (r["mended"] != "").any()}
    assert noted == {
        "case_1": {"label ignore (not annotated) in 1 of 6 slices: 3 of 6 in a row kept"},
        "case_2": {"label ignore (not annotated) in 2 of 6 slices: 4 of 6 in a row kept"},
    }
    image, label = write_case(tmp_path / "again", "case_1", 7)
    organs = np.where(label == 1, LIVER, np.where(label == 2, SPLEEN, 0)).astype(np.uint8)
    for row, z in zip(rows["case_1"].to_dict("records"), [3, 4, 5], strict=True):
        assert np.array_equal(store.image(row["shard"], row["row"]), to_display(image, AFFINE)[0][z])
        assert np.array_equal(store.label(row["shard"], row["row"]), to_display(organs, AFFINE)[0][z])
    rejects = pd.read_csv(tmp_path / "out/rejects.csv").set_index("volume")["reason"]
    assert list(rejects.index) == ["case_3"]
    assert "case_3.nii.gz: expected slices with an organ and without the label ignore (4)" in rejects["case_3"]
    assert "found it in 6 of 6 slices" in rejects["case_3"]


def test_dataset_json_must_be_nnunets(root: Path) -> None:
    (root / "dataset.json").write_text('{"labels": {"liver": 1}}')
    with pytest.raises(InputError, match="`file_ending`: the key is missing"):
        open_source("nnunet", root)
    (root / "dataset.json").write_text('{"labels": ')
    with pytest.raises(InputError, match="expected JSON, but"):
        open_source("nnunet", root)


@pytest.mark.skipif(not (REAL / "btcv").is_dir(), reason=f"real BTCV scans are not at {REAL}/btcv")
def test_real_btcv_scans_lie_as_radiologists_read_them(tmp_path: Path) -> None:
    source = {"btcv": SourceParams(adapter="btcv", root=REAL / "btcv")}
    parameters = IngestParams(sources=source, shards=4, speck_mm2=20.0, negatives=0.0)
    summary = run(parameters, tmp_path / "out", "btcv")
    assert (summary["volumes"], summary["rejected_volumes"]) == (15, 0)
    store = SliceStore(tmp_path / "out")
    columns: dict[str, list[float]] = {"liver": [], "spleen": []}
    for row in store.table.to_dict("records"):
        label = store.label(row["shard"], row["row"])
        for name, found in columns.items():
            if (label == BY_NAME[name].id).any():
                found.append(np.nonzero(label == BY_NAME[name].id)[1].mean() / row["width"])
    assert max(columns["liver"]) < 0.5 < min(columns["spleen"]), "the liver lies on the viewer's left"
