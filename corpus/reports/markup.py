"""Markup in clinical text: HTML becomes plain text, in which a value of a table stands after its label.

The rules that find identifiers read labels ("MRN: 482913"): tags or cells between a label and its value hide it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from html.parser import HTMLParser

_BLOCK = re.compile(r"address|article|blockquote|br|div|dl|dt|h[1-6]|hr|li|ol|p|pre|section|table|tr|ul")
_CELLS = ("td", "th", "dd")
"""What goes on in the line: a label and its value stay together."""
_HIDDEN = ("script", "style", "title")
_INLINE = re.compile(
    r"a|abbr|acronym|aside|b|base|basefont|bdi|bdo|big|body|button|caption|center|cite|code|"
    r"col|colgroup|data|datalist|dd|del|details|dfn|dir|em|fieldset|figcaption|figure|font|"
    r"footer|form|frame|frameset|head|header|html|i|iframe|img|input|ins|kbd|label|legend|link|"
    r"main|map|mark|meta|nav|nobr|noscript|object|optgroup|option|output|picture|q|s|samp|"
    r"script|select|small|source|span|strike|strong|style|sub|summary|sup|svg|tbody|td|textarea|"
    r"tfoot|th|thead|time|title|tt|u|var|wbr"
)
_TAG = re.compile(r"<(?P<ends>/?)(?P<name>[A-Za-z][\w:.-]*)(?:\s+(?:[^<>]*=[^<>]*?|\w+\s*)?)?(?P<empty>/?)>")
_OPENING = re.compile(rf"{_TAG.pattern}|<(?![!?])")
_FROM_WORD = ("o:", "st1:", "st2:", "v:", "u1:")
"""What the names of the tags begin with that Word adds to HTML."""
_LABEL = re.compile(r"[^\W\d_][^\d\n|:=]{0,40}(?<![.,;!?])[:=]?")
_OF_COLUMNS = re.compile(r"(?i:fields?|values?|items?|keys?|attributes?|parameters?|labels?|entry|element|description)")
"""Headings that tell nothing of the cells below them: there the row's first cell is the label."""


def has_html(text: str) -> bool:
    """Whether `text` holds a tag of HTML: "pain <mild>, size <3" holds none."""
    return any(_is_html(tag["name"]) for tag in _TAG.finditer(text))


def has_other_markup(text: str) -> bool:
    """Whether `text` is XML other than HTML, such as a CDA document: what its elements mean isn't known here."""
    if text.lstrip().startswith("<?xml"):
        return not re.search(r"<html\b", text, re.IGNORECASE)
    closed = (tag["name"] for tag in _TAG.finditer(text) if tag["ends"] or tag["empty"])
    return any(not _is_html(name) and not name.lower().startswith(_FROM_WORD) for name in closed)


def _is_html(name: str) -> bool:
    return any(kind.fullmatch(name.lower()) for kind in (_INLINE, _BLOCK))


def joints(cells: Sequence[str], otherwise: str) -> list[str]:
    """What to put between the cells of a row: a colon after a label, and a line end before another label.

    Of "Liver | normal" the first cell is a label, and every other one of "Patient | Smith | MRN | 12".
    """
    found = [otherwise] * (len(cells) - 1)
    firsts = cells[::2]
    if len(cells) > 2 and len(cells) % 2 == 0 and all(_is_label(cell) and cell[0].isupper() for cell in firsts):
        return [_colon(cells[at]) if at % 2 == 0 else "\n" for at in range(len(found))]
    if found and _is_label(cells[0]) and any(cells[1:]):
        found[0] = _colon(cells[0])
    return found


def _is_label(cell: str) -> bool:
    return _LABEL.fullmatch(cell) is not None and len(cell.split()) <= 4


def _colon(label: str) -> str:
    return " " if label.endswith((":", "=")) else ": "


def tells(heading: str) -> bool:
    """Whether a column's heading says what stands below it."""
    return bool(heading) and not _OF_COLUMNS.fullmatch(heading)


class _Text(HTMLParser):
    """Of a table under a row of headings every cell is a line "heading: cell": so a value is known by its label. Where
    there are no headings, and in a list of terms, the first cell is the label."""

    def __init__(self, keep_lines: bool) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._hidden = 0
        self._headings: list[str] = []
        self._cells: list[tuple[str, int]] = []
        """Of this row: each cell's tag, and the number of pieces before its text."""
        self._keep_lines = keep_lines
        self._verbatim = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in _HIDDEN
        self._verbatim += tag == "pre"
        if tag in ("table", "tr", "dl", "dt"):
            self._end_row(table=tag == "table")
        if _BLOCK.fullmatch(tag):
            self.pieces.append("\n")
        if tag == "dt":
            self._cells.append((tag, len(self.pieces)))
        elif tag in _CELLS:
            at = len(self._cells)
            heading = self._headings[at] if tag == "td" and at < len(self._headings) else ""
            self.pieces.append(f"\n{heading}: " if heading else " ")
            self._cells.append((tag, len(self.pieces)))

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in _HIDDEN and self._hidden > 0
        self._verbatim -= tag == "pre" and self._verbatim > 0
        if tag in ("table", "tr", "dl"):
            self._end_row(table=tag == "table")
        if _BLOCK.fullmatch(tag) and tag != "dt":
            self.pieces.append("\n")

    def _end_row(self, table: bool) -> None:
        """A row that holds headings alone, two or more, is of them; they hold until the table ends."""
        until = [*(start - 1 for _, start in self._cells[1:]), None]
        cells = ["".join(self.pieces[start:end]).strip() for (_, start), end in zip(self._cells, until, strict=False)]
        if len(cells) > 1 and all(tag == "th" for tag, _ in self._cells):
            headings = [cell.rstrip(":") for cell in cells]
            self._headings = headings if any(map(tells, headings)) else []
        elif not self._headings:
            for at, joint in reversed([*enumerate(joints(cells, " "))] if cells else []):
                self.pieces[self._cells[at][1] : self._cells[at + 1][1]] = (cells[at], joint)
        if table:
            self._headings = []
        self._cells = []

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            lines = self._verbatim or (self._keep_lines and not self._cells)
            self.pieces.append(re.sub(r"[^\S\n]+" if lines else r"\s+", " ", data))

    def close(self) -> None:
        super().close()
        self._end_row(table=True)


def without_markup(text: str) -> str:
    """The text of (X)HTML: blocks on lines of their own, entities resolved, scripts and styles left out.

    Line ends count in <pre>, and everywhere in a text that has them without blocks, as a note in which words are bold.
    """
    tags = {tag["name"].lower() for tag in _TAG.finditer(text)}
    parser = _Text(keep_lines=not any(_BLOCK.fullmatch(tag) and tag not in ("br", "hr") for tag in tags))
    parser.feed(_OPENING.sub(lambda tag: tag[0] if _is_markup(tag["name"] or "") else html.escape(tag[0]), text))
    parser.close()
    lines = (re.sub(r"[^\S\n]+", " ", line).strip() for line in "".join(parser.pieces).split("\n"))
    return "\n".join(line for line in lines if line)


def _is_markup(name: str) -> bool:
    return _is_html(name) or ":" in name
