"""The data set's requests as training reads them: embedded once, for every training stage."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import Dataset

from corpus.anatomy import N_ORGANS, ORGANS
from corpus.errors import InputError
from corpus.params import check_least, params_dataclass
from model.encoders.text import TextEncoder, TokenEmbeddings, pooled_names
from model.intent_head import IntentTargets
from prompts.intent import Intent
from prompts.wording.cues import CUES

TOKENS, TABLE = "tokens.safetensors", "texts.parquet"


@params_dataclass
class EmbedParams:
    """Section `embed` of params.yaml."""

    threads: int
    """CPU threads; another number changes the last bits of the embeddings."""

    def __post_init__(self) -> None:
        check_least(self, threads=1)


@dataclass(frozen=True)
class Texts:
    """Embedded requests; row i of every field is the request of row i of `table`, `row` its number by prompt_id."""

    table: pd.DataFrame
    embeddings: TokenEmbeddings
    intents: IntentTargets
    row: dict[str, int]

    def groups(self, split: str) -> dict[str, np.ndarray]:
        """Row numbers of a split's requests by kind, "none" among them; requests by name that have no name which the
        vocabulary knows are `DESCRIBED`."""
        chosen = np.flatnonzero(self.table["split"] == split)
        kind = self.table["kind"].mask(self._nameless(), DESCRIBED).iloc[chosen]
        return {str(name): chosen[rows] for name, rows in sorted(kind.groupby(kind).indices.items())}

    def _nameless(self) -> np.ndarray:
        """Which requests ask for an organ by name, and none of their cues is that organ."""
        tokens, organ = self.embeddings, self.intents.organ
        row = torch.repeat_interleave(torch.arange(len(organ)), tokens.start.diff())
        cued = torch.zeros(len(organ), dtype=torch.bool)
        # Of a negated cue the number is higher by the number of cues.
        cued[row[(tokens.cue > 0) & ((tokens.cue - 1) % len(CUES) + 1 == organ[row])]] = True
        return (self.table["kind"] == "anatomy").to_numpy() & ~cued.numpy()


def read_table(path: Path) -> pd.DataFrame:
    """A table of the data set.

    Raises:
        InputError: There is none.
    """
    if not path.is_file():
        raise InputError(path, "expected a table of the data set, found none", "run `dvc repro dataset`")
    return pd.read_parquet(path)


def embed_texts(dataset: Path, encoder: TextEncoder, out: Path) -> None:
    """Embed the requests that a data set gives to training and validation, and their variants; write their tokens
    and their table to `out`.

    Raises:
        InputError: A table of the data set is missing.
    """
    table = pd.concat([read_table(dataset / f"{name}.parquet") for name in ("texts", "variants")], ignore_index=True)
    table = table[table["split"].isin(("train", "val"))]
    tokens = encoder.encode(table["text"].tolist())
    out.mkdir(parents=True, exist_ok=True)
    save_file(vars(tokens), out / TOKENS)
    table.to_parquet(out / TABLE, index=False)
    shutil.copymode(out / TABLE, out / TOKENS)  # which safetensors lets the owner alone read


def load_texts(folder: Path) -> Texts:
    """What `embed_texts` wrote; the tokens stay on disk until they are read.

    Raises:
        InputError: There is no such thing.
    """
    for name in (TOKENS, TABLE):
        if not (folder / name).is_file():
            raise InputError(folder / name, "expected embedded requests, found none", "run `dvc repro embed`")
    table = pd.read_parquet(folder / TABLE)
    intents = [Intent.of_row(row) for row in table.to_dict("records")]
    row = {prompt: i for i, prompt in enumerate(table["prompt_id"])}
    return Texts(table, TokenEmbeddings(**load_file(folder / TOKENS)), IntentTargets.of(intents), row)


def name_embeddings(encoder: TextEncoder) -> Tensor:
    """Pooled embeddings of the organs' names: `[24, D]`."""
    return pooled_names(encoder.encode([organ.name for organ in ORGANS])[torch.arange(N_ORGANS)])


