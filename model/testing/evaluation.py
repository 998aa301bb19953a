"""Every prompt of every held-out slice, as it lies, turned and rotated: one row a case; and whole volumes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from corpus.params import check_least, params_dataclass
from model.canonicalizer import Pose
from model.data import SplitData
from model.groups import INVERSE, NAMES, ORDER
from model.inference import Segmentation, Segmenter
from model.testing.asked import HeldOutPrompts, reads
from model.testing.grading import Grader
from model.testing.perturbations import RobustnessParams
from model.testing.poses import VolumePoses
from model.testing.stacks import VOLUMES, Stack
from model.testing.views import View, as_it_lies, rotated, turned
from prompts.targets import TargetParams, intent_of

ASKED = ("slice_id", "source", "patient", "organ", "kind", "target", "style")


@params_dataclass
class EvaluateParams:
    """Section `evaluate` of params.yaml."""

    seed: int
    turned: int
    """Of the seven ways to turn or mirror a slice, how many are drawn for each, besides the slice as it lies."""
    pose: Literal["volume", "slice"]
    """Whether a slice's pose is judged with all its volume, as in use, or alone; alone, a slice of the pelvis has no
    left and right to be told by. The pose that a slice has alone is reported either way."""
    rotated: float
    """Share of the slices that are rotated by a random angle, too."""
    degrees: float
    """That angle's limit, to either side; the slices of one volume are rotated by the same."""
    robustness: RobustnessParams
    examples: int
    """Pictures of each of the best, typical and worst cases."""
    picture_px: int

    def __post_init__(self) -> None:
        check_least(self, seed=0, examples=0, picture_px=32)
        if not 0 <= self.turned < ORDER:
            raise ValueError(f"turned must be from 0 to {ORDER - 1}")
        if not 0 <= self.rotated <= 1:
            raise ValueError("rotated must be from 0 to 1")
        if not 0 < self.degrees <= 45:
            raise ValueError(
                "degrees must be above 0 and at most 45: a larger angle is a quarter turn and a smaller one"
            )


@dataclass(frozen=True)
class Evaluated:
    """What `evaluate` found."""

    cases: pd.DataFrame
    """One row a case: what was asked, what was understood and answered, the pose, and the metrics."""
    volumes: pd.DataFrame
    """One row a volume and structure; see `stacks`."""

    def of_domains(self, domains: Mapping[str, str]) -> Evaluated:
        """The same, with each source's domain."""
        return Evaluated(*(table.assign(domain=table["source"].map(domains)) for table in (self.cases, self.volumes)))


