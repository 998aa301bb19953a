"""The page behind `flans review`: one prompt at a time with its mask's picture, decided by a key.

It is served to this machine alone and loads nothing from elsewhere. What it writes is `prompts.review.desk`'s.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from corpus.errors import InputError
from corpus.reports.passages import read_passages
from pipelines.reporting import asked_for, read_png, records
from pipelines.stage import BANK, INDEX, REVIEW, console
from prompts.bank import read_bank
from prompts.review.decision_files import tidied
from prompts.review.desk import Filter, Item, ReviewDesk, file_of, read_items
from prompts.review.sheet import REJECTED
from prompts.sheets import read_sheet

if TYPE_CHECKING:
    import gradio as gr

PAGE = Path(__file__).with_name("page")
INSTALL = 'install it: pip install -c constraints.txt -e ".[review]"'
KEYS = (
    "<p id='keys'><kbd>a</kbd> accept · <kbd>r</kbd> reject · <kbd>e</kbd> edit, then <kbd>Ctrl</kbd>+<kbd>Enter</kbd>"
    " to save or <kbd>Esc</kbd> to leave · <kbd>u</kbd> undo · <kbd>←</kbd> <kbd>→</kbd> previous, next</p>"
)


class Desks:
    """The desks of all reviewers of one sheet; two windows of one reviewer share theirs."""

    def __init__(self, folder: Path) -> None:
        """Read the sheet, the bank and the passages of the run that lies here.

        Args:
            folder: The folder of decisions.

        Raises:
            InputError: An output of the pipeline is missing or unreadable.
        """
        self._rows = {row["prompt_id"]: row for row in records(read_bank(BANK / "bank.parquet"))}
        # The stage has looked for near copies in the whole bank, and rejected more than the bank's own checks.
        for _, cells in read_sheet(REVIEW / "rejected.csv", REJECTED):
            if row := self._rows.get(cells["prompt_id"]):
                row |= {"accepted": False, **{name: cells[name] for name in ("failed_check", "reason")}}
        self.items = read_items(REVIEW / "review.csv", self._rows)
        indexed = read_passages(INDEX / "passages.parquet")
        self._passages = dict(zip(indexed["passage_id"], indexed["text"], strict=True))
        self._folder = folder
        self._open: dict[Path, ReviewDesk] = {}
        self._lock = Lock()

    def of(self, reviewer: str) -> ReviewDesk:
        """A reviewer's desk, opened at the first call.

        Raises:
            InputError: As `ReviewDesk` says, or somebody is at work whose file has the same name.
        """
        name, file = tidied(reviewer), file_of(self._folder, reviewer)
        with self._lock:
            if file not in self._open:
                self._open[file] = ReviewDesk(self.items, self._rows, self._passages, self._folder, reviewer)
            desk = self._open[file]
            if desk.reviewer.casefold() != name.casefold():
                raise InputError(file, f"{desk.reviewer!r} writes to this file already", "review under another name")
            return desk


def serve(folder: Path, reviewer: str, port: int, browser: bool) -> None:
    """Serve the page until it is stopped.

    Raises:
        InputError: Gradio isn't installed, the pipeline hasn't been run, or the port is taken.
    """
    if find_spec("gradio") is None:
        raise InputError("flans review", "expected the package gradio, found none", INSTALL)
    # No word of this session leaves the machine.
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
    import gradio as gr

    plain = gr.themes.Base(font=["system-ui", "Segoe UI", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    blocks = page(Desks(folder), reviewer)
    try:
        _, address, _ = blocks.launch(
            server_name="127.0.0.1",
            server_port=port,
            share=False,
            inbrowser=browser,
            quiet=True,
            prevent_thread_lock=True,
            footer_links=[],
            ssr_mode=False,
            theme=plain,
            css=(PAGE / "page.css").read_text(encoding="utf-8"),
            head=f"<script>{(PAGE / 'keys.js').read_text(encoding='utf-8')}</script>",
        )
    except OSError as error:
        raise InputError(f"port {port}", f"can't be served on: {error}", "choose another: --port 7861") from None
    console.print(f"{address}  decisions go to {folder}; Ctrl+C ends the page", markup=False, soft_wrap=True)
    blocks.block_thread()


def page(desks: Desks, reviewer: str = "") -> gr.Blocks:
    """The page's components and what they do.

    Args:
        reviewer: Who reviews; without a name the page asks for one first.
    """
    import gradio as gr

    draw = _Drawing()
    every = sorted({item.target for item in desks.items})
    kinds = [(asked_for().get(kind, kind), kind) for kind in dict.fromkeys(item.kind for item in desks.items)]
    with gr.Blocks(title="FLanS: review prompts", analytics_enabled=False) as blocks:
        who = gr.State(reviewer)
        here = gr.State(None)
        gr.HTML("<h1>Does the prompt ask for what is outlined?</h1>", elem_id="title")
        with gr.Row(visible=not reviewer) as door:
            name = gr.Textbox(label="Your name or initials", elem_id="name", autofocus=True, scale=3)
            start = gr.Button("Start", variant="primary", elem_id="start", scale=1)
        with gr.Column(visible=bool(reviewer)) as room:
            progress = gr.HTML()
            with gr.Row(elem_id="filters"):
                kind = gr.Dropdown([("all kinds", ""), *kinds], value="", label="Kind", show_label=False, min_width=130)
                target = gr.Dropdown(
                    [("all targets", ""), *every],
                    value="",
                    label="Organ or attribute",
                    show_label=False,
                    min_width=130,
                )
                flagged = gr.Checkbox(label="flagged only", min_width=130)
                undecided = gr.Checkbox(label="undecided only", min_width=130)
            with gr.Row():
                with gr.Column(min_width=300):
                    picture = gr.HTML()
                with gr.Column(min_width=300):
                    card = gr.HTML()
                    edited = gr.Textbox(label="Edited text", lines=3, elem_id="edited")
                    verdicts = gr.HTML()
                    comment = gr.Textbox(label="Comment", lines=1, elem_id="comment")
                    with gr.Row(elem_id="decide"):
                        accept = gr.Button("Accept", elem_id="accept")
                        reject = gr.Button("Reject", elem_id="reject")
                        save = gr.Button("Save edit", elem_id="save")
                    with gr.Row(elem_id="move"):
                        previous = gr.Button("← Previous", elem_id="previous", size="sm")
                        undo = gr.Button("Undo", elem_id="undo", size="sm")
                        following = gr.Button("Next →", elem_id="next", size="sm")
            gr.HTML(KEYS)

        seen = [here, progress, picture, card, edited, comment, verdicts]
        filters = [kind, target, flagged, undecided]

        def act(move: Callable[..., tuple[str | None, str]]) -> dict[str, Any]:
            """A button's listener: `move(desk, prompt id, filter, edited text, comment)` -> the next id, a notice."""

            def listen(name: str, now: str | None, text: str, note: str, *chosen: Any) -> tuple[Any, ...]:
                with _told():
                    desk, wanted = desks.of(name), Filter(*chosen)
                    next_id, notice = move(desk, now, wanted, text, note)
                    shown = draw.view(desk, next_id, wanted, notice)
                    # Where a decision wasn't taken, what was typed stays, and is being typed on.
                    return shown if next_id != now or not notice else (*shown[:4], *[gr.skip()] * 3)

            return {"fn": listen, "inputs": [who, here, edited, comment, *filters], "outputs": seen}

        def decided(decision: str) -> Callable[..., tuple[str | None, str]]:
            def move(desk: ReviewDesk, now: str | None, chosen: Filter, text: str, note: str) -> tuple[str | None, str]:
                if now is None:
                    return None, ""
                if decision == "accept" and draw.changed(desk, now, text):
                    return now, "The text is changed: save the edit, or press → to leave it as it is."
                refused = desk.decide(now, decision, text, note)
                return (now, refused) if refused else (desk.step(now, chosen, 1, undecided=True), "")

            return move

        def undone(desk: ReviewDesk, now: str | None, chosen: Filter, text: str, note: str) -> tuple[str | None, str]:
            back = desk.undo()
            return (back, "Taken back.") if back else (now, "Nothing to take back since this page was opened.")

        accept.click(**act(decided("accept")), show_progress="hidden")
        reject.click(**act(decided("reject")), show_progress="hidden")
        save.click(**act(decided("edit")), show_progress="hidden")
        undo.click(**act(undone), show_progress="hidden")
        previous.click(**act(lambda desk, now, chosen, *_: (desk.step(now, chosen, -1), "")), show_progress="hidden")
        following.click(**act(lambda desk, now, chosen, *_: (desk.step(now, chosen, 1), "")), show_progress="hidden")
        resume = act(lambda desk, now, chosen, *_: (desk.first(chosen), ""))
        for each in filters:
            each.input(**resume, show_progress="hidden").then(None, js="() => document.activeElement.blur()")

        def check(name: str, now: str | None, text: str) -> str:
            with _told():
                return draw.verdicts(desks.of(name), now, text)

        edited.change(check, [who, here, edited], verdicts, show_progress="hidden", trigger_mode="always_last")

        def enter(name: str) -> tuple[Any, ...]:
            with _told():
                desk = desks.of(name)
            return desk.reviewer, gr.update(visible=False), gr.update(visible=True)

        for event in (start.click, name.submit):
            event(enter, name, [who, door, room]).success(**resume)
        if reviewer:
            blocks.load(**resume)
    return blocks


