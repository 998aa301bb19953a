"""The bank of requests: one row a candidate, accepted or not, with where it comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa
import pyarrow
import pyarrow.parquet as pq
from pandera.errors import SchemaError

from corpus.anatomy import BY_NAME
from corpus.errors import InputError
from corpus.files import replacing
from prompts.intent import ATTRIBUTES, FRAMES, KINDS, RANKS, RELATIONS
from prompts.kinds import Cell

WRITTEN, REPORTS = "written", "reports"
"""The providers of texts that nobody was asked for: those that come with the project, and sentences of the user's own
reports. These are nobody's to hand on."""
UNASKED = (WRITTEN, REPORTS)
OWN = "own"
"""The provider of requests that a user brings along."""
BY_PEOPLE = (*UNASKED, OWN)
"""The providers of texts that no program composed."""

_RERUN = "run the stage: dvc repro generate"
_TEXT = pa.Check.str_length(min_value=1)

SCHEMA = pa.DataFrameSchema(
    {
        "prompt_id": pa.Column(str, pa.Check.str_matches(r"^[0-9a-f]{16}$"), unique=True),
        "text": pa.Column(str, _TEXT),
        "kind": pa.Column(str, _TEXT),
        "target": pa.Column(str, _TEXT),
        "asks": pa.Column(str, pa.Check.isin(KINDS)),
        "organ": pa.Column(str, pa.Check.isin(list(BY_NAME)), nullable=True),
        "attribute": pa.Column(str, pa.Check.isin(ATTRIBUTES), nullable=True),
        "frame": pa.Column(str, pa.Check.isin(FRAMES)),
        "negated": pa.Column(bool),
        "rank": pa.Column(int, pa.Check.isin(RANKS)),
        "relation": pa.Column(str, pa.Check.isin(RELATIONS), nullable=True),
        "style": pa.Column(str, _TEXT),
        "cell": pa.Column(str, _TEXT),
        "provider": pa.Column(str, _TEXT),
        "model": pa.Column(str),
        "parameters": pa.Column(str, _TEXT),
        "seed": pa.Column(int),
        "passage_ids": pa.Column(object),
        "passage_scores": pa.Column(object),
        "response_key": pa.Column(str),
        "accepted": pa.Column(bool),
        "checks": pa.Column(object),
        "failed_check": pa.Column(str, nullable=True),
        "reason": pa.Column(str, nullable=True),
        "tokens_in": pa.Column(float, nullable=True),
        "tokens_out": pa.Column(float, nullable=True),
        "cost": pa.Column(float, nullable=True),
    },
    checks=pa.Check(lambda table: table["accepted"] == table["failed_check"].isna(), error="accepted or failed"),
    strict=True,
    ordered=True,
)
"""kind, target: the cell's. asks to relation: the intent's fields, `asks` being its kind. parameters: JSON. seed: of
the call that wrote it. passage_scores: cosine, 4 decimals. response_key: in the response store, "" for written texts.
checks: those passed. tokens and cost: the response's, shared out among its candidates."""

_ARROW_TYPES = {
    "negated": pyarrow.bool_(),
    "rank": pyarrow.int64(),
    "accepted": pyarrow.bool_(),
    "seed": pyarrow.int64(),
    "passage_ids": pyarrow.list_(pyarrow.string()),
    "passage_scores": pyarrow.list_(pyarrow.float64()),
    "checks": pyarrow.list_(pyarrow.string()),
    "tokens_in": pyarrow.float64(),
    "tokens_out": pyarrow.float64(),
    "cost": pyarrow.float64(),
}
ARROW_SCHEMA = pyarrow.schema([(name, _ARROW_TYPES.get(name, pyarrow.string())) for name in SCHEMA.columns])


def prompt_id(cell: Cell, text: str) -> str:
    """16 hexadecimal digits that stand for the text with what it asks for."""
    intent = cell.intent
    fields = [cell.kind, intent.target, intent.frame, intent.negated, text]
    return hashlib.sha256(json.dumps(fields, ensure_ascii=False).encode()).hexdigest()[:16]


def bank_of(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """The table of candidates, sorted by cell and, within one, in the order of `rows`.

    Raises:
        InputError: The rows don't fit the schema.
    """
    ordered = sorted(rows, key=lambda row: row["cell"])
    return _table(pyarrow.Table.from_pylist(ordered, schema=ARROW_SCHEMA), "the bank")


def write_bank(bank: pd.DataFrame, path: Path) -> None:
    """Write the bank: the same bytes for the same rows; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrow = pyarrow.Table.from_pandas(bank, schema=ARROW_SCHEMA, preserve_index=False).replace_schema_metadata()
    with replacing(path) as part:
        pq.write_table(arrow, part, compression="zstd")


def read_bank(path: Path) -> pd.DataFrame:
    """The bank, checked. `passage_ids`, `passage_scores` and `checks` hold lists.

    Raises:
        InputError: The file is missing, unreadable, or isn't a bank.
    """
    try:
        arrow = pq.read_table(path, schema=ARROW_SCHEMA)
    except FileNotFoundError:
        raise InputError(path, "expected a bank of prompts, found none", _RERUN) from None
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise InputError(path, f"expected a bank of prompts, but {error}", _RERUN) from None
    return _table(arrow, path)


def _table(arrow: pyarrow.Table, where: object) -> pd.DataFrame:
    bank = arrow.to_pandas()
    for name in ("passage_ids", "passage_scores", "checks"):
        bank[name] = [list(values) for values in bank[name]]
    try:
        return SCHEMA.validate(bank)
    except SchemaError as error:
        problem = str(error).splitlines()[0]
        raise InputError(where, f"isn't a bank of prompts: {problem}", _RERUN) from None
