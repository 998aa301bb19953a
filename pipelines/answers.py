"""The folder of `flans segment`'s answers. What another hand put there or changed is not touched."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from corpus.errors import InputError
from corpus.files import file_sha256
from pipelines.stage import make_folder

ANSWERS = "answers.json"
_WRITTEN = re.compile(r"(?:mask|overlay)_\d+\.(?:nii\.gz|png)")


def open_folder(out: Path, scan: Path) -> None:
    """Make the folder, or see that answers may go to it.

    Raises:
        InputError: It can't be made or written to, or an answer would take the place of the scan, or of a file that
            no run wrote, or that was changed since.
    """
    make_folder(out)
    if not os.access(out, os.W_OK | os.X_OK):
        raise InputError(out, "expected a folder to write to, but may not write there", "name another with --out")
    written = _written(out)
    for file in sorted(out.iterdir()):
        if not _WRITTEN.fullmatch(file.name):
            continue
        if file.resolve() == scan.resolve():
            raise InputError(file, "an answer would take the scan's place", "name another folder with --out")
        if written.get(file.name) != file_sha256(file):
            found = "an answer would take its place, and it isn't as an earlier run wrote it"
            raise InputError(file, found, "move it away, or name another folder with --out")
    if (out / ANSWERS).exists() and not written:
        found = "an answer would take its place, and no earlier run wrote it"
        raise InputError(out / ANSWERS, found, "move it away, or name another folder with --out")


def clear_folder(out: Path) -> None:
    """Remove an earlier run's answers, of which there may be more."""
    for name in _written(out):
        (out / name).unlink(missing_ok=True)
    (out / ANSWERS).unlink(missing_ok=True)  # or it would describe the new masks, should writing them fail


def write_answers(out: Path, answers: list[dict]) -> None:
    """Write answers.json: each answer, and the sha256 of its files, by which the next run knows them."""
    for answer in answers:
        answer["sha256"] = {Path(answer[key]).name: file_sha256(Path(answer[key])) for key in ("mask", "overlay")}
    (out / ANSWERS).write_text(json.dumps(answers, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _written(out: Path) -> dict[str, str]:
    """The files of the answers that lie in a folder, and their sha256; none where its answers.json isn't ours."""
    try:
        answers = json.loads((out / ANSWERS).read_text(encoding="utf-8"))
        return {
            name: digest for answer in answers for name, digest in answer["sha256"].items() if _WRITTEN.fullmatch(name)
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
