"""Requests meet masks: each eligible mask gets requests of its own split from the bank."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from corpus.errors import InputError
from corpus.files import file_sha256
from corpus.params import check_least, params_dataclass
from prompts.splits import (
    SPLITS,
    FoldParams,
    LimitParams,
    SplitParams,
    kept_apart,
    limit_patients,
    limit_texts,
    split_patients,
    split_texts,
)
from prompts.targets import ABSENT, TargetParams, absent, eligible, intent_of, thinned
from prompts.truth import verified
from prompts.variants import variants
from prompts.wording.renaming import as_read


@params_dataclass
class DatasetParams:
    """Section `dataset` of params.yaml."""

    seed: int
    patients: SplitParams
    texts: SplitParams
    near_copy: float
    """Word-set Jaccard index from which a held-out request counts as a copy of a training one, and is dropped."""
    requests: dict[str, int]
    """Requests that each mask gets for each kind and attribute, by split."""
    variants: float
    """Share of the texts that the intent head reads behind a case, misspelt, and of structures elsewhere, too."""
    out_of_domain: tuple[str, ...] = ()
    """Sources that training never sees; all their patients are for testing, and they are scored apart."""
    training_only: tuple[str, ...] = ()
    """Sources that nothing is tested on: all their patients are trained on, to help the others."""
    balance: float = 0.0
    """How evenly sources are drawn in training: 0, by how many slices they have; 1, one as often as another."""
    limit: LimitParams = LimitParams()
    """How much of the training split is used; everything by default."""
    fold: FoldParams | None = None
    """Which patients are tested on, in place of the share `patients.test`."""

    def __post_init__(self) -> None:
        check_least(self, seed=0)
        if set(self.requests) != set(SPLITS) or min(self.requests.values()) < 1:
            raise ValueError(f"requests needs a number of at least 1 for each of {', '.join(SPLITS)}")
        if not (0 <= self.variants <= 1 and 0 <= self.balance <= 1):
            raise ValueError("variants and balance must be from 0 to 1")
        if not 0 < self.near_copy <= 1:
            raise ValueError("near_copy must be above 0 and at most 1, at which only the same words are a copy")
        if both := set(self.out_of_domain) & set(self.training_only):
            raise ValueError(f"{', '.join(sorted(both))} can't be in both out_of_domain and training_only")


SAMPLES = pa.DataFrameSchema(
    {
        "slice_id": pa.Column(str),
        "source": pa.Column(str),
        "patient": pa.Column(str),
        "split": pa.Column(str, pa.Check.isin(SPLITS)),
        "organ": pa.Column(str),
        "kind": pa.Column(str),
        "target": pa.Column(str),
        "attribute": pa.Column(str, nullable=True),
        "margin": pa.Column(float),
        "prompt_id": pa.Column(str),
        "style": pa.Column(str),
        "text": pa.Column(str),
    },
    strict=True,
)
"""One row a mask and request: the right answer to `text` on this slice is the mask of `organ`, empty where kind is
"absent". `target` says what the text asks for (`prompts.intent.Intent.target`), `attribute` the extreme in it, if
any."""
TEXTS = ["prompt_id", "text", "kind", "target", "asks", "organ", "attribute", "frame", "negated", "rank", "relation"]
"""The columns of texts.parquet, with provider, style, cell, read and split: `asks` is the intent's kind, of which a
kind of request is a way to ask; the following are the intent's other fields; `read` is the text as a model reads it,
by which near copies are told."""


def have_requests(targets: pd.DataFrame, texts: pd.DataFrame) -> pd.Series:
    """Whether the bank has a request of their split for them: bool, a value for each row of `targets`."""
    known = set(texts[["split", "kind", "target"]].drop_duplicates().itertuples(index=False, name=None))
    kinds = targets["kind"].replace(ABSENT, "anatomy")
    wanted = zip(targets["split"], kinds, targets["target"], strict=True)
    return pd.Series([each in known for each in wanted], index=targets.index, dtype=bool)


def assign(targets: pd.DataFrame, texts: pd.DataFrame, requests: dict[str, int], seed: int) -> pd.DataFrame:
    """Give every target requests of its own split, drawn with a seed: of each provider in turn, so that a mask isn't
    asked for in the words of the most productive one alone, and none twice: where there are too few, it gets fewer.

    Args:
        targets: Rows of `eligible` and `absent`, with their `split`; for each there is a request (`have_requests`).
        texts: Bank rows with their `split`; what the project brings along counts as a provider.
        requests: Requests a target, by split.

    Returns:
        Rows of `SAMPLES`.
    """
    parts = []
    keys = ["split", "kind", "target"]
    pools = dict(list(texts.groupby(keys, sort=True)))
    for key, group in targets.groupby(keys, sort=True):
        split, kind, name = map(str, key)
        pool = pools[split, "anatomy" if kind == ABSENT else kind, name]
        count = requests[split]
        digest = hashlib.sha256(f"{seed}:{split}:{kind}:{name}".encode()).digest()
        rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8])))
        wanted = len(group) * count
        providers = sorted(pool["provider"].unique())
        each = -(-wanted // len(providers))
        turns = [_drawn(np.flatnonzero(pool["provider"] == name), each, rng) for name in providers]
        drawn = pool.iloc[np.stack(turns, axis=1).ravel()[:wanted]]
        repeated = group.loc[group.index.repeat(count)].reset_index(drop=True)
        for column in ("prompt_id", "style", "text"):
            repeated[column] = drawn[column].to_numpy()
        parts.append(repeated)
    samples = pd.concat(parts).drop_duplicates(["slice_id", "organ", "kind", "prompt_id"], ignore_index=True)
    asked = [intent_of(*key).attribute for key in zip(samples["kind"], samples["target"], strict=True)]
    samples = samples.assign(attribute=pd.Series(asked, dtype=object))[list(SAMPLES.columns)]
    return SAMPLES.validate(samples.sort_values(["slice_id", "kind", "target", "prompt_id"], ignore_index=True))


def _drawn(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """So many of some rows, each as often as another, and no two alike within as many as there are."""
    return np.resize(rng.permutation(rows), count)


def weights(slices: pd.DataFrame, asked: pd.Series, balance: float) -> pd.Series:
    """How often each slice is drawn, in comparison: n ** -balance, with n slices of its source in its split that have
    samples; others are never drawn.

    Args:
        slices: Columns slice_id, source and split, a row a slice.
        asked: The samples' slice_id.
        balance: From 0, every slice as often as another, to 1, every source.
    """
    count = slices["slice_id"].isin(asked).groupby([slices["split"], slices["source"]]).transform("sum")
    return count.clip(lower=1).astype(float) ** -balance


def build_dataset(
    slices: pd.DataFrame,
    facts: pd.DataFrame,
    answers: pd.DataFrame,
    accepted: pd.DataFrame,
    targets: TargetParams,
    params: DatasetParams,
    out: Path,
    synthetic: Sequence[str] = (),
) -> dict:
    """Split patients and texts, assign requests to masks, and write the data set.

    Writes slices.parquet (the slice table with its split and weight), samples.parquet (`SAMPLES`), texts.parquet
    (every accepted request with its split, "none" ones too), variants.parquet (further texts for the intent head),
    patients.csv, not_asked.csv (masks of a kind for which the bank has no request of their split), card.md and
    manifest.json (counts, and the sha256 of each file).

    Args:
        synthetic: The sources that show nobody; a model that has learned from them alone says so.

    Returns:
        The manifest.

    Raises:
        InputError: A source is too small to be split or isn't there, or the bank has no request for any of its masks.
    """
    _check_sources(params, set(slices["source"]))
    named = slices[["source", "patient"]].drop_duplicates()
    whole = dict.fromkeys(params.out_of_domain, "test") | dict.fromkeys(params.training_only, "train")
    patients = split_patients(named, params.patients, params.seed, whole, params.fold)
    patients = limit_patients(named, patients, params.limit)
    slices = slices.assign(split=slices["patient"].map(patients))
    accepted = accepted.assign(read=accepted["text"].map(as_read))
    texts = accepted.merge(
        split_texts(accepted, params.texts, params.seed, params.near_copy).rename_axis("prompt_id").reset_index()
    )
    texts["split"] = limit_texts(texts, params.limit)
    clear = thinned(eligible(facts, answers, targets), targets, params.seed)
    found = pd.concat([clear, absent(slices, targets, params.seed)], ignore_index=True)
    found = found.assign(split=found["patient"].map(patients))
    found = found[found["split"].isin(SPLITS)]
    asked = have_requests(found, texts[texts["split"].isin(SPLITS)])
    _check_splits(found["split"], asked)
    assigned = assign(found[asked], texts[texts["split"].isin(SPLITS)], params.requests, params.seed)
    left_out = found.loc[~asked, ["split", "kind", "target"]].value_counts().sort_index().rename("masks").reset_index()
    samples, claims = verified(assigned, facts, slices, texts)
    slices["weight"] = weights(slices, samples["slice_id"], params.balance)

    out.mkdir(parents=True, exist_ok=True)
    slices.to_parquet(out / "slices.parquet", index=False)
    samples.to_parquet(out / "samples.parquet", index=False)
    kept = [*TEXTS, "provider", "style", "cell", "read", "split"]
    texts[kept].to_parquet(out / "texts.parquet", index=False)
    used = texts.loc[texts["split"].isin(SPLITS), kept]
    made = variants(used, params.variants, params.seed)
    made = kept_apart(made.assign(read=made["text"].map(as_read)), used, params.near_copy)
    made.to_parquet(out / "variants.parquet", index=False)
    pd.DataFrame(
        {"patient": patients.keys(), "split": patients.values()},
    ).sort_values("patient").to_csv(out / "patients.csv", index=False)
    left_out.to_csv(out / "not_asked.csv", index=False)
    manifest = {
        "patients": _counts(pd.Series(patients)),
        "slices": _counts(slices["split"]),
        "texts": _counts(texts["split"]),
        "variants": _counts(made["variant"]),
        "samples": {split: _counts(group["kind"]) for split, group in samples.groupby("split", sort=True)},
        "masks": _counts(samples[samples["kind"] != ABSENT].drop_duplicates(["slice_id", "organ"])["organ"]),
        "not_asked": int(left_out["masks"].sum()),
        "sources": _counts(slices["source"]),
        "synthetic": list(synthetic),
        "verified": claims,
    }
    (out / "card.md").write_text(_card(manifest, targets, params), encoding="utf-8")
    names = ("slices.parquet", "samples.parquet", "texts.parquet", "variants.parquet", "patients.csv", "card.md")
    manifest["sha256"] = {name: file_sha256(out / name) for name in names}
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest


def _check_sources(params: DatasetParams, known: set[str]) -> None:
    """See that the sources are there that the parameters name."""
    for name in ("out_of_domain", "training_only"):
        if unknown := set(getattr(params, name)) - known:
            raise InputError(
                f"params.yaml dataset.{name}",
                f"no source is called {', '.join(sorted(unknown))}",
                f"choose from {', '.join(sorted(known))}",
            )


def _check_splits(splits: pd.Series, asked: pd.Series) -> None:
    """See that every split has masks to ask for, and requests for some of them.

    Args:
        splits: Each mask's split.
        asked: Whether there is a request for it.
    """
    for split in SPLITS:
        if not (splits == split).any():
            raise InputError(
                "params.yaml targets",
                f"expected masks to ask for in split {split}, found none that is clear enough",
                "lower targets.min_area_mm2 and the margins, or add scans",
            )
        if not asked[splits == split].any():
            raise InputError(
                "data/review/accepted.parquet",
                f"expected requests for the masks of split {split}, found none",
                "raise generate.per_cell in params.yaml, or what stopped the generation: budget, max_calls_per_cell",
            )


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(k): int(v) for k, v in values.value_counts().sort_index().items()}


def _card(manifest: dict, targets: TargetParams, params: DatasetParams) -> str:
    def row(cells: list) -> str:
        return "| " + " | ".join(map(str, cells)) + " |"

    lines = ["# Dataset card", "", row(["", *SPLITS]), row(["---"] * 4)]
    for what in ("patients", "slices", "texts"):
        lines.append(row([what, *(manifest[what].get(s, 0) for s in SPLITS)]))
    for kind in sorted({k for counts in manifest["samples"].values() for k in counts}):
        lines.append(row([f"{kind} samples", *(manifest["samples"].get(s, {}).get(kind, 0) for s in SPLITS)]))
    lines += [
        "",
        f"Sources: {', '.join(f'{k} ({v} slices)' for k, v in manifest['sources'].items())}.",
        f"Held-out requests dropped as near copies of training ones: {manifest['texts'].get('dropped', 0)}.",
        f"A position prompt needs a margin of {targets.position_margin_mm:g} mm over the runner-up, a relation "
        f"{targets.relation_margin_mm:g} mm, a size prompt a ratio of {targets.size_ratio:g}, any prompt a mask of "
        f"{targets.min_area_mm2:g} mm2.",
        f"Claims of place, size and modality, held against the masks once more: "
        f"{manifest['verified']['claims']}; samples left out because one was false: "
        f"{sum(manifest['verified']['false'].values())}.",
        f"Patients and texts are split apart, seed {params.seed}; scans of one patient, and near copies of one "
        "request, share a split.",
        "",
        row(["organ", "masks with a prompt"]),
        row(["---"] * 2),
        *(row([organ, n]) for organ, n in manifest["masks"].items()),
        "",
    ]
    return "\n".join(lines)
