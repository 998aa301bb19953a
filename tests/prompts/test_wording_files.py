"""Files of patterns that are mistyped are refused, with the file, the key and what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from corpus.errors import InputError
from prompts.wording import cues, plainly, shorthand


@pytest.mark.parametrize(
    ("path", "read", "right", "wrong", "says"),
    [
        (cues.CONTENT, cues.read_cues, "sides:", "sidez:", "`sides`: the key is missing, .* called `sidez`"),
        (cues.CONTENT, cues.read_cues, "left: '", "left: '(", r"`sides\.left`: expected a pattern, but missing \)"),
        (cues.CONTENT, cues.read_cues, "\n  kidney: ", "\n  kidny: ", "found 'kidny'"),
        (plainly.CONTENT, plainly.read_plainly, "\npast:", "\npats:", "`past`: the key is missing, .* called `pats`"),
        (plainly.CONTENT, plainly.read_plainly, "edge: (?:", "edge: (?:(", r"`parts\.edge`: .* but missing \)"),
        (plainly.CONTENT, plainly.read_plainly, "  edge:", "  egde:", "parts: nothing is called edge"),
        (plainly.CONTENT, plainly.read_plainly, "\n  adrenal gland:", "\n  adrenals:", "operations: .* found adrenals"),
        (shorthand.CONTENT, shorthand.read_shorthand, "parts:", "part:", "`parts`: the key is missing"),
        (shorthand.CONTENT, shorthand.read_shorthand, "- words: '", "- words: '(", r"`rules\.0\.words`: .* missing \)"),
    ],
)
def test_a_mistyped_file_of_patterns_is_refused(
    path: Path, read: Callable[[Path], object], right: str, wrong: str, says: str, tmp_path: Path
) -> None:
    content = path.read_text(encoding="utf-8")
    assert right in content
    (tmp_path / path.name).write_text(content.replace(right, wrong, 1), encoding="utf-8")
    with pytest.raises(InputError, match=rf"{path.name}: .*{says}(.|\n)*To mend it"):
        read(tmp_path / path.name)
