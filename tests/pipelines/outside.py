"""Scans and a checkpoint as somebody outside the project has them, and `flans evaluate` on them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import torch
from typer.testing import CliRunner, Result

from corpus.anatomy import N_ORGANS, ORGANS
from corpus.params import PARAMS
from corpus.scans.phantom import PhantomParams, write_cohort
from model.canonicalizer import CanonicalizerParams
from model.checkpoint import save_pretrained
from model.flans import FLanS
from model.held_out import save_held_out
from pipelines.cli import app
from prompts.intent import ATTRIBUTES, POSITIONS
from tests.model.test_flans import PARAMS as SMALL
from tests.pipelines.conftest import REPOSITORY

MINILM = 384


def write_outside(folder: Path) -> None:
    """Three scans, one of them torn (scans/), an untrained checkpoint with its requests (m/), and params.yaml."""
    write_cohort(PhantomParams(patients=3, size=64, spacing_mm=6.0, slice_mm=40.0), folder / "scans")
    (folder / "scans/imagesTr/phantom_002_0000.nii").write_bytes(b"torn")
    torch.manual_seed(0)
    model = FLanS(SMALL, CanonicalizerParams("d4", 16, 4, 0.9), torch.randn(N_ORGANS, MINILM))
    save_pretrained(model, folder / "m", {})
    rows = [(f"show the {organ.name}", "anatomy", organ.name, None) for organ in ORGANS]
    rows += [(f"the {each}", "position" if each in POSITIONS else "size", None, each) for each in ATTRIBUTES]
    rows += [("thank you", "none", None, None)]
    texts = pd.DataFrame(rows, columns=["text", "kind", "organ", "attribute"])
    texts = texts.assign(style="lay", split="test", prompt_id=[f"{n:016x}" for n in range(len(texts))])
    save_held_out(texts, folder / "m")
    shutil.copy(REPOSITORY / PARAMS, folder)


def run(outside: Path, out: Path, *options: str) -> Result:
    """`flans evaluate` on what `write_outside` wrote."""
    command = ["evaluate", "--adapter", "nnunet", "--root", str(outside / "scans"), "--out", str(out)]
    given = ["--checkpoint", str(outside / "m"), "--params", str(outside / PARAMS), *options]
    return CliRunner().invoke(app, command + given)
