"""The files of a folder tree, whatever its links say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from corpus.scans.tree import files_below


def made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return path


def test_links_elsewhere_are_followed_once_and_others_not(tmp_path: Path) -> None:
    root, disk = tmp_path / "root", tmp_path / "disk"
    own = made(root / "p1/1.dcm")
    for name in ("p2", "p3"):
        made(disk / name / "1.dcm")
    (root / "a-disk").symlink_to(disk)
    (root / "again").symlink_to(disk)
    (root / "part").symlink_to(disk / "p3")
    (root / "own").symlink_to(root / "p1")
    (root / "above").symlink_to(tmp_path)
    (disk / "p2/loop").symlink_to(disk)
    files, closed = files_below(root)
    assert files == [root / "a-disk/p2/1.dcm", root / "a-disk/p3/1.dcm", own]
    assert closed == []


def test_a_part_that_is_linked_before_the_whole_hides_nothing_of_it(tmp_path: Path) -> None:
    root, disk = tmp_path / "root", tmp_path / "disk"
    root.mkdir()
    for name in ("p2", "p3"):
        made(disk / name / "1.dcm")
    (root / "a").symlink_to(disk / "p2")
    (root / "b").symlink_to(disk)
    assert {path.parent.name for path in files_below(root)[0]} >= {"a", "p3"}


def test_hidden_files_and_pipes_are_left_out_and_links_to_nowhere_are_not(tmp_path: Path) -> None:
    made(tmp_path / ".venv/1.dcm")
    made(tmp_path / "._1.dcm")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "lost.dcm").symlink_to(tmp_path / "nowhere")
    (tmp_path / "round.dcm").symlink_to(tmp_path / "round.dcm")
    assert files_below(tmp_path)[0] == [tmp_path / "lost.dcm", tmp_path / "round.dcm"]


def test_what_may_not_be_looked_into_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for somebody who isn't root: a folder without the right to enter it, and a link to a file in such a one."""
    file = made(tmp_path / "open/1.dcm")
    made(tmp_path / "shut/1.dcm")
    link = tmp_path / "link.dcm"
    link.symlink_to(tmp_path / "shut/1.dcm")
    is_file = Path.is_file

    def may_not(path: Path) -> bool:
        if path == link:
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", may_not)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "shut")
    assert files_below(tmp_path) == ([link, file], [tmp_path / "shut"])


def test_a_file_has_none_below_it(tmp_path: Path) -> None:
    assert files_below(made(tmp_path / "a.nii")) == ([], [])
    assert files_below(tmp_path / "none") == ([], [])
