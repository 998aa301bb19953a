"""`flans review` as a reviewer meets it: the real page in a real browser, by its keys."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from corpus.errors import InputError
from corpus.reports.passages import ARROW_SCHEMA
from pipelines.review_page import Desks, _Drawing, serve
from prompts.bank import bank_of, prompt_id, write_bank
from prompts.kinds import Cell
from prompts.pictures import picture
from prompts.review.decision_files import read_decisions
from prompts.review.sheet import REJECTED, ReviewParams, sample, sheet
from prompts.sheets import write_sheet
from tests.pipelines.browser import CHROMIUM, Browser, browser
from tests.pipelines.conftest import REPOSITORY

TEXTS = ("please mark the liver", "<b>where</b> is the liver?", "outline the liver for me", "show the liver here")
TEXT = "document.querySelector('#card .prompt')?.textContent"


def _row(text: str) -> dict[str, object]:
    cell = Cell("anatomy", "liver", "lay")
    empty = dict.fromkeys(("failed_check", "reason", "tokens_in", "tokens_out", "cost"))
    return empty | {
        "prompt_id": prompt_id(cell, text),
        "text": text,
        "kind": cell.kind,
        **cell.intent.row,
        "style": cell.style,
        "cell": cell.name,
        "provider": "offline",
        "model": "grammar-1",
        "parameters": "{}",
        "seed": 0,
        "passage_ids": [],
        "passage_scores": [],
        "response_key": "k",
        "accepted": True,
        "checks": ["length", "target"],
    }


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a made-up run with four prompts to review, entered."""
    monkeypatch.chdir(tmp_path)
    bank = bank_of([_row(text) for text in TEXTS])
    write_bank(bank, Path("data/prompts/bank.parquet"))
    chosen = sample(bank, ReviewParams(seed=0, per_stratum=4, flagged=0, picture_px=64), {})
    pictures = pd.DataFrame([("anatomy", "liver", "s/p/1", "liver", "anatomy-liver.png")])
    pictures.columns = ["kind", "target", "slice_id", "organ", "picture"]
    Path("data/review/pictures").mkdir(parents=True)
    write_sheet(sheet(chosen, pictures, {}), Path("data/review/review.csv"))
    write_sheet(pd.DataFrame(columns=list(REJECTED)), Path("data/review/rejected.csv"))
    mask = np.zeros((24, 24), bool)
    mask[8:14, 8:16] = True
    picture(np.where(mask, 60, -20).astype(np.int16), mask, (1.0, 1.0), 64).save(
        "data/review/pictures/anatomy-liver.png"
    )
    Path("data/index").mkdir()
    pq.write_table(ARROW_SCHEMA.empty_table(), "data/index/passages.parquet")
    return tmp_path


def _turn(tab: Browser, act: str) -> None:
    """Press a key, and wait until the page has drawn its answer."""
    turn = tab.value("document.getElementById('card').dataset.turn")
    tab.press(act)
    tab.wait(f"document.getElementById('card').dataset.turn !== {turn!r}")


