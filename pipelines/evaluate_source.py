"""`flans evaluate`: any checkpoint on any labelled scans, outside DVC; the same tables as the stage `evaluate`.

OUT/metrics.json, cases.parquet, tables/, examples/   as the stage writes them
OUT/rejects.csv      the volumes that couldn't be used
OUT/not_asked.csv    what the scans show and no request asks for
OUT/run.json         what was evaluated: checkpoint, source, requests, parameters
OUT/unfinished/      while it runs: the slices and each volume's cases; a killed evaluation goes on from them
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from rich.markup import escape

from corpus.errors import InputError
from corpus.files import file_sha256, replacing
from corpus.params import load_params, plain
from corpus.scans.adapters import open_source
from corpus.scans.ingest import ingest
from corpus.scans.ingest_params import IngestParams, SourceParams
from corpus.scans.store import REJECTS, SliceStore
from corpus.scans.unfinished import folder_of
from model.checkpoint import WEIGHTS, read_config
from model.data import SplitData
from model.inference import Segmenter
from model.testing.asked import read_prompts
from model.testing.evaluation import Evaluated, EvaluateParams, Trial, evaluate
from model.testing.held_out import held_out_requests, read_requests
from pipelines.evaluate import write_results
from pipelines.runs import CASES, RUN
from pipelines.stage import DATASET, console, imported_code, progress, results
from prompts.dataset import DatasetParams, assign, have_requests
from prompts.measure import measure
from prompts.targets import TargetParams, absent, eligible, thinned
from prompts.truth import verified

OUTSIDE = "outside"
"""The domain of a source that isn't one of the data set's."""
SAMPLES, NOT_ASKED, UNFINISHED, FINISHED = "samples.parquet", "not_asked.csv", "unfinished", "finished"
BEGUN = {UNFINISHED, REJECTS, NOT_ASKED}
"""All that a folder holds whose evaluation was killed before it had any result."""


@dataclass(frozen=True)
class Protocol:
    """The sections of params.yaml that decide what is asked of which slice."""

    ingest: IngestParams
    targets: TargetParams
    dataset: DatasetParams
    evaluate: EvaluateParams

    @classmethod
    def load(cls, path: Path, name: str, source: SourceParams) -> Protocol:
        """Read a params.yaml, with one source instead of its own."""
        return cls(
            replace(load_params("ingest", IngestParams, path), sources={name: source}),
            load_params("targets", TargetParams, path),
            load_params("dataset", DatasetParams, path),
            load_params("evaluate", EvaluateParams, path),
        )

    @property
    def plain(self) -> dict[str, Any]:
        """As JSON types, without the source and what only concerns training."""
        ingest = {key: value for key, value in plain(self.ingest).items() if key != "sources"}
        asked = {"seed": self.dataset.seed, "requests": {"test": self.dataset.requests["test"]}}
        return {
            "ingest": ingest,
            "targets": plain(self.targets),
            "dataset": asked,
            "evaluate": plain(self.evaluate),
        }


def evaluate_source(
    name: str, source: SourceParams, checkpoint: Path, out: Path, requests: Path | None, params: Path
) -> dict:
    """Evaluate a checkpoint on every labelled scan of a source.

    Args:
        requests: A table of requests; None takes those that the checkpoint never saw.
        params: A params.yaml, for the sections that decide what is asked of which slice.

    Returns:
        The metrics.

    Raises:
        InputError: The checkpoint, the source, the requests or the parameters can't be used, or `out` holds other
            files.
    """
    own = (out / RUN).is_file() or (out.is_dir() and {path.name for path in out.iterdir()} <= BEGUN)
    if out.exists() and not own:
        raise InputError(out, "expected a folder of its own, found other files", "name another with --out")
    protocol = Protocol.load(params, name, source)
    segmenter = Segmenter.from_pretrained(checkpoint)
    texts, origin = (read_requests(requests), requests) if requests else held_out_requests(checkpoint, DATASET)
    weights, asked = file_sha256(checkpoint / WEIGHTS), file_sha256(origin)
    depends_on = protocol.plain | {"checkpoint": weights, "requests": asked, "name": name, "code": imported_code()}
    work = folder_of(out / UNFINISHED, open_source(source.adapter, source.root), depends_on)

    if not (work / SAMPLES).is_file():
        prepare(name, protocol, texts, work)
    data = SplitData(work, work / "slices", "test")
    trial = Trial(segmenter, data, read_prompts(segmenter, texts), protocol.evaluate, protocol.targets)
    found = _evaluate_volumes(trial, work / "cases").of_domains({name: OUTSIDE})

    shutil.copy(work / "slices" / name / REJECTS, out / REJECTS)
    shutil.copy(work / NOT_ASKED, out / NOT_ASKED)
    summary = json.loads((work / "slices" / name / "summary.json").read_text(encoding="utf-8"))
    run = {
        "checkpoint": {"folder": checkpoint.name, "sha256": weights},
        "source": {"name": name, "adapter": source.adapter} | summary,
        "requests": {"file": origin.name, "sha256": asked, "count": len(texts), "given": requests is not None},
        "parameters": protocol.plain,
    }
    (out / CASES).unlink(missing_ok=True)  # an earlier checkpoint's, perhaps: they are never beside another's run.json
    (out / RUN).write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
    metrics = write_results(found, trial, texts, out)
    _report(out, requests is not None, _trained_on(checkpoint, data.table))
    shutil.rmtree(out / FINISHED, ignore_errors=True)
    (out / UNFINISHED).rename(out / FINISHED)  # at once: nothing goes on from what is half removed
    shutil.rmtree(out / FINISHED)
    return metrics


def prepare(name: str, protocol: Protocol, texts: pd.DataFrame, work: Path) -> None:
    """Ingest and measure the source, and give every mask its requests; samples.parquet is there once all is."""
    with progress(f"ingest {name}") as advance:
        ingest(name, protocol.ingest, work / "slices" / name, work / "ingest", advance)
    store = SliceStore(work / "slices" / name)
    with progress(f"measure {name}") as advance:
        measured = measure(store, advance)
    slices, seed = store.table, protocol.dataset.seed
    clear = thinned(eligible(measured.facts, measured.answers, protocol.targets), protocol.targets, seed)
    wanted = pd.concat([clear, absent(slices, protocol.targets, seed)], ignore_index=True).assign(split="test")
    asked = have_requests(wanted, texts)
    if not asked.any():
        raise InputError(
            protocol.ingest.sources[name].root,
            f"no request fits any of its {len(slices)} slices: they show "
            f"{', '.join(sorted(set(measured.facts['organ'])))}",
            "give requests for these organs: --prompts FILE",
        )
    assigned = assign(wanted[asked], texts, protocol.dataset.requests, seed)
    samples, _ = verified(assigned, measured.facts, slices, texts)
    mask = ["slice_id", "kind", "target"]
    left_out = wanted.loc[~pd.MultiIndex.from_frame(wanted[mask]).isin(pd.MultiIndex.from_frame(samples[mask]))]
    counts = left_out[["kind", "target"]].value_counts(sort=False).rename("masks").reset_index()
    counts.to_csv(work / NOT_ASKED, index=False)
    slices.assign(split="test").to_parquet(work / "slices.parquet", index=False)
    with replacing(work / SAMPLES) as part:
        samples.to_parquet(part, index=False)


def _evaluate_volumes(trial: Trial, parts: Path) -> Evaluated:
    """All cases, volume by volume; each volume's are kept in `parts` and not made again."""
    parts.mkdir(exist_ok=True)
    tables, table = [], trial.data.table
    with progress("evaluate", len(table)) as advance:
        for number, (_, rows) in enumerate(table.groupby("volume", sort=True)):
            # The volume's own table is written first: where the cases are there, both are.
            paths = [parts / f"{number:06d}.{what}.parquet" for what in ("volumes", "cases")]
            if paths[1].is_file():
                advance(len(rows))
            else:
                found = evaluate(trial, advance, rows.index)
                for path, made in zip(paths, (found.volumes, found.cases), strict=True):
                    with replacing(path) as part:
                        made.to_parquet(part, index=False)
            tables.append([pd.read_parquet(path) for path in paths])
    volumes, cases = ([table for table in same if len(table)] or same[:1] for same in zip(*tables, strict=True))
    return Evaluated(pd.concat(cases, ignore_index=True), pd.concat(volumes, ignore_index=True))


