"""Scans and a checkpoint as somebody outside the project has them, and `flans evaluate` on them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch
import yaml
from typer.testing import CliRunner, Result

from corpus.anatomy import N_ORGANS, ORGANS
from corpus.params import PARAMS, read_yaml
from corpus.scans.phantom import PhantomParams, write_cohort
from model.flans import FLanS
from model.testing.held_out import save_held_out
from pipelines.cli import app
from prompts.bank import prompt_id
from prompts.intent import ATTRIBUTES, POSITIONS
from prompts.kinds import Cell
from tests.model.test_flans import D4
from tests.model.test_flans import PARAMS as SMALL
from tests.pipelines.conftest import REPOSITORY

MINILM = 384


def write_outside(folder: Path) -> None:
    """Three scans, one of them torn (scans/), an untrained checkpoint with its requests (m/), and params.yaml."""
    write_cohort(PhantomParams(patients=3, size=64, spacing_mm=6.0, slice_mm=40.0), folder / "scans")
    (folder / "scans/imagesTr/phantom_002_0000.nii").write_bytes(b"torn")
    torch.manual_seed(0)
    model = FLanS(SMALL, D4, torch.randn(N_ORGANS, MINILM))
    model.save_pretrained(folder / "m")
    cells = {f"show the {organ.name}": Cell("anatomy", organ.name, "lay") for organ in ORGANS}
    cells |= {f"the {each}": Cell("position" if each in POSITIONS else "size", each, "lay") for each in ATTRIBUTES}
    cells |= {"thank you": Cell("none", "none", "lay")}
    texts = pd.DataFrame(
        {
            "prompt_id": prompt_id(cell, text),
            "text": text,
            "kind": cell.kind,
            "style": cell.style,
            "provider": "offline",
            "split": "test",
        }
        | cell.intent.row
        for text, cell in cells.items()
    )
    save_held_out(texts, folder / "m")
    params = read_yaml(REPOSITORY / PARAMS)
    params["evaluate"]["pose"] = "slice"  # a volume's pose is put right by anatomy, untrained as the canonicalizer is
    (folder / PARAMS).write_text(yaml.safe_dump(params))


def run(outside: Path, out: Path, *options: str) -> Result:
    """`flans evaluate` on what `write_outside` wrote."""
    command = ["evaluate", "--adapter", "nnunet", "--root", str(outside / "scans"), "--out", str(out)]
    given = ["--checkpoint", str(outside / "m"), "--params", str(outside / PARAMS), *options]
    return CliRunner().invoke(app, command + given)