class _told:
    """Bad input becomes a message on the page."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, InputError):
            import gradio as gr

            raise gr.Error(str(error), duration=None, print_exception=False) from None


class _Drawing:
    """The page's HTML; what comes from files is escaped."""

    def __init__(self) -> None:
        environment = Environment(loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined)
        environment.globals["ASKED"] = asked_for()
        self._macros: Any = environment.get_template("card.html.j2").module
        self._turn = count()

    def view(self, desk: ReviewDesk, prompt_id: str | None, chosen: Filter, notice: str) -> tuple[Any, ...]:
        """Everything that is seen of one prompt: its id, progress, picture, card, edited text, comment, verdicts."""
        decisions = desk.decisions()
        item = desk.items.get(prompt_id or "")
        decision = decisions.get(prompt_id or "")
        fitting = [each.prompt_id for each in desk.shown(chosen)]
        place = fitting.index(prompt_id) + 1 if prompt_id in fitting else "–"
        done = sum(each in decisions for each in desk.items)
        text = "" if item is None else decision.edited_text if decision and decision.edited_text else item.text
        return (
            prompt_id,
            self._macros.progress(desk.reviewer, done, len(desk.items), place, len(fitting)),
            self._macros.picture(item, _source(item)),
            self._macros.card(item, decision, next(self._turn), notice),
            text,
            decision.comment if decision else "",
            self.verdicts(desk, prompt_id, text),
        )

    def verdicts(self, desk: ReviewDesk, prompt_id: str | None, text: str) -> str:
        """What the checks say of the text in the field; nothing while it is the prompt's own."""
        unchanged = prompt_id is None or text.strip() == desk.items[prompt_id].text
        return self._macros.verdicts([] if unchanged or prompt_id is None else desk.verdicts(prompt_id, text))

    @staticmethod
    def changed(desk: ReviewDesk, prompt_id: str, text: str) -> bool:
        """Whether the field holds an edit; a saved one too, which an acceptance of the prompt would throw away."""
        return text.strip() != desk.items[prompt_id].text


def _source(item: Item | None) -> str:
    """The item's picture as a data URI, "" where it has none."""
    path = REVIEW / item.picture if item and item.picture else None
    return read_png(path, "review") if path and path.is_file() else ""