def _trained_on(checkpoint: Path, table: pd.DataFrame) -> list[str]:
    """The volumes that bear the name of one that the checkpoint has learned from, as far as its data set is at hand."""
    manifest = DATASET / "manifest.json"
    learned = read_config(checkpoint).get("training", {}).get("dataset_sha256")
    if not manifest.is_file() or json.loads(manifest.read_text(encoding="utf-8"))["sha256"] != learned:
        return []
    split = pd.read_parquet(DATASET / "slices.parquet", columns=["volume", "split"])
    return sorted(set(split.loc[split["split"] == "train", "volume"]) & set(table["volume"]))


def _report(out: Path, given: bool, trained_on: list[str]) -> None:
    rejects = pd.read_csv(out / REJECTS, dtype=str, keep_default_na=False)  # a volume may be called 0005, or NA
    not_asked = pd.read_csv(out / NOT_ASKED)
    for row in rejects.to_dict("records"):
        console.print("[yellow]Not used:[/] ", end="")
        console.print(f"{row['volume']}: {row['reason']}", markup=False)
    if len(not_asked):
        named = ", ".join(sorted(set(not_asked["target"])))
        console.print(
            f"[yellow]{not_asked['masks'].sum()} masks had no request[/] ({named}); see {escape(str(out / NOT_ASKED))}"
        )
    if trained_on:
        console.print(
            f"[yellow]{len(trained_on)} of the volumes bear names of volumes that the model was trained on[/] "
            f"({escape(', '.join(trained_on[:3]))}{', ...' if len(trained_on) > 3 else ''}): these are no figures of "
            "what it never saw."
        )
    if given:
        console.print("These are your requests: whether training saw any of them isn't known.")
    results.print(
        f"Figures: {out / 'metrics.json'}, one row a case: {out / 'cases.parquet'}", markup=False, soft_wrap=True
    )
