"""Generation killed (SIGKILL) at any moment: nothing stored is asked again, and the bank is the one of a quiet run."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

import prompts.kinds
from prompts.bank import write_bank
from prompts.generator import GenerateParams, Generator
from prompts.providers.chat import chat_model
from prompts.providers.response_store import ResponseStore
from tests.prompts.fake_server import FakeServer, serving

CONCURRENCY = 3
PROCESSES = multiprocessing.get_context("forkserver")  # it imports everything once, for all the processes that it forks
PROCESSES.set_forkserver_preload([__name__, "prompts.providers.batch", "prompts.providers.openai_chat"])


def generate(folder: Path, provider: str, styles: str, environment: dict[str, str], told: Connection) -> None:
    """Generate, and tell how many calls were asked now and how many there are."""
    os.environ |= environment
    if styles:  # other styles than those of kinds.yaml
        every, *others = prompts.kinds._specifications()
        asked = {name: every[name] for name in styles.split(",")}
        prompts.kinds._specifications = lambda: (asked, *others)  # type: ignore[assignment]
    (folder / "negatives.yaml").write_text("[]")
    params = GenerateParams(provider=provider, model="tiny", per_cell={"size": 24, "position": 12})
    with ResponseStore(folder / "responses.jsonl") as store:
        generated = Generator(params, chat_model(params), store, None, CONCURRENCY).run(folder / "negatives.yaml")
    write_bank(generated.bank, folder / "bank.parquet")
    told.send((generated.asked, generated.summary["calls"]))


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving(FakeServer()) as server:
        yield server


Run = Callable[..., tuple[int, ...]]


@pytest.fixture
def run(server: FakeServer) -> Run:
    """Generates in a process of its own, killed as soon as `kill_when` says so; gives what `generate` told."""
    environment = {"OPENAI_BASE_URL": server.address, "OPENAI_API_KEY": "any", "FLANS_POLL": "0.05"}

    def run(
        folder: Path, provider: str, kill_when: Callable[[], bool] | None = None, styles: str = ""
    ) -> tuple[int, ...]:
        folder.mkdir(exist_ok=True)
        told, telling = PROCESSES.Pipe(duplex=False)
        process = PROCESSES.Process(target=generate, args=(folder, provider, styles, environment, telling))
        process.start()
        telling.close()
        while kill_when and process.is_alive():
            if kill_when():
                process.kill()
                break
            time.sleep(0.002)
        process.join(timeout=120)
        assert kill_when or process.exitcode == 0
        return told.recv() if process.exitcode == 0 else ()

    return run


def test_a_killed_run_goes_on_and_asks_again_only_what_was_under_way(
    tmp_path: Path, server: FakeServer, run: Run
) -> None:
    server.delay = 0.02
    for target in (4, 9):
        before = server.answered.total()
        assert run(tmp_path / "killed", "openai", lambda t=target, b=before: server.answered.total() - b >= t) == ()
    asked, calls = run(tmp_path / "killed", "openai")
    again = Counter(server.answered.values())
    assert again.total() == calls
    assert max(again) <= 2
    assert server.answered.total() - calls <= 2 * CONCURRENCY, "what was under way at the two kills"
    assert asked <= calls - 4 - 9 + 2 * CONCURRENCY
    assert run(tmp_path / "killed", "openai")[0] == 0
    run(tmp_path / "quiet", "openai")
    assert (tmp_path / "killed/bank.parquet").read_bytes() == (tmp_path / "quiet/bank.parquet").read_bytes()


def test_a_killed_batch_is_neither_lost_nor_created_twice(tmp_path: Path, server: FakeServer, run: Run) -> None:
    server.polls = 4
    moments = (
        lambda: bool(server.files),  # the file is sent, the batch perhaps not yet created
        lambda: any(batch["looks"] >= 2 for batch in server.batches.values()),  # it is waited for
        lambda: any(batch["status"] == "completed" for batch in server.batches.values()),  # it is being collected
    )
    for moment in moments:
        run(tmp_path / "killed", "openai-batch", moment)
    asked, calls = run(tmp_path / "killed", "openai-batch")
    assert asked <= calls
    assert set(server.answered.values()) == {1}
    assert server.answered.total() == calls
    sent = [
        json.loads(line)["custom_id"]
        for b in server.batches.values()
        for line in server.files[b["input_file_id"]].splitlines()
    ]
    assert len(sent) == len(set(sent)) == calls
    assert list((tmp_path / "killed" / "batches").glob("*.json")) == []


def test_a_store_torn_at_any_byte_loses_one_response_at_most(tmp_path: Path, server: FakeServer, run: Run) -> None:
    run(tmp_path / "whole", "openai")
    whole = (tmp_path / "whole/responses.jsonl").read_bytes()
    bank = (tmp_path / "whole/bank.parquet").read_bytes()
    lines = whole.count(b"\n")
    for share in (0.0, 0.31, 0.999):
        folder = tmp_path / f"torn{share}"
        folder.mkdir()
        torn = whole[: int(len(whole) * share)]
        (folder / "responses.jsonl").write_bytes(torn)
        before = server.answered.total()
        run(folder, "openai")
        assert server.answered.total() - before == lines - torn.count(b"\n")
        assert (folder / "bank.parquet").read_bytes() == bank


def test_a_changed_list_of_styles_asks_for_the_new_ones_alone(tmp_path: Path, server: FakeServer, run: Run) -> None:
    folder = tmp_path / "styles"
    for styles, new in (("expert,lay", "expert,lay"), ("lay,trainee,expert", "trainee"), ("trainee", "")):
        before = Counter(server.answered)
        run(folder, "openai", styles=styles)
        asked = server.answered - before
        styles_asked = {
            style for text in asked for style in ("expert", "trainee", "lay") if f'\\"style\\": \\"{style}\\"' in text
        }
        assert styles_asked == set(filter(None, new.split(",")))
    assert set(server.answered.values()) == {1}, "nothing is asked twice"


def test_a_lost_lock_and_lost_outputs_ask_nothing(tmp_path: Path, server: FakeServer, run: Run) -> None:
    """Where dvc.lock is lost, dvc deletes the stage's outputs and runs it again; the response store is no output."""
    folder = tmp_path / "lost"
    run(folder, "openai")
    bank, asked = (folder / "bank.parquet").read_bytes(), server.answered.total()
    assert asked > 0
    (folder / "bank.parquet").unlink()
    assert run(folder, "openai")[0] == 0
    assert server.answered.total() == asked
    assert (folder / "bank.parquet").read_bytes() == bank
