"""The folder of `flans segment`'s answers. A mask or picture that another hand put there or changed is not touched."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from corpus.errors import InputError
from corpus.files import file_sha256
from corpus.scans.unfinished import ABANDONED_S
from pipelines.stage import make_folder

ANSWERS = "answers.json"
_WRITTEN = re.compile(r"(?:mask|overlay)_\d+\.(?:nii\.gz|png)")
_KINDS = (("mask", "nii.gz"), ("mask", "png"), ("overlay", "png"))
_UNFINISHED = ".unfinished-"


def open_folder(out: Path, scan: Path, prompts: int, scan_sha256: str) -> None:
    """Make the folder, or see that the answers to so many prompts may go to it.

    Args:
        scan_sha256: Of the scan, as it stands in answers on it.

    Raises:
        InputError: It can't be made or written to, or an answer would take the place of the scan, of an answer on
            another scan, or of a file that no run wrote, or that was changed since.
    """
    make_folder(out)
    if not os.access(out, os.W_OK | os.X_OK):
        raise InputError(out, "expected a folder to write to, but may not write there", "name another with --out")
    answers = _answers(out)
    if answers and answers[0].get("scan_sha256") != scan_sha256:
        found = f"{len(answers)} answers on another scan lie there"
        raise InputError(out, found, "name another folder with --out, or remove this one")
    written = _written(out)
    places = {f"{what}_{i + 1}.{ending}" for what, ending in _KINDS for i in range(prompts)} | set(written)
    for file in (out / name for name in sorted(places)):
        if not file.is_symlink() and not file.exists():
            continue
        if file.resolve() == scan.resolve():
            raise InputError(file, "an answer would take the scan's place", "name another folder with --out")
        if not file.is_file() or written.get(file.name) != file_sha256(file):
            found = "an answer would take its place, and it isn't as an earlier run wrote it"
            raise InputError(file, found, "move it away, or name another folder with --out")
    if (out / ANSWERS).exists() and not written:
        found = "an answer would take its place, and no earlier run wrote it"
        raise InputError(out / ANSWERS, found, "move it away, or name another folder with --out")


@contextmanager
def unfinished(out: Path) -> Iterator[Path]:
    """A place of this run's own within the folder to write answers to: a killed run leaves nothing else, and a later
    one clears it."""
    for left in out.glob(f"{_UNFINISHED}*"):
        if time.time() - left.stat().st_mtime > ABANDONED_S:
            shutil.rmtree(left, ignore_errors=True)
    place = Path(mkdtemp(prefix=_UNFINISHED, dir=out))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def publish(answers: list[dict], place: Path, out: Path) -> None:
    """Put the answers that were written to `place` where they belong, and an earlier run's out of the way.

    Args:
        answers: With the names of their files, `mask` and `overlay`, which become paths. Each gets the sha256 of its
            files, by which the next run knows them.
    """
    for answer in answers:
        answer["sha256"] = {answer[key]: file_sha256(place / answer[key]) for key in ("mask", "overlay")}
        answer |= {key: str(out / answer[key]) for key in ("mask", "overlay")}
    earlier = _written(out)
    text = json.dumps(answers, indent=2, ensure_ascii=False) + "\n"
    (place / ANSWERS).write_text(text, encoding="utf-8")
    for name in earlier:
        (out / name).unlink(missing_ok=True)
    (place / ANSWERS).replace(out / ANSWERS)  # first: by it the files are known, should the run be killed here
    for answer in answers:
        for name in answer["sha256"]:
            (place / name).replace(out / name)


def _written(out: Path) -> dict[str, str]:
    """The files of the answers that lie in a folder, and their sha256; none where its answers.json isn't ours."""
    return {
        name: digest
        for answer in _answers(out)
        for name, digest in answer["sha256"].items()
        if _WRITTEN.fullmatch(name)
    }


def _answers(out: Path) -> list[dict]:
    """What a folder's answers.json says; nothing where it isn't ours."""
    try:
        answers = json.loads((out / ANSWERS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    whole = isinstance(answers, list) and all(isinstance(each, dict) for each in answers)
    return answers if whole and all(isinstance(each.get("sha256"), dict) for each in answers) else []
