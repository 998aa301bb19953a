"""Markup in clinical text: what is HTML, and what is left of it."""

import pytest

from corpus.reports.markup import has_html, has_other_markup, without_markup


def test_markup_goes_and_words_stay() -> None:
    html = (
        "<head><title>No</title></head><style>p {}</style><p>Liver &amp; spleen&nbsp;&lt; 5&#160;cm<br/>Aorta</p>"
        "<table><tr><td>Left</td><td>kidney</td></tr></table><ul><li>one<li>two</ul><script>x()</script>tail"
    )
    assert without_markup(html) == "Liver & spleen < 5 cm\nAorta\nLeft: kidney\none\ntwo\ntail"
    assert without_markup("<dl><dt>MRN:</dt><dd>1</dd><dt>Name:</dt><dd>A</dd></dl>B") == "MRN: 1\nName: A\nB"
    table = (
        "<table><tr><th>Name</th><th> MRN: </th><th/></tr><tr><td>Ann <b>Lee</b></td><td>123</td><td>x</td></tr>"
        "<tr><td>Bo</td></table><table><tr><th>Liver</th><td>normal</td></tr><tr><td>Spleen</td><td>large</td></tr>"
    )
    said = "Name MRN:\nName: Ann Lee\nMRN: 123 x\nName: Bo\nLiver: normal\nSpleen: large"
    assert without_markup(table) == said, "headings above columns are told of each cell, and one beside a row of it"
    assert without_markup("<html><head><title>R</title><body><p>The liver.") == "The liver.", "an open <head>"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<pre>FINDINGS:\n<b>Liver</b>  normal.\n</pre>x\ny", "FINDINGS:\nLiver normal.\nx y"),
        ("<b>MRN:</b> 1\nThe <i>liver</i>.<br>Aorta", "MRN: 1\nThe liver.\nAorta"),
        ("<tr>\n<td>\nMRN\n</td>\n<td>1</td>\n</tr>", "MRN: 1"),
        ("<tr><td>Patient</td><td>Ann</td><td>MRN:</td><td>1</td></tr>", "Patient: Ann\nMRN: 1"),
        ("<table><tr><th>Field</th><th>Value</th></tr><tr><td>MRN</td><td>1</td></tr></table>", "Field Value\nMRN: 1"),
        ("<dl><dt>MRN</dt><dd>1</dd><dt>Name</dt><dd>A</dd></dl>B", "MRN: 1\nName: A\nB"),
        ("<b>x</b>, a <b and c, size <mild> < 3 <o:p></o:p>", "x, a <b and c, size <mild> < 3"),
    ],
)
def test_lines_and_labels_are_kept(html: str, text: str) -> None:
    assert without_markup(html) == text


@pytest.mark.parametrize(
    "text", ["pain < 3, size > 4", "pain <mild> x<3", "a <b and c", "a <b and c>", "<NAME>", "<a@b.org>"]
)
def test_no_tag_is_no_markup(text: str) -> None:
    assert not has_html(text)
    assert not has_other_markup(text)


@pytest.mark.parametrize(
    "text",
    ["<?xml version='1.0'?>\n<x>", "<name><given>Ann</given></name>", "<p>Liver</p><id root='1'/>", "<w:p></w:p>"],
)
def test_xml_is_known(text: str) -> None:
    assert has_other_markup(text)
    assert not has_other_markup("<?xml version='1.0'?><html><body><p>Liver</p><br/><o:p></o:p></body></html>")