@pytest.mark.skipif(find_spec("gradio") is None, reason="the extra `review` isn't installed: gradio")
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.timeout(400)
def test_a_reviewer_decides_by_keys(run: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = ["-c", "from pipelines.cli import app; app()", "review", "--no-browser", "--port", port]
    env = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    log, address, decisions = run / "log", f"http://127.0.0.1:{port}/", run / "prompts/review/decisions"
    with log.open("w") as out:
        server = subprocess.Popen([sys.executable, *command], cwd=run, env=env, stdout=out, stderr=out)
    try:
        end = time.monotonic() + 120
        while address not in log.read_text():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, "the page isn't there after two minutes"
            time.sleep(0.2)
        with browser(tmp_path_factory.mktemp("profile")) as tab:
            _review(tab, address)
            assert [url for url in tab.requested if not url.startswith((address, "data:"))] == []
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()
    # Killed without a word, nothing is lost.
    texts = {_row(text)["prompt_id"]: text for text in TEXTS}
    kept = [(d.file, texts[d.prompt_id], d.decision, d.edited_text) for d in read_decisions(decisions)]
    order = pd.read_csv("data/review/review.csv", encoding="utf-8-sig")["text"]
    expected = [("accept", order[0], ""), ("edit", order[2], "could you show me the liver?")]
    assert kept == [("page-anna.csv", text, decision, edited) for decision, text, edited in expected]


def _review(tab: Browser, address: str) -> None:
    """Give a name; accept, reject, undo, step, edit."""
    tab.size(1280, 860)
    tab.open(address)
    tab.wait(
        "document.querySelector('#name input, #name textarea')?.offsetParent && document.readyState === 'complete'"
    )
    time.sleep(1)
    tab.value("document.querySelector('#name input, #name textarea').focus()")
    for letter in "Anna":
        tab.press(letter)
    tab.press("Enter")
    tab.wait(TEXT)
    assert tab.wait("document.querySelector('#picture img')?.naturalWidth") == 64
    seen = [tab.value(TEXT)]
    for _ in TEXTS[1:]:
        _turn(tab, "ArrowRight")
        seen.append(tab.value(TEXT))
    assert sorted(seen) == sorted(TEXTS), "the text is shown as it is, its markup too"
    for _ in TEXTS[1:]:
        _turn(tab, "ArrowLeft")
    _turn(tab, "a")
    assert tab.value(TEXT) == seen[1]
    _turn(tab, "r")
    assert tab.value(TEXT) == seen[2]
    _turn(tab, "u")
    assert tab.value(TEXT) == seen[1]
    _turn(tab, "ArrowRight")
    # The checks speak before anything is saved.
    tab.press("e")
    tab.value("document.activeElement.select()")
    for letter in "the spleen":
        tab.press(letter)
    tab.wait("document.querySelector('#verdicts .fault')?.textContent.includes('names the spleen')")
    tab.press("Enter", control=True)
    assert "Not saved" in tab.wait("document.querySelector('#card .notice')?.textContent")
    tab.value("document.activeElement.select()")
    for letter in "could you show me the liver?":
        tab.press(letter)
    tab.wait("document.querySelector('#edited textarea').value === 'could you show me the liver?'")
    tab.wait("document.querySelector('#verdicts .passed') !== null")
    tab.press("Enter", control=True)
    tab.wait(f"{TEXT} !== {seen[2]!r}")
    assert "2 of 4" in tab.value("document.getElementById('progress').textContent")


def test_without_gradio_it_says_what_to_install(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.review_page.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install .*\[review\]"):
        serve(Path("decisions"), "", 0, browser=False)


def test_what_the_stage_rejected_is_not_accepted_on_the_page(run: Path) -> None:
    row = _row(TEXTS[0]) | {"failed_check": "round_trip", "reason": "read as spleen"}
    write_sheet(pd.DataFrame([row])[list(REJECTED)], Path("data/review/rejected.csv"))
    desk = Desks(Path("decisions")).of("Anna")
    assert "round_trip" in desk.decide(row["prompt_id"], "accept").replace("round trip", "round_trip")
    assert desk.decide(_row(TEXTS[1])["prompt_id"], "accept") == ""


def test_a_saved_edit_is_a_changed_text(run: Path) -> None:
    """Accepted as it stands in the field, it would be thrown away."""
    desk, first = Desks(Path("decisions")).of("Anna"), _row(TEXTS[0])["prompt_id"]
    edit = "could you mark the liver?"
    assert desk.decide(first, "edit", edit) == ""
    assert _Drawing.changed(desk, first, edit)
    assert not _Drawing.changed(desk, first, TEXTS[0])


def test_two_names_of_one_file_are_told_apart(run: Path) -> None:
    desks = Desks(Path("decisions"))
    assert desks.of("J. Doe") is desks.of("j.  doe")
    with pytest.raises(InputError, match=r"'J\. Doe' writes to this file already"):
        desks.of("J-Doe")
    first, second = _row(TEXTS[0])["prompt_id"], _row(TEXTS[1])["prompt_id"]
    others = Desks(Path("decisions")).of("J-Doe")  # in another process, before the file is there
    assert desks.of("J. Doe").decide(first, "reject") == others.decide(first, "accept") == ""
    assert others.decide(second, "accept") == ""
    kept = [(d.reviewer, d.prompt_id, d.decision) for d in read_decisions(Path("decisions"))]
    assert kept == [("J. Doe", first, "reject"), ("J-Doe", first, "accept"), ("J-Doe", second, "accept")]