@dataclass
class TextBatch:
    """N requests to read. (Not frozen: Fabric moves and casts what goes into a module.)"""

    text: Tensor
    """int64 `[N]`, rows of `Texts`"""
    skimmed: Tensor
    """int64 `[M]`, the same, which the second opinion learns from"""

    def to(self, device: torch.device) -> TextBatch:
        """The same on another device."""
        return TextBatch(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


DESCRIBED = "described"
SHARES = {"anatomy": 5, DESCRIBED: 5, "none": 6, "position": 2}
"""How often a kind of request is read, where others are read once: what people ask for most, or in most ways."""
GRAMMAR, COMPOSED = "offline", 0.25
"""The provider that composes texts by a grammar, and how often one of them is read for one that somebody wrote: its
patterns are soon learned."""
POOLED = 32
"""Steps whose requests are drawn together and sorted by length, so that little is padded."""
SKIMMED = 4
"""How many texts are skimmed, by their wording, for each that is read: it takes next to no time. All that somebody
wrote are drawn as often."""


class EvenDraws:
    """Weighted draws of rows without end, by a low-discrepancy sequence (the golden ratio's multiples modulo 1; Kuipers
    and Niederreiter 1974, "Uniform distribution of sequences") in place of chance, which would leave a third of the
    rows unseen where there are as many draws as rows.

    Args:
        rows: int64 `[N]`.
        often: The rows' weights, float `[N]`, above 0.
        start: Of the sequence, from 0 to 1.
    """

    GOLDEN = (1 + 5**0.5) / 2

    def __init__(self, rows: np.ndarray, often: np.ndarray, start: float) -> None:
        self.rows, self.until, self.start = rows, often.cumsum(), start

    def __call__(self, first: int, count: int) -> np.ndarray:
        """The draws `first`, ..., `first + count - 1`: int64 `[count]`."""
        at = (self.start + np.arange(first, first + count) * self.GOLDEN) % 1
        return self.rows[np.searchsorted(self.until, at * self.until[-1], side="right")]


class TextBatches(Dataset):
    """The requests of every step, a pure function of (seed, step)."""

    def __init__(self, texts: Texts, split: str, batch_size: int, steps: int, seed: int) -> None:
        groups = texts.groups(split)
        if not groups:
            raise InputError(TABLE, f"expected requests in split {split}, found none", "run dvc repro")
        often = np.where(texts.table["provider"] == GRAMMAR, COMPOSED, 1.0)
        start = np.random.Generator(np.random.PCG64(seed)).random()
        self.groups = [EvenDraws(rows, often[rows], start) for rows in groups.values()]
        everything = np.concatenate(list(groups.values()))
        self.skimmed = EvenDraws(everything, often[everything], start)
        self.pooled = min(POOLED, steps)
        until = np.cumsum([0, *(SHARES.get(kind, 1) for kind in groups)])
        self.counts = np.diff(np.round(self.pooled * batch_size * until / until[-1]).astype(int)).tolist()
        """How many draws of each group a pool holds."""
        self.length = texts.embeddings.start.diff().numpy()
        self.batch_size, self.steps, self.seed = batch_size, steps, seed

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> TextBatch:
        pool, position = divmod(step, self.pooled)
        drawn = np.concatenate([draw(pool * n, n) for draw, n in zip(self.groups, self.counts, strict=True)])
        drawn = drawn[np.argsort(self.length[drawn], kind="stable")]
        order = np.random.Generator(np.random.PCG64([self.seed, pool])).permutation(self.pooled)
        first = int(order[position]) * self.batch_size
        skimmed = self.skimmed(step * SKIMMED * self.batch_size, SKIMMED * self.batch_size)
        return TextBatch(torch.from_numpy(drawn[first : first + self.batch_size]), torch.from_numpy(skimmed))
