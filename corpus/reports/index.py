"""The index of passages: FAISS over normalised sentence embeddings, with the passages and a manifest beside it.

FAISS proposes candidates in float32, whose last bits differ between processors; the candidates are then scored again in
exact integer arithmetic, so that the same query gives the same passages, scores and order on any machine. Embeddings
are kept outside the index, keyed by text and encoder: when reports change, only theirs are computed again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import faiss
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock
from pydantic import Field

from corpus.errors import InputError
from corpus.files import file_sha256, replacing
from corpus.params import params_dataclass
from corpus.reports import vectors
from corpus.reports.encoder import GRID, Precision, encode, encoder_sha256, on_grid
from corpus.reports.passages import read_passages, write_passages

_CANDIDATES = 32
"""How many more than k candidates FAISS proposes for exact scoring."""
_REBUILD = "rebuild the index: dvc repro index"


@params_dataclass
class IndexParams:
    """Section `index` of params.yaml."""

    encoder: str = "builtin"
    """The sentence encoder: builtin, a folder, or a name on the Hugging Face hub."""
    precision: Precision = "float64"
    """float64 gives the same bytes on any machine; float32 is faster."""
    exact_up_to: int = Field(default=1_000_000, ge=0)
    """Passages above which an inverted file takes the place of exact search."""
    probes: int = Field(default=96, ge=1)
    """Lists of the inverted file that a search looks into: more find more, and take longer."""

    def __post_init__(self) -> None:
        # A name on the hub is `name` or `owner/name`; all else can only be a folder.
        if not re.fullmatch(r"\w[^/]*(?:/[^/]+)?", self.encoder) and not Path(self.encoder).is_dir():
            raise ValueError(
                f"encoder: expected builtin, a folder or a name on the hub, found no folder {self.encoder!r}"
            )


@dataclass(frozen=True)
class Hit:
    """A passage found. `passage` is its row of the passages table; `score` its cosine similarity."""

    passage: dict[str, Any]
    score: float


def embed(
    texts: Sequence[str], params: IndexParams, cache_dir: Path, advance: Callable[[int], object] = lambda n: None
) -> np.ndarray:
    """Embeddings [N, D] of texts, of which only those that `cache_dir` lacks are computed.

    The cache is a folder of Parquet parts for each encoder and precision; every part is written whole or not at all, a
    killed run loses no finished part, and deleting any of it costs time alone.
    """
    folder = cache_dir / f"{encoder_sha256(params.encoder)[:16]}-{params.precision}"
    keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    known = _read_cache(folder, set(keys))
    missing = dict(zip(keys, texts, strict=True))
    missing = {key: text for key, text in missing.items() if key not in known}
    advance(sum(key in known for key in keys))
    # Long texts first, as the encoder batches them; parts small enough to lose little, large enough to be few.
    ordered = sorted(missing, key=lambda key: (len(missing[key]), key), reverse=True)
    for start in range(0, len(ordered), 4096):
        part = ordered[start : start + 4096]
        made = encode([missing[key] for key in part], params.precision, encoder=params.encoder, advance=advance)
        _write_cache(folder, part, made)
        known.update(zip(part, made, strict=True))
    return np.stack([known[key] for key in keys]) if keys else np.empty((0, 0), np.float32)


def _read_cache(folder: Path, wanted: Collection[str]) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for path in sorted(folder.glob("*.parquet")):
        try:
            part = pq.read_table(path, page_checksum_verification=True)
        except (pa.ArrowException, OSError):
            continue  # a damaged part is written again
        width = part.schema.field("vector").type.list_size
        rows = part["vector"].combine_chunks().flatten().to_numpy().reshape(-1, width)
        found.update((key, row) for key, row in zip(part["key"].to_pylist(), rows, strict=True) if key in wanted)
    return found


def _write_cache(folder: Path, keys: list[str], vectors: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    path = folder / f"{hashlib.sha256(''.join(keys).encode()).hexdigest()[:16]}.parquet"
    with FileLock(folder / ".lock"), replacing(path) as part:  # experiments side by side embed the same texts
        pq.write_table(pa.table({"key": keys, "vector": flat}), part, write_page_checksum=True)


def corpus_sha256(passages: pd.DataFrame) -> str:
    """What identifies a table of passages: its ids, texts and tags, in order."""
    rows = passages[["passage_id", "tag", "text"]].to_numpy().tolist()
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def build_index(passages: pd.DataFrame, embeddings: np.ndarray, out_dir: Path, params: IndexParams) -> dict[str, Any]:
    """Write index.faiss, passages.parquet and manifest.json into `out_dir`: the same bytes for the same input.

    Args:
        passages: N rows, `corpus.reports.passages.SCHEMA`.
        embeddings: [N, D] float32, L2-normalised, in the order of the rows.
        out_dir: Made where it is missing.
        params: How the embeddings were made.

    Returns:
        The manifest.

    Raises:
        InputError: There are no passages.
    """
    if not len(passages):
        raise InputError(out_dir, "there are no passages to index", "add a source to `reports.sources` in params.yaml")
    assert embeddings.shape[0] == len(passages), f"{embeddings.shape[0]} embeddings for {len(passages)} passages"
    out_dir.mkdir(parents=True, exist_ok=True)
    index = vectors.build(embeddings, params.exact_up_to, params.probes)
    faiss.write_index(index, str(out_dir / "index.faiss"))
    write_passages(passages, out_dir / "passages.parquet")
    manifest = {
        "encoder": params.encoder,
        "encoder_sha256": encoder_sha256(params.encoder),
        "precision": params.precision,
        "dimension": int(embeddings.shape[1]),
        "metric": "cosine",
        "index": "ivf" if isinstance(index, faiss.IndexIVF) else "exact",
        "n_passages": len(passages),
        "corpus_sha256": corpus_sha256(passages),
        "index_sha256": file_sha256(out_dir / "index.faiss"),
        "sources": {str(name): int(n) for name, n in sorted(passages["source"].value_counts().items())},
    }
    (out_dir / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest


class PassageIndex:
    """Passages with their vectors, to be searched by text or by vector."""

    def __init__(self, index: Any, passages: pd.DataFrame, manifest: dict[str, Any]) -> None:
        self.passages, self.manifest = passages, manifest
        self.encoder, self.precision = str(manifest["encoder"]), cast(Precision, manifest["precision"])
        self._index = index
        self._tags = passages["tag"].to_numpy()
        self._organs = [frozenset(names) for names in passages["organs"]]

    def __len__(self) -> int:
        return len(self.passages)

    def search(
        self,
        queries: Sequence[str] | np.ndarray,
        k: int,
        *,
        tags: Collection[str] | None = None,
        organs: Collection[str] | None = None,
    ) -> list[list[Hit]]:
        """The k nearest passages of each query, best first; equal scores in the order of the table.

        Args:
            queries: Q texts, or their embeddings [Q, D], L2-normalised.
            k: Hits a query; fewer where fewer passages pass the filters.
            tags: Only passages with one of these tags.
            organs: Only passages that name one of these organs.
        """
        if not isinstance(queries, np.ndarray):
            queries = encode(queries, self.precision, encoder=self.encoder)
        rows = self._allowed(tags, organs)
        if not len(rows) or not len(queries):
            return [[] for _ in queries]
        candidates = vectors.propose(self._index, queries, k + _CANDIDATES, None if len(rows) == len(self) else rows)
        return [self._exact(query, found, k) for query, found in zip(queries, candidates, strict=True)]

    def _allowed(self, tags: Collection[str] | None, organs: Collection[str] | None) -> np.ndarray:
        keep = np.ones(len(self), dtype=bool)
        if tags is not None:
            keep &= np.isin(self._tags, list(tags))
        if organs is not None:
            wanted = frozenset(organs)
            keep &= np.array([not wanted.isdisjoint(names) for names in self._organs], dtype=bool)
        return np.flatnonzero(keep)

    def _exact(self, query: np.ndarray, rows: np.ndarray, k: int) -> list[Hit]:
        scores = on_grid(self._index.reconstruct_batch(rows)) @ on_grid(query)
        best = np.argsort(-scores, kind="stable")[:k]
        records = self.passages.iloc[rows[best]].to_dict("records")
        return [
            Hit({str(c): v for c, v in row.items()}, float(scores[i]) / GRID**2)
            for row, i in zip(records, best, strict=True)
        ]


def load_index(folder: Path, encoder: str | None = None) -> PassageIndex:
    """Load an index.

    Args:
        folder: What `build_index` wrote.
        encoder: The encoder that must have made it; any, where None.

    Raises:
        InputError: A file is missing or doesn't belong to the others, or the encoder isn't the one that made the index.
    """
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(path, "expected an index's manifest, found none", _REBUILD) from None
    except json.JSONDecodeError as error:
        raise InputError(path, f"expected an index's manifest, but {error}", _REBUILD) from None
    if encoder is not None and encoder != manifest["encoder"]:
        raise InputError(path, f"expected an index by the encoder {encoder}, found {manifest['encoder']}", _REBUILD)
    passages = read_passages(folder / "passages.parquet")
    index = _read_faiss(folder / "index.faiss", manifest)
    weights = encoder_sha256(manifest["encoder"])
    for what, expected, found in (
        ("weights of the encoder", manifest["encoder_sha256"], weights),
        ("dimension", manifest["dimension"], index.d),
        ("number of vectors", manifest["n_passages"], index.ntotal),
        ("hash of the passages", manifest["corpus_sha256"], corpus_sha256(passages)),
    ):
        if expected != found:
            raise InputError(folder, f"{what}: the manifest says {expected}, found {found}", _REBUILD)
    return PassageIndex(index, passages, manifest)


def _read_faiss(path: Path, manifest: dict[str, Any]) -> Any:
    if not path.is_file():
        raise InputError(path, "the file is missing", _REBUILD)
    found = file_sha256(path)
    if found != manifest["index_sha256"]:
        raise InputError(path, f"hash: the manifest says {manifest['index_sha256']}, found {found}", _REBUILD)
    return faiss.read_index(str(path))
