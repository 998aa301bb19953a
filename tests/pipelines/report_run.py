"""A tiny made-up run with everything that the report reads, and the report as it was written."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from corpus.anatomy import BY_NAME
from corpus.files import file_sha256
from model.groups import NAMES
from model.testing.scoring import examples, score, tables
from pipelines.report import main
from prompts.kinds import kinds, styles
from prompts.pictures import picture
from prompts.sheets import write_sheet

OF_A_REPORT = "The spleen is of normal size."
HOSTILE = "<script>alert(1)</script> the 'liver' \"now\" & here"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt; the &#39;liver&#39; &#34;now&#34; &amp; here"
ASKED_FOR = (
    ("anatomy", "liver", "liver"),
    ("anatomy", "spleen", "spleen"),
    ("position", "liver", "leftmost"),
    ("size", "spleen", "smallest"),
)
VARIANTS = {"context": 0.9, "elsewhere": 0.8, "misspelt": 0.7}
PARAMETERS = """
cohort: phantom
ingest: {sources: {phantom: {adapter: nnunet, root: ROOT}}, shards: 1, speck_mm2: 20.0, negatives: 0.5}
generate: {seed: 4711}
reports: {sources: {builtin: {reader: builtin, path: corpus/reports/builtin}}}
evaluate: {rotated: 0.25, degrees: 30.0}
"""


def cases(patients: int = 3, transforms: tuple[str, ...] = ("identity", "rot90", "flip")) -> pd.DataFrame:
    """Cases as model.testing.evaluation.evaluate writes them; Dice differs between them."""
    rows: list[dict[str, Any]] = []
    for patient, transform, number in product(range(patients), transforms, range(len(ASKED_FOR))):
        kind, organ, target = ASKED_FOR[number]
        rows.append(
            {
                "slice_id": f"phantom/p{patient}/0001",
                "patient": f"phantom/p{patient}",
                "organ": organ,
                "kind": kind,
                "target": target,
                "style": ("expert", "trainee", "lay")[number % 3],
                "transform": transform,
                "prompt_id": f"{number:016x}",
                "understood": target,
                "pose_right": not (patient == 0 and transform == "rot90"),
                "dice": round(0.9 - 0.1 * patient - 0.07 * number - 0.03 * NAMES.index(transform), 4),
                "hd95": float("nan") if number == 3 else 4.0,
            }
        )
    cases = pd.DataFrame(rows).assign(source="phantom", text=HOSTILE, confidence=0.9, pose_sure=True, area_mm2=100.0)
    cases = cases.assign(nsd=cases["dice"], nsd_1mm=cases["dice"], answered=cases["organ"])
    cases = cases.assign(pose_found=cases["transform"], domain="in", region="middle left", degrees=0.0)
    cases = cases.assign(alone_right=cases["pose_right"], alone_sure=True)
    return cases.assign(understood_kind=cases["kind"], understood_right=True, negated_right=True)


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_png(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((24, 24), bool)
    mask[8:14, 8:16] = True
    picture(np.where(mask, 60, -20).astype(np.int16), mask, (1.0, 1.0), 64).save(path)


def write_evaluation(cases: pd.DataFrame) -> None:
    folder = Path("evaluation")
    write_json(folder / "metrics.json", score(cases, 0.8762, VARIANTS))
    cases.to_parquet(folder / "cases.parquet", index=False)
    (folder / "tables").mkdir(exist_ok=True)
    written = tables(cases)
    for name in ("organs", "kinds", "transforms", "intents"):
        written[name].to_csv(folder / "tables" / f"{name}.csv", index=False)
    chosen = examples(cases, 2)
    names = [f"{number:02d}-{group}.png" for number, group in enumerate(chosen["group"])]
    for name in names:
        write_png(folder / "examples" / name)
    chosen.assign(picture=names).to_csv(folder / "examples" / "examples.csv", index=False)


def write_data() -> None:
    summary = {"volumes": 3, "rejected_volumes": 1, "patients": 3, "slices": 1234, "specks_dropped": 5}
    store = Path("data/slices/phantom/phantom")
    write_json(store / "summary.json", summary | {"dropped_labels": ["tumour"], "labelled_organs": ["liver", "spleen"]})
    reason = f"/home/lovelace/scans/p9.nii.gz: {HOSTILE}"
    rejects = pd.DataFrame(
        [{"source": "phantom", "volume": "p9", "file": "/home/lovelace/scans/p9.nii.gz", "reason": reason}]
    )
    rejects.to_csv(store / "rejects.csv", index=False)
    slices = [("phantom", "p0", "")] + [
        ("phantom", f"p{n}", "gantry tilt of 12.0 degrees undone; x") for n in (1, 1, 2)
    ]
    pd.DataFrame(slices, columns=["source", "volume", "mended"]).to_parquet(store / "slices.parquet", index=False)
    by_split = {"train": 7, "val": 1, "test": 3}
    manifest = {
        "patients": by_split,
        "slices": by_split,
        "texts": by_split | {"dropped": 2},
        "masks": {"liver": 9, "spleen": 3},
    }
    samples = {split: {"anatomy": n} for split, n in by_split.items()}
    write_json(
        Path("data/dataset/manifest.json"), manifest | {"samples": samples, "sha256": {"texts.parquet": "0" * 64}}
    )


def write_prompts() -> None:
    rows = [{"prompt_id": f"{n:016x}", "kind": kind, "target": target} for n, (kind, _, target) in enumerate(ASKED_FOR)]
    texts = pd.DataFrame(rows).assign(
        text=[HOSTILE, "NA", "far left", "tiny"], style="lay", split=["train", "test", "val", "dropped"]
    )
    texts["provider"] = [*["offline"] * 3, "written"]
    said = {"kind": "none", "target": "none", "text": OF_A_REPORT, "split": "train", "provider": "reports"}
    texts.loc[4] = {"prompt_id": "5" * 16, "style": "lay"} | said
    texts.to_parquet("data/dataset/texts.parquet", index=False)
    found = [["p1", "p2"], ["p1"], [], [], ["p3"]]
    accepted = texts.assign(passage_ids=found, passage_scores=[[0.75, 0.5], [0.25], [], [], []])
    accepted = accepted.assign(original_text=[None, None, None, "very tiny", None])
    Path("data/review").mkdir(parents=True)
    accepted.to_parquet("data/review/accepted.parquet", index=False)
    quality = {"candidates": 4321, "prompts": 4, "self_bleu": 0.6321, "kappa": None, "decisions": {"applied": 1}}
    by_kind = {kind: {"lay": 1} for kind in (*kinds(), "none")}
    write_json(
        Path("data/review/metrics.json"),
        quality
        | {
            "acceptance_by_check": {"near_letters": 0.5, "length": 0.9876},
            "rejected_by_check": {"length": 53, "near_letters": 7},
            "prompts_by_kind": by_kind,
        },
    )
    cells = list(product(BY_NAME, kinds(), styles()))
    organs = pd.DataFrame(cells, columns=["organ", "kind", "style"]).assign(prompts=0, masks=0)
    organs.loc[organs["organ"] == "liver", ["prompts", "masks"]] = [417, 99]
    organs.loc[0, "prompts"] = 0
    tables = {
        "organs": organs,
        "rejected": pd.DataFrame(
            [
                ("1" * 16, "=show me the spleen", "anatomy", "lay", "offline", "length", "too short"),
                ("3" * 16, f"Mr Kowalczyk: {OF_A_REPORT}", "none", "lay", "reports", "identifiers", "Kowalczyk"),
            ],
            columns=["prompt_id", "text", "kind", "style", "provider", "failed_check", "reason"],
        ),
        "conflicts": pd.DataFrame(
            [("2" * 16, HOSTILE, "Anna", "accept", "Ben", "reject", "reject")],
            columns=["prompt_id", "text", "reviewer_a", "decision_a", "reviewer_b", "decision_b", "holds"],
        ),
        "agreement": pd.DataFrame(
            [("Anna", "Ben", 12, 0.75, 0.4321), ("Ben", "Cleo", 1, 1.0, None)],
            columns=["reviewer_a", "reviewer_b", "prompts", "agreement", "kappa"],
        ),
    }
    for name, table in tables.items():
        write_sheet(table, Path("data/review") / f"{name}.csv")
    written = {"provider": "offline", "model": "grammar-1", "language_model_used": False}
    write_json(Path("data/prompts/summary.json"), written)
    told = {"reports": 517, "rejected": 2, "rejected_because": {"empty text": 2}, "passages": 881, "left_out": {}}
    write_json(Path("data/passages/phantom/builtin/summary.json"), told | {"replaced": {"NAME": 12}})
    write_json(Path("data/index/manifest.json"), {"n_passages": 881, "sources": {"builtin": 881}, "encoder": "builtin"})
    for name in ("anatomy-liver", "position-leftmost", "size-smallest"):
        write_png(Path("data/review/pictures") / f"{name}.png")


FURTHER = {
    "tables/robustness": (
        "factor,level,kind,dice,dice_low,dice_high,consistency,understood,cases",
        "typo,1,all,0.7351,0.7,0.76,0.91,0.8462,40",
        "typo,1,size,0.4123,,,0.8,0.75,20",
        "typo,2,all,0.6123,0.5,0.7,,0.7,40",
        "d4,flip,all,0.5432,0.5,0.6,0.7,1.0,40",
    ),
    "tables/calibration": (
        "low,high,confidence,accuracy,prompts",
        "0.5,0.6,0.5511,0.5022,9",
        "0.6,0.7,,,0",
        "0.9,1.0,0.9633,0.9544,300",
    ),
    "tables/poses": ("actual,predicted", "identity,identity", "identity,flip", "rot90,rot90"),
    "baselines": (
        "baseline,scan,kind,dice,dice_low,dice_high,nsd,cases,cases_sha256",
        "FLanS,original,anatomy,0.8123,0.79,0.83,0.8,99,HASH",
        "keyword lookup,original,anatomy,0.7444,0.7,0.78,0.7,99,HASH",
        "keyword lookup,original,size,,,,,0,HASH",
    ),
    "tables/volumes": (
        "volume,organ,kind,domain,dice,nsd,hd95,truth_ml,answer_ml",
        "v1,liver,anatomy,in,0.8,0.85,12.34,1500.5,1400",
        "v2,liver,anatomy,in,0.9,0.85,,1500.5,1400",
        "v3,liver,anatomy,out,0.1,0.1,,150.5,140",
        "v1,spleen,absent,in,0,0,,0,99",
    ),
    "tables/sources": (
        "domain,source,scan,kind,patients,dice,dice_low,dice_high,cases",
        "in,phantom,original,anatomy,5,0.8,0.7,0.9,1234",
        "out,abroad,original,anatomy,2,0.5678,0.4,0.7,77",
    ),
    "tables/sizes": ("area_mm2,kind,dice,nsd,cases", "0 - 200,anatomy,0.3333,0.4444,77"),
}
"""The tables that not every run has, as lines of CSV; HASH stands for that of the run's cases."""