@dataclass(frozen=True)
class Trial:
    """A segmenter, put to the held-out requests of one split: what stays the same over an evaluation."""

    segmenter: Segmenter
    data: SplitData
    prompts: HeldOutPrompts
    params: EvaluateParams
    targets: TargetParams
    """What may be asked of a rotated slice."""

    def volume(self, rows: pd.DataFrame, advance: Callable[[int], None]) -> tuple[list[dict], list[dict]]:
        """The cases of one volume's slices, and the rows of the volume.

        Args:
            rows: The volume's of `data.table`.
        """
        stack = Stack(rows, self.prompts, self.params.seed)
        poses = VolumePoses(self.segmenter, self.data, rows) if self.params.pose == "volume" else None
        rng = np.random.Generator(np.random.PCG64([self.params.seed, 1, int(rows.index[0])]))
        degrees = round(float(rng.uniform(-self.params.degrees, self.params.degrees)), 2)
        cases: list[dict] = []
        for i in rows.index:
            cases += self._slice(i, stack, poses, degrees)
            advance(1)
        return cases, stack.rows(self.prompts)

    def _slice(self, i: int, stack: Stack, poses: VolumePoses | None, degrees: float) -> list[dict]:
        """The cases of slice `i`; its answers to the volume's requests go onto the stack."""
        data, info, (image, label) = self.data, self.data.table.iloc[i], self.data.read(i)
        standing = list(stack.request.values())
        upright = as_it_lies(image, label, info, data.by_slice.get(info["slice_id"], data.samples.iloc[:0]))
        grader, cases = Grader(label, upright.spacing), []
        for view in self._views(i, upright, degrees):
            lies = view is upright
            asked = list(dict.fromkeys([*(standing if lies else ()), *view.samples["prompt_id"]]))
            if not asked:
                continue
            alone = self.segmenter.pose(view.image[None])
            pose = poses.of(view) if poses else alone
            answer = self.segmenter.segment(view.image[None], self.prompts.of(asked), pose, among=view.labelled)
            masks = view.judged(answer.masks[:, 0])
            if lies and standing:
                stack.add(int(info["z"]), label, masks[: len(standing)])
            grade = grader if view.label is label else Grader(view.label, view.spacing)
            cases += case_rows(view, answer, masks, {prompt: p for p, prompt in enumerate(asked)}, grade, alone)
        return cases

    def _views(self, i: int, upright: View, degrees: float) -> Iterator[View]:
        """The slice as it lies, turned and rotated, by draws of its own."""
        yield upright
        rng = np.random.Generator(np.random.PCG64([self.params.seed, i]))
        for element in sorted(rng.permutation(np.arange(1, ORDER))[: self.params.turned].tolist()):
            yield turned(upright, element, self.prompts, rng)
        if rng.random() < self.params.rotated and upright.square_pixels:
            yield rotated(upright, degrees, self.targets)


def evaluate(
    trial: Trial, advance: Callable[[int], None] = lambda n: None, slices: Iterable[int] | None = None
) -> Evaluated:
    """Ask every sample of every slice, as it lies, turned and rotated; masks are compared at the scan's own resolution.

    Args:
        advance: Called with the number of slices done since.
        slices: Rows of `trial.data.table`, whole volumes; all by default. What a slice is asked doesn't hang on the
            others.
    """
    cases: list[dict] = []
    volumes: list[dict] = []
    table = trial.data.table
    chosen = table if slices is None else table.loc[list(slices)]
    for _, rows in chosen.groupby(["source", "volume"], sort=False):
        of_slices, of_volume = trial.volume(rows, advance)
        cases += of_slices
        volumes += of_volume
    return Evaluated(pd.DataFrame(cases), pd.DataFrame(volumes, columns=VOLUMES))


def case_rows(
    view: View, answer: Segmentation, masks: np.ndarray, place: dict[str, int], grade: Grader, alone: Pose
) -> list[dict]:
    """One row a sample of a view.

    Args:
        masks: The answer's, bool `[P, H, W]`, in the frame in which they are judged.
        place: Prompt id -> its place among them.
        grade: Of that frame.
        alone: The pose of the slice by itself.
    """
    found = int(answer.pose.element)
    rows = []
    for sample in view.samples.drop_duplicates(["kind", "target", "prompt_id"]).to_dict("records"):
        p = place[sample["prompt_id"]]
        understood, organ = answer.request.understood[p], sample["organ"]
        intent = understood.intent
        rows.append(
            {k: sample[k] for k in ASKED}
            | {
                "transform": view.transform,
                "degrees": view.degrees,
                "prompt_id": sample["prompt_id"],
                "text": answer.request.prompts[p],
                "understood_kind": intent.kind,
                "understood": intent.target or intent.kind,
                "understood_right": reads(intent, sample["kind"], sample["target"]),
                "negated_right": intent.negated == intent_of(sample["kind"], sample["target"]).negated,
                "confidence": round(understood.confidence, 4),
                "answered": answer.organs[p],
                "pose_found": NAMES[INVERSE[found]],
                "pose_right": found == INVERSE[view.element],
                "pose_sure": bool(answer.pose.sure),
                "pose_degrees": round(float(answer.pose.degrees), 4),
                "alone_right": int(alone.element) == INVERSE[view.element],
                "alone_sure": bool(alone.sure),
            }
            | grade.truth(organ).row
            | grade(masks[p], organ)
        )
    return rows
