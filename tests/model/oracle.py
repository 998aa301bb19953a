"""A segmenter that knows: it reads organs off the picture's grey values, so that what is measured is the measuring."""

from __future__ import annotations

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch

from corpus.anatomy import BY_ID, BY_NAME
from model.canonicalizer import Pose, known_pose
from model.data import SplitData
from model.groups import IDENTITY
from model.inference import Request, Segmentation
from model.testing.asked import HeldOutPrompts
from prompts.facts import mask_of
from prompts.intent import Intent
from prompts.kinds import kinds
from prompts.rules import Scene, answer
from prompts.targets import intent_of

LABELLED = [1, 2, 3, 4]
STEP_HU = 100


def picture(label: np.ndarray) -> np.ndarray:
    """A picture whose grey values say what is where."""
    return label.astype(np.int16) * STEP_HU


class Oracle:
    """Stands in for `model.inference.Segmenter`; `understood` maps texts to intents.

    Args:
        sees_too_much: An organ that it marks in a corner of every slice.
    """

    def __init__(self, understood: dict[str, Intent], sees_too_much: str | None = None) -> None:
        self.known, self.sees_too_much, self.asked = understood, sees_too_much, 0

    def read(self, prompts: list[str]) -> Request:
        """A text that isn't known by heart is known by one that it holds."""
        found = [
            self.known.get(p) or next((i for t, i in self.known.items() if t in p), Intent("none")) for p in prompts
        ]
        understood = tuple(SimpleNamespace(intent=intent, confidence=0.75) for intent in found)
        nothing: Any = torch.zeros(len(prompts))
        return Request(tuple(prompts), tuple(prompts), nothing, nothing, understood, (False,) * len(prompts))  # type: ignore[arg-type]

    def pose(self, image: np.ndarray, spacing: tuple[float, float, float] | None = None, header: bool = False) -> Pose:
        """It needs no other."""
        return known_pose(IDENTITY)

    def segment(
        self, image: np.ndarray, request: Request, pose: Pose | None = None, among: Collection[int] = ()
    ) -> Segmentation:
        """The organ that each prompt means in this picture, exactly."""
        self.asked += 1
        assert sorted(among) == LABELLED, "what nobody has labelled isn't in the way of what is"
        label = np.where(image > 0, np.rint(image / STEP_HU), 0).astype(np.uint8)
        scene, masks, organs = Scene(label, (1.0, 1.0), LABELLED), [], []
        for understood in request.understood:
            found = answer(scene, understood.intent) if understood.intent.kind != "none" else None
            organs.append(BY_ID[found.organ].name if found else None)
            mask = mask_of(label, found.organ) if found else np.zeros(label.shape, bool)
            if self.sees_too_much and understood.intent.organ == self.sees_too_much:
                mask[:, :3, :3] = True
            masks.append(mask)
        return Segmentation(np.stack(masks), tuple(organs), request, pose or self.pose(image), np.ones(len(masks)))


class Data(SplitData):
    """A split without files: `labels` are the slices of one volume, 5 mm apart."""

    def __init__(
        self, labels: list[np.ndarray], samples: list[tuple[int, str, str, str]], prompts: HeldOutPrompts
    ) -> None:
        self.labels = labels
        self.table = pd.DataFrame(
            {
                "slice_id": f"s/v/{z}",
                "source": "s",
                "patient": "s/p",
                "volume": "v",
                "z": 2 * z,
                "labelled": LABELLED,
                "height": label.shape[0],
                "width": label.shape[1],
                "spacing_z": 5.0,
                "spacing_y": 1.0,
                "spacing_x": 1.0,
                "modality": "CT",
            }
            for z, label in enumerate(labels)
        )
        rows = []
        for z, kind, target, organ in samples:
            pool = prompts.pools["anatomy" if kind == "absent" else kind, target]
            rows += [
                {"slice_id": f"s/v/{z}", "source": "s", "patient": "s/p", "organ": organ, "kind": kind}
                | {
                    "target": target,
                    "attribute": intent_of(kind, target).attribute,
                    "prompt_id": prompt,
                    "style": "lay",
                }
                for prompt in pool[:2]
            ]
        self.samples = pd.DataFrame(rows)
        self.by_slice = dict(list(self.samples.groupby("slice_id")))
        self.place = {slice_id: i for i, slice_id in enumerate(self.table["slice_id"])}

    def read(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Picture and label."""
        return picture(self.labels[i]), self.labels[i]


def held_out(oracle: Oracle) -> HeldOutPrompts:
    """What the oracle knows, as requests."""
    texts = list(oracle.known)
    pools: dict[tuple[str, str], list[str]] = {}
    for text, intent in oracle.known.items():
        for kind in kinds().values():
            if kind.intents.get(str(intent.target)) == intent:
                pools.setdefault((kind.name, str(intent.target)), []).append(text)
    styles = {text: ("expert", "trainee", "lay")[i % 3] for i, text in enumerate(texts)}
    return HeldOutPrompts(oracle.read(texts), {text: i for i, text in enumerate(texts)}, pools, styles)


def texts(ways: int = 3) -> dict[str, Intent]:
    """Some ways to ask for each of four organs, by name and by place, and to say what isn't meant."""
    found: dict[str, Intent] = {}
    for way in ("{}", "show me where the {} is, please.", "mark the {} on it")[:ways]:
        for organ in LABELLED:
            found[way.format(BY_ID[organ].name)] = Intent("anatomy", BY_ID[organ].name, None, "patient")
        for attribute in ("leftmost", "rightmost", "topmost", "bottommost"):
            found[way.format(f"{attribute} one")] = Intent("position", None, attribute)  # type: ignore[arg-type]
    found["not the other kidney, the left one"] = Intent("anatomy", "left kidney", None, "patient", True)
    return found


def body() -> np.ndarray:
    """A liver on the left, a spleen on the right of it and lower, a left kidney below; uint8 `[48, 40]`."""
    label = np.zeros((48, 40), np.uint8)
    label[10:30, 8:18], label[18:30, 24:32] = BY_NAME["liver"].id, BY_NAME["spleen"].id
    label[33:40, 15:23] = BY_NAME["left kidney"].id
    return label
