"""Unfinished work is known by what it depends on: the source's cases, its readers and all that is bound to them."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from corpus.scans import unfinished
from corpus.scans.adapters import ADAPTERS, Layout, load_layout
from corpus.scans.layouts.dicom_tree import Annotation
from corpus.scans.unfinished import folder_of
from corpus.scans.volumes import Case, Grid, LabelMap, Source


def read_image(case: Case, layout: Layout) -> Grid:
    raise NotImplementedError


def read_label(case: Case, grid: Grid, layout: Layout) -> LabelMap:
    raise NotImplementedError


def source(layout: Layout, root: Path, series: str = "1.dcm") -> Source:
    """A source whose readers hold all that a dataset's YAML says."""
    annotation = Annotation("c", "carl", root, root, files=(root / series,))
    cases = [Case("a", "anna", root / "a.nii", root / "b.nii"), annotation]
    return Source(cases, partial(read_image, layout=layout), partial(read_label, layout=layout))


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_same_source_finds_its_work_again(adapter: str, tmp_path: Path) -> None:
    work, root = tmp_path / "work", tmp_path / "root"
    begun = folder_of(work, source(load_layout(ADAPTERS[adapter]), root), {"seed": 0})
    assert folder_of(work, source(load_layout(ADAPTERS[adapter]), root), {"seed": 0}) == begun
    assert begun.is_dir()


def test_whatever_differs_makes_the_work_stale(tmp_path: Path) -> None:
    work, root = tmp_path / "work", tmp_path / "root"
    layouts = [load_layout(ADAPTERS[name]) for name in ("btcv", "amos", "totalsegmentator")]
    sources = [*(source(layout, root) for layout in layouts), source(layouts[0], root, "2.dcm")]
    sources.append(replace(sources[0], read_image=partial(read_image, layout=layouts[1])))
    folders = {folder_of(work, each, {"seed": seed}) for each in sources for seed in (0, 1)}
    assert len(folders) == 2 * len(sources)
    assert len(list(work.iterdir())) == 1, "stale work is removed"


def test_a_link_to_nowhere_is_its_volumes_affair(tmp_path: Path) -> None:
    """As in a data set of git-annex whose content isn't there; once it comes, the work is stale."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "spleen.nii.gz").symlink_to(tmp_path / "annex")
    described = tmp_path / "work", source(load_layout(ADAPTERS["totalsegmentator"]), root), {"seed": 0}
    begun = folder_of(*described)
    assert folder_of(*described) == begun
    (tmp_path / "annex").write_text("content")
    assert folder_of(*described) != begun


def test_work_under_another_vocabulary_is_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described = tmp_path / "work", source(load_layout(ADAPTERS["btcv"]), tmp_path / "root"), {"seed": 0}
    begun = folder_of(*described)
    (tmp_path / "organs.yaml").write_text(unfinished.VOCABULARY.read_text() + "# one more name\n")
    monkeypatch.setattr(unfinished, "VOCABULARY", tmp_path / "organs.yaml")
    assert folder_of(*described) != begun


def test_what_lies_behind_a_link_to_a_folder_counts(tmp_path: Path) -> None:
    root, disk = tmp_path / "root", tmp_path / "disk"
    root.mkdir()
    disk.mkdir()
    (disk / "1.dcm").write_text("slice")
    (root / "part").symlink_to(disk)
    described = tmp_path / "work", source(load_layout(ADAPTERS["dicom"]), root), {"seed": 0}
    begun = folder_of(*described)
    (disk / "1.dcm").write_text("another slice")
    assert folder_of(*described) != begun


def test_shards_that_nobody_writes_to_are_cleared_away(tmp_path: Path) -> None:
    described = tmp_path / "work", source(load_layout(ADAPTERS["btcv"]), tmp_path / "root"), {"seed": 0}
    folder = unfinished.Unfinished.open(*described).folder
    for name, age in (("old", 2 * unfinished.ABANDONED_S), ("new", 0.0)):
        (folder / f"{name}.partial").write_text("half a shard")
        os.utime(folder / f"{name}.partial", times=(0, time.time() - age))
    unfinished.Unfinished.open(*described)
    assert [path.name for path in folder.iterdir()] == ["new.partial"]


def test_work_is_stale_once_a_file_may_be_read(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "b.nii").write_text("mask")
    (root / "b.nii").chmod(0)
    described = tmp_path / "work", source(load_layout(ADAPTERS["btcv"]), root), {"seed": 0}
    begun = folder_of(*described)
    (root / "b.nii").chmod(0o644)
    assert folder_of(*described) != begun
