"""What a study takes from each of its experiments while its results lie in the workspace: cases, by further columns."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pandas as pd

from corpus.errors import InputError
from corpus.params import PARAMS, load_params
from corpus.scans.adapters import open_source
from corpus.scans.ingest_params import SourceParams
from corpus.scans.phantom import PhantomParams, write_cohort
from model.data import SplitData
from model.groups import NAMES
from model.studies.baselines import NAMED, closed_set, replay
from pipelines.baselines import folder, unet
from pipelines.evaluate_source import evaluate_source
from pipelines.runs import CASES
from pipelines.stage import DATASET, EVALUATION, MODELS, SLICES, cohort, progress
from prompts.complexity import complexity
from prompts.splits import OUT
from prompts.targets import ABSENT

OTHER_PATIENTS = 1_000_003
"""Added to the phantom's seed: bodies that no training saw."""
RARE = 1 / 3
"""Share of the organs, those with the fewest masks to test on, that are called rare."""
CASE = ["slice_id", "transform", "kind", "organ", "prompt_id"]
"""What tells cases apart."""
LOOKED_AT_BY = {"patients": "modality", "tested": "modality", "minutes": "folds"}
"""Option -> the one study that looks at it."""


@dataclass(frozen=True)
class Options:
    """What only some studies look at.

    Raises:
        InputError: A further source can't be opened, or there is no such time: it is known before anything is trained.
    """

    patients: int = 8
    """Phantom patients that each modality is tested on."""
    tested: tuple[str, ...] = ()
    """Further sources to test on, "adapter=root"."""
    minutes: float | None = None
    """Training time of the U-Net; None: as many steps as the segmenter has."""

    def __post_init__(self) -> None:
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise InputError("--minutes", f"expected a time above 0, found {self.minutes:g}", "such as 30")
        for source in self.sources.values():
            open_source(source.adapter, source.root)

    @property
    def sources(self) -> dict[str, SourceParams]:
        """`tested`, by adapter.

        Raises:
            InputError: One isn't "adapter=root", or an adapter is named twice.
        """
        sources: dict[str, SourceParams] = {}
        for text in self.tested:
            adapter, found, root = text.partition("=")
            if not found:
                raise InputError("--tested", f"expected ADAPTER=FOLDER, found {text!r}", "such as chaos=/data/CHAOS")
            if adapter in sources:
                raise InputError("--tested", f"expected each adapter once, found {adapter} twice", "name one folder")
            sources[adapter] = SourceParams(adapter, Path(root))
        return sources

    def check(self, study: str) -> None:
        """See that nobody expects of a study what it doesn't look at.

        Raises:
            InputError: An option is set that is another study's.
        """
        for option in fields(self):
            if getattr(self, option.name) != option.default and LOOKED_AT_BY[option.name] != study:
                found = f"only the study {LOOKED_AT_BY[option.name]} looks at it, found it beside {study}"
                raise InputError(f"--{option.name}", found, "leave it out")


def _cases() -> pd.DataFrame:
    cases = pd.read_parquet(EVALUATION / CASES)
    return cases[cases["transform"].isin(NAMES) & (cases["domain"] != OUT)]


def scaling(name: str, out: Path, options: Options) -> pd.DataFrame:
    """Everything, and the rare organs once more by themselves."""
    cases = _cases()
    masks = cases[cases["kind"] != ABSENT].drop_duplicates(["slice_id", "organ"])["organ"].value_counts()
    masks = masks.sort_index().sort_values(kind="stable")
    rare = masks.index[: max(1, round(len(masks) * RARE))]
    parts = [cases.assign(organs="all"), cases[cases["organ"].isin(rare)].assign(organs="rare")]
    return pd.concat(parts, ignore_index=True)


def prompts(name: str, out: Path, options: Options) -> pd.DataFrame:
    """By the complexity of the test requests."""
    cases = _cases()
    return cases.assign(complexity=cases["text"].map(complexity))


def modality(name: str, out: Path, options: Options) -> pd.DataFrame:
    """The checkpoint on phantom patients that nobody trained on, in each modality, and on the sources named besides."""
    params = load_params("phantom", PhantomParams)
    sources = {}
    for each in ("CT", "MR"):
        root = out / "scans" / each
        other = replace(params, modality=each, patients=options.patients, seed=params.seed + OTHER_PATIENTS)
        with progress(f"phantom {each}", other.patients) as advance:
            write_cohort(other, root, lambda index: advance(1))
        sources[each] = SourceParams("nnunet", root)
    parts = []
    for tested, source in (sources | options.sources).items():
        evaluate_source(tested, source, MODELS / "flans", out / name / tested, None, PARAMS)
        parts.append(pd.read_parquet(out / name / tested / CASES).assign(tested=tested))
    cases = pd.concat(parts, ignore_index=True)
    return cases[cases["transform"].isin(NAMES)]


def folds(name: str, out: Path, options: Options) -> pd.DataFrame:
    """The model, and a U-Net that was trained on the same patients and is put the same cases (`read`: any). The U-Net
    is told the organ, so both are shown on those that the model understood, too (`read`: yes)."""
    cases = _cases()
    named = cases[cases["kind"].isin(NAMED)]
    network = unet(folder(name), None if options.minutes is None else 60 * options.minutes)
    data = SplitData(DATASET, SLICES / cohort(), "test")
    with progress("U-Net", named.groupby(["slice_id", "transform"]).ngroups) as advance:
        other = replay(named, data, closed_set(network), advance).assign(understood_right=None, model="unet")
    both = pd.concat([cases.assign(model="flans"), other], ignore_index=True)
    understood = both.merge(cases.loc[cases["understood_right"], CASE], on=CASE)
    return pd.concat([both.assign(read="any"), understood.assign(read="yes")], ignore_index=True)


COLLECTORS: dict[str, Callable[[str, Path, Options], pd.DataFrame]] = {
    "scaling": scaling,
    "prompts": prompts,
    "modality": modality,
    "folds": folds,
}
"""Study -> what gathers the cases of the experiment that has just run (its name, the study's folder, options)."""