def write_further(*names: str) -> None:
    """Some of them, or all."""
    digest = file_sha256(Path("evaluation/cases.parquet"))
    for name in names or FURTHER:
        lines = "\n".join(FURTHER[name]).replace("HASH", digest)
        Path(f"evaluation/{name}.csv").write_text(lines + "\n", encoding="utf-8")


def write_run() -> None:
    """A whole run in the current folder."""
    Path("params.yaml").write_text(PARAMETERS.replace("ROOT", "data/raw/phantom"), encoding="utf-8")
    model = {"image_encoder": {"kind": "conv"}, "text_encoder": {"kind": "sentence"}, "size": 128}
    write_json(Path("models/flans/config.json"), {"model": model, "parameters": 7654321, "training": {}})
    Path("models/flans/model.safetensors").write_bytes(b"weights")
    write_evaluation(cases())
    write_data()
    write_prompts()
    for training, name in (
        ("canonicalizer", "pose_accuracy"),
        ("language", "kind_accuracy"),
        ("segmenter", "dice"),
        ("joint", "organ"),
    ):
        for split in ("train", "val"):
            folder = Path("models/curves") / training / "plots" / "metrics" / split
            folder.mkdir(parents=True)
            (folder / f"{name}.tsv").write_text(f"step\t{name}\n50\t0.5\n100\t0.8642\n", encoding="utf-8")


class Page(HTMLParser):
    """A written report: its tags with their attributes, and the text of the tiles."""

    def __init__(self) -> None:
        super().__init__()
        main()
        self.html = Path("report/report.html").read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.values: list[str] = []
        self._in_value = False
        self.feed(self.html)

    def section(self, name: str) -> str:
        """The HTML of one section."""
        return self.html[self.html.index(f'<section id="{name}"') :].split("</section>")[0]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_value = ("class", "value") in attrs

    def handle_data(self, data: str) -> None:
        if self._in_value:
            self.values.append(data)
        self._in_value = False
