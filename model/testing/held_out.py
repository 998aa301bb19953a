"""Requests to test a model with: those that training never saw travel with the checkpoint, and a CSV brings others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow

from corpus.errors import InputError
from corpus.files import file_sha256
from model.checkpoint import read_config
from prompts.bank import OWN, REPORTS, prompt_id
from prompts.dataset import TEXTS
from prompts.kinds import Cell, kinds

REQUESTS = "requests.csv"
COLUMNS = [*TEXTS, "provider", "style"]
GIVEN = ["text", "kind", "target", "organ", "attribute", "provider", "style"]
"""The columns that are read; a table without targets may name the organ or the attribute in their stead."""
FIX = "give a CSV or Parquet table with the columns text, kind (as in prompts/kinds.yaml, or none) and target"


def save_held_out(texts: pd.DataFrame, checkpoint: Path) -> None:
    """Put the test split's requests beside a checkpoint, without the sentences of reports: a checkpoint is handed on.

    Args:
        texts: The data set's texts.parquet.
    """
    kept = (texts["split"] == "test") & (texts["provider"] != REPORTS)
    texts.loc[kept, COLUMNS].to_csv(checkpoint / REQUESTS, index=False)


def held_out_requests(checkpoint: Path, dataset: Path) -> tuple[pd.DataFrame, Path]:
    """The requests that a checkpoint's training never saw: its own file, or the data set that it was trained on.

    Args:
        dataset: A data set's folder, whose texts count only if the checkpoint was trained on these very texts.

    Returns:
        What `read_requests` returns, and the file that it is from.

    Raises:
        InputError: There are none.
    """
    if (own := checkpoint / REQUESTS).is_file():
        return read_requests(own), own
    texts = dataset / "texts.parquet"
    wanted = read_config(checkpoint)["training"].get("dataset_sha256", {}).get("texts.parquet")
    if texts.is_file() and file_sha256(texts) == wanted:
        return read_requests(texts), texts
    found = f"{texts} is of another data set" if texts.is_file() else "found neither"
    raise InputError(
        own,
        f"expected the requests that this checkpoint never saw here, or in the data set of its training; {found}",
        f"copy {REQUESTS} from where the checkpoint was trained, or give your own requests: --prompts FILE",
    )


def read_requests(path: Path) -> pd.DataFrame:
    """Read requests, checked row by row; of a table with a column `split`, those of the test split.

    Returns:
        `COLUMNS` and split ("test"), no request twice.

    Raises:
        InputError: The file is missing or no such table, or a row's kind or target is unknown.
    """
    try:
        table = (
            pd.read_parquet(path)
            if path.suffix == ".parquet"
            # Only an empty cell is a missing value: a request may read "NA".
            else pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""], encoding="utf-8-sig")
        )
    except FileNotFoundError:
        raise InputError(path, "expected a table of requests, found none", "correct its name") from None
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise InputError(path, f"expected a table of requests, but {error}", FIX) from None
    if path.suffix != ".parquet" and not isinstance(table.index, pd.RangeIndex):
        raise InputError(path, "expected no more cells than columns", "put a text that holds a comma in quotes")
    table = table.reset_index(drop=True)
    if missing := [name for name in ("text", "kind") if name not in table]:
        raise InputError(path, f"columns missing: {', '.join(missing)}; found {', '.join(map(str, table))}", FIX)
    if "split" in table:
        table = table[table["split"] == "test"]
    table = table.reindex(columns=GIVEN).astype(object)
    table = table.where(table.notna(), None)
    rows = []
    for number, row in zip(table.index, table.to_dict("records"), strict=True):
        where = f"{path}, line {number + 2}"
        if not str(row["text"] or "").strip():
            raise InputError(where, "expected a request's text, found none", "fill it in, or remove the line")
        cell = _cell(row, where)
        known = {"text": row["text"], "kind": cell.kind, "provider": row["provider"] or OWN, "style": cell.style}
        rows.append(known | cell.intent.row | {"prompt_id": prompt_id(cell, row["text"])})
    if not any(row["kind"] != "none" for row in rows):
        raise InputError(path, "expected requests that ask for something, found none", FIX)
    return pd.DataFrame(rows, columns=COLUMNS).drop_duplicates("prompt_id", ignore_index=True).assign(split="test")


def _cell(row: Mapping[Any, Any], where: str) -> Cell:
    kind, target = row["kind"], row["target"] or row["organ"] or row["attribute"]
    style = row["style"] or OWN
    if kind == "none" and target in (None, "none"):
        return Cell("none", "none", style)
    if kind not in kinds():
        raise InputError(f"{where}: kind", f"must be one of {', '.join(kinds())} or none, but found {kind!r}", FIX)
    if target not in (known := kinds()[kind].intents):
        some = ", ".join(list(known)[:6])
        raise InputError(
            f"{where}: target",
            f"must be one of kind {kind} ({some} ...), but found {repr(target) if target else 'none'}",
            FIX,
        )
    return Cell(kind, target, style)
