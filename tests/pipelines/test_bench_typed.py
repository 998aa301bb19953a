"""The same texts, typed otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from model.inference import Segmenter
from model.intent_head import Understanding
from pipelines import bench_typed
from pipelines.bench_language import measured
from prompts.intent import Intent


def test_what_is_lost_and_won_is_told_of_each_change(
    outside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reader knows the texts as they are, by heart, and takes any other for a remark."""
    by_heart = {request.text: request.intent for _, request in measured()}

    def read(segmenter: Segmenter, texts: Sequence[str]) -> list[Understanding]:
        return [Understanding(by_heart.get(text, Intent("none")), 0.9) for text in texts]

    monkeypatch.setattr(bench_typed, "read", read)
    rows = bench_typed.bench_typed(outside / "m")
    assert set(rows["change"]) == set(bench_typed.CHANGES), "each changes something"
    assert not rows["text"].isin(by_heart).all()
    assert rows["before"].all()
    unknown = rows[~rows["text"].isin(by_heart)]
    assert (unknown["right"] == (unknown["kind"] == "none")).all()
    assert (unknown["understood"] == "none").all()
    bench_typed.show(rows)
    printed = capsys.readouterr()
    line = next(line for line in (printed.out + printed.err).splitlines() if "IVC as ivc" in line)
    asked = unknown[(unknown["change"] == "IVC as ivc") & (unknown["kind"] != "none")]
    assert line.split("\u2502")[-3].strip() == str(len(asked))


@pytest.mark.parametrize(
    ("change", "text", "typed"),
    [
        ("with a full stop", "the liver!", "the liver."),
        ("with a full stop", "where is it?", "where is it?"),
        ("with thanks", "the liver", "the liver. Thank you so much"),
        ("with thanks", "where is it?", "where is it? Thank you so much"),
        ("left and right as lt and rt", "Left, not right", "lt, not rt"),
        ("on several lines", "now, the liver", "\n\nnow,\nthe liver\n"),
        ("the whole in wide letters", "a b", "\uff41 \uff42"),
    ],
)
def test_changes_are_what_they_are_called(change: str, text: str, typed: str) -> None:
    assert bench_typed.CHANGES[change](text) == typed
