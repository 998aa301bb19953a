"""The report as a reader meets it: in a real browser, at a desk and on a phone, by day and by night."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from pipelines.report import main
from prompts.kinds import kinds
from tests.pipelines.browser import CHROMIUM, Browser, browser
from tests.pipelines.report_run import cases, write_evaluation, write_further, write_json, write_run

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium to open the page in: apt-get install chromium")

WIDTHS = {"desk": 1280, "phone": 390}
TOO_WIDE = """
[...document.querySelectorAll("main *, header *")]
  .filter(e => e.getClientRects().length && !e.parentElement.closest(".scroll, .gallery, pre, svg, .skip"))
  .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map(e => e.tagName + "." + e.className + " " + e.textContent.trim().slice(0, 40))
"""
FAINT = """
(() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = colour => parts(colour).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = e => {
    const colour = getComputedStyle(e).backgroundColor;
    return parts(colour)[3] === 0 ? behind(e.parentElement) : colour;
  };
  return [...document.querySelectorAll("body *")]
    .filter(e => e.getClientRects().length && !e.closest("svg, .skip"))
    .filter(e => getComputedStyle(e).backgroundColor.startsWith("rgb"))
    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
    .map(e => [e, light(getComputedStyle(e).color), light(behind(e))])
    .map(([e, a, b]) => [e, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)])
    .filter(([e, contrast]) => contrast < 4.5)
    .map(([e, contrast]) => contrast.toFixed(2) + " " + e.className + " " + e.textContent.trim().slice(0, 40));
})()
"""
"""Texts whose contrast with what is behind them is below WCAG's 4.5 : 1. The heat map's mixed colours are left out."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up run's report, with every table that a run may have."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_run()
        # Every kind of request and every way that a scan may lie make the widest tables.
        asked = cases()
        write_evaluation(pd.concat([asked.assign(kind=kind) for kind in kinds()], ignore_index=True))
        metrics = json.loads(Path("evaluation/metrics.json").read_text(encoding="utf-8"))
        write_json(Path("evaluation/metrics.json"), metrics | {"rotated": metrics["transformed"]})
        write_further()
        main()
    return folder / "report/report.html"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser."""
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=list(WIDTHS))
def test_it_reads_well(page: Path, tab: Browser, width: int, scheme: str) -> None:
    tab.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    tab.size(width, 900)
    tab.open(page.as_uri())
    tab.wait("document.readyState === 'complete'")
    tab.value("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert tab.value("document.documentElement.scrollWidth") <= width
    assert tab.value(TOO_WIDE) == []
    assert tab.value(FAINT) == []
    assert tab.value("[...document.images].filter(each => !each.naturalWidth).length") == 0
    assert tab.errors == []
    assert all(address.startswith(("file:", "data:")) for address in tab.requested)
