"""Generation killed (SIGKILL) at any moment: nothing stored is asked again, and the bank is the one of a quiet run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.prompts.fake_server import FakeServer, serving

CONCURRENCY = 3
RUN = """
import sys
from pathlib import Path
from prompts.bank import write_bank
from prompts.generator import GenerateParams, Generator
from prompts.providers import chat_model
from prompts.response_store import ResponseStore

folder, provider = Path(sys.argv[1]), sys.argv[2]
if len(sys.argv) > 3:  # other styles than those of kinds.yaml
    import prompts.kinds
    every, *others = prompts.kinds._specifications()
    asked = {name: every[name] for name in sys.argv[3].split(",")}
    prompts.kinds._specifications = lambda: (asked, *others)
(folder / "negatives.yaml").write_text("[]")
params = GenerateParams(provider=provider, model="tiny", per_cell={"size": 24, "position": 12})
with ResponseStore(folder / "responses.jsonl") as store:
    generated = Generator(params, chat_model(params), store, None, 3).run(folder / "negatives.yaml")
write_bank(generated.bank, folder / "bank.parquet")
print(generated.asked, generated.summary["calls"])
"""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with serving(FakeServer()) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.address)
        monkeypatch.setenv("OPENAI_API_KEY", "any")
        monkeypatch.setenv("FLANS_POLL", "0.05")
        monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
        yield server


def run(folder: Path, provider: str, kill_when: Callable[[], bool] | None = None, styles: str = "") -> str:
    """Generate in a process of its own; killed as soon as `kill_when` says so."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", RUN, str(folder), provider, *([styles] if styles else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while kill_when and process.poll() is None:
        if kill_when():
            process.kill()
            break
        time.sleep(0.002)
    out, problem = process.communicate(timeout=120)
    assert kill_when or process.returncode == 0, problem
    return out


def test_a_killed_run_goes_on_and_asks_again_only_what_was_under_way(tmp_path: Path, server: FakeServer) -> None:
    server.delay = 0.02
    for target in (4, 9):
        before = server.answered.total()
        assert run(tmp_path / "killed", "openai", lambda t=target, b=before: server.answered.total() - b >= t) == ""
    asked, calls = map(int, run(tmp_path / "killed", "openai").split())
    again = Counter(server.answered.values())
    assert again.total() == calls
    assert max(again) <= 2
    assert server.answered.total() - calls <= 2 * CONCURRENCY, "what was under way at the two kills"
    assert asked <= calls - 4 - 9 + 2 * CONCURRENCY
    assert run(tmp_path / "killed", "openai").split()[0] == "0"
    run(tmp_path / "quiet", "openai")
    assert (tmp_path / "killed/bank.parquet").read_bytes() == (tmp_path / "quiet/bank.parquet").read_bytes()


def test_a_killed_batch_is_neither_lost_nor_created_twice(tmp_path: Path, server: FakeServer) -> None:
    server.polls = 4
    moments = (
        lambda: bool(server.files),  # the file is sent, the batch perhaps not yet created
        lambda: any(batch["looks"] >= 2 for batch in server.batches.values()),  # it is waited for
        lambda: any(batch["status"] == "completed" for batch in server.batches.values()),  # it is being collected
    )
    for moment in moments:
        run(tmp_path / "killed", "openai-batch", moment)
    asked, calls = map(int, run(tmp_path / "killed", "openai-batch").split())
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


def test_a_store_torn_at_any_byte_loses_one_response_at_most(tmp_path: Path, server: FakeServer) -> None:
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


def test_a_changed_list_of_styles_asks_for_the_new_ones_alone(tmp_path: Path, server: FakeServer) -> None:
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


def test_a_lost_lock_and_lost_outputs_ask_nothing(tmp_path: Path, server: FakeServer) -> None:
    """Where dvc.lock is lost, dvc deletes the stage's outputs and runs it again; the response store is no output."""
    folder = tmp_path / "lost"
    run(folder, "openai")
    bank, asked = (folder / "bank.parquet").read_bytes(), server.answered.total()
    assert asked > 0
    (folder / "bank.parquet").unlink()
    assert run(folder, "openai").split()[0] == "0"
    assert server.answered.total() == asked
    assert (folder / "bank.parquet").read_bytes() == bank
