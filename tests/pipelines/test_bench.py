"""`flans bench`: both ways do the same work on the same slices, and leave nothing behind."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from corpus.scans.adapters import open_source
from corpus.scans.phantom import PhantomParams, write_cohort
from corpus.scans.volumes import Case
from pipelines.bench_ingest import in_batches, link_cases, usual_image
from pipelines.cli import app


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("raw") / "small"
    write_cohort(PhantomParams(patients=3, size=32, spacing_mm=12.0, slice_mm=40.0), root)
    return root


def test_ingest_is_measured_both_ways(cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    command = ["bench", "ingest", "--adapter", "nnunet", "--root", str(cohort), "--volumes", "2", "--slices", "1"]
    result = CliRunner().invoke(app, [*command, "--json"], catch_exceptions=False)
    figures = json.loads(result.stdout)
    assert (figures["source"], figures["volumes"], figures["slice"]) == ("small", 2, "32x32")
    store, usual = figures["ways"]["store"], figures["ways"]["cubic"]
    assert (store["slices"], usual["slices"]) == (sum(slices_of(cohort)[:2]), 1)
    assert usual["bytes_per_slice"] == 1024 * 1024 * (3 * 8 + 1) + 2 * 128, "pixels, labels, and two .npy headers"
    assert store["bytes_per_slice"] < usual["bytes_per_slice"]
    times = usual["bytes_per_slice"] / store["bytes_per_slice"]
    assert figures["times"]["cubic"]["bytes_per_slice"] == pytest.approx(times, abs=0.06)
    assert all(value > 0 for way in figures["ways"].values() for value in way.values())
    assert list(tmp_path.iterdir()) == []


def test_batches_hold_every_slice_once() -> None:
    def read(i: int) -> tuple[np.ndarray, np.ndarray]:
        return np.full((4, 5), i, np.int16), np.full((4, 5), 10 + i, np.uint8)

    batches = list(in_batches([partial(read, i) for i in range(7)], 3))
    assert [(image.shape, label.shape) for image, label in batches] == [((n, 4, 5), (n, 4, 5)) for n in (3, 3, 1)]
    assert np.concatenate([image[:, 0, 0] for image, _ in batches]).tolist() == list(range(7))
    assert np.concatenate([label[:, 0, 0] for _, label in batches]).tolist() == list(range(10, 17))


def slices_of(cohort: Path) -> list[int]:
    import nibabel as nib
    from nibabel.orientations import io_orientation

    images = [nib.load(case.image) for case in open_source("nnunet", cohort).cases]
    return [image.shape[int(np.flatnonzero(io_orientation(image.affine)[:, 0] == 2)[0])] for image in images]


def test_the_usual_image_is_the_fields() -> None:
    hu = np.linspace(-160, 240, 30 * 20).reshape(30, 20).astype(np.int16)
    for cubic in (True, False):
        image = usual_image(hu, cubic)
        assert (image.shape, image.dtype) == ((1024, 1024, 3), np.float64)
        assert (image.min(), image.max()) == (0, 1)
        assert np.allclose(image[..., 0], image[..., 2], atol=1e-9)
        assert image[0, 0, 0] < 0.05 < image[300, 500, 0] < image[800, 500, 0]


def test_only_the_chosen_cases_are_linked(cohort: Path, tmp_path: Path) -> None:
    cases = open_source("nnunet", cohort).cases
    linked = open_source("nnunet", link_cases(cohort, cases, cases[1:2], tmp_path / "raw"))
    assert [case.volume for case in linked.cases] == ["phantom_002"]
    assert linked.cases[0].image.read_bytes() == cases[1].image.read_bytes()
    assert not (tmp_path / "raw/labelsTr/phantom_001.nii").exists()


def test_what_a_chosen_case_shares_with_others_is_linked(tmp_path: Path) -> None:
    for name in ("in/1.dcm", "in/2.dcm", "out/1.dcm", "ground/1.png"):
        (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / name).touch()
    cases = [Case(each, "anna", tmp_path / "raw" / each, tmp_path / "raw/ground") for each in ("in", "out")]
    linked = link_cases(tmp_path / "raw", cases, cases[:1], tmp_path / "linked")
    found = {path.relative_to(linked).as_posix() for path in linked.rglob("*") if path.is_file()}
    assert found == {"in/1.dcm", "in/2.dcm", "ground/1.png"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere"], "expected a source of phantom, found 'nowhere'"),
        (["--adapter", "nnunet"], "expected both or neither"),
        (["--adapter", "nnunet", "--root", "no/such/folder"], "found none"),
    ],
)
def test_a_source_that_is_not_there_is_named(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(app, ["bench", "ingest", *arguments])
    assert result.exit_code == 1
    assert expected in result.stderr


def test_memory_is_measured_for_every_number_of_volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    command = ["bench", "memory", "--volumes", "1", "--volumes", "3", "--workers", "1", "--size", "32", "--json"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    rows = json.loads(result.stdout)["memory"]
    assert [(row["volumes"], row["workers"]) for row in rows] == [(1, 1), (3, 1)]
    assert all(50 < row[stage] < 2000 for row in rows for stage in ("ingest_mb", "measure_mb")), (
        "MB of a Python process"
    )
    assert list(tmp_path.iterdir()) == []
