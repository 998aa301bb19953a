"""Which slices a training step sees."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch

from corpus.errors import InputError
from model.data import Augmentation, SplitData, TrainingBatches, validation_steps
from tests.model.test_flans import PARAMS


def drawn(weights: list[float], steps: int) -> list[list[int]]:
    """The slices of each step, four of as many as there are weights."""
    ids = [str(i) for i in range(len(weights))]
    samples = pd.DataFrame({"slice_id": ids, "kind": "anatomy", "prompt_id": "a", "organ": "liver"})
    data: Any = SimpleNamespace(table=pd.DataFrame({"slice_id": ids, "weight": weights}), samples=samples)
    batches = TrainingBatches(
        cast(SplitData, data), None, PARAMS, split="train", batch_size=4, prompts=1, steps=steps, seed=0, augment=None
    )
    assert [batches._slices(step) for step in range(steps)] == [batches._slices(step) for step in range(steps)]
    return [list(batches._slices(step)) for step in range(steps)]


def test_slices_of_one_weight_come_once_an_epoch() -> None:
    seen = [i for step in drawn([1.0] * 8, 4) for i in step]
    assert sorted(seen[:8]) == sorted(seen[8:]) == list(range(8))
    assert seen[:8] != seen[8:]


def test_slices_are_drawn_by_weight() -> None:
    seen = Counter(i for step in drawn([1.0, 1.0, 1.0, 3.0], 500) for i in step)
    assert 900 < seen[3] < 1100
    assert all(250 < seen[i] < 420 for i in range(3))


@pytest.mark.parametrize("copies", [0, 3])
def test_a_slice_has_so_many_copies_each_with_its_own_label(copies: int) -> None:
    rng = np.random.default_rng(0)
    image, label = rng.integers(-150, 250, (2, 128, 128)).astype(np.int16), rng.integers(0, 25, (2, 128, 128), np.uint8)
    samples = pd.DataFrame({"slice_id": ["0", "1"], "kind": "anatomy", "prompt_id": "a", "organ": "liver"})
    data: Any = SimpleNamespace(
        table=pd.DataFrame({"slice_id": ["0", "1"], "weight": [1.0, 1.0]}),
        samples=samples,
        read=lambda i: (image[i], label[i]),
        labelled=lambda i: torch.ones(24, dtype=torch.bool),
    )
    augment = Augmentation(10.0, 50.0, 0.5, 0.1, 0.1, 0.1, 0.1, copies)
    batches = TrainingBatches(
        data, None, PARAMS, split="train", batch_size=4, prompts=1, steps=20, seed=0, augment=augment
    )
    seen = [batches[step] for step in range(20)]
    pictures = {image.numpy().tobytes() for batch in seen for image in batch.image}
    pairs = {
        (x.numpy().tobytes(), y.numpy().tobytes(), float(degrees))
        for batch in seen
        for x, y, degrees in zip(batch.image, batch.label, batch.degrees, strict=True)
    }
    assert len(pictures) == len(pairs) == (2 * copies or 80)
    assert all(torch.equal(batches[step].image, seen[step].image) for step in (0, 7))


@pytest.mark.parametrize("prompts", [1, 2, 3])
def test_half_of_a_batchs_prompts_name_an_organ(prompts: int) -> None:
    kinds = ("anatomy", "position", "size", "relation")
    samples = pd.DataFrame([{"slice_id": "0", "kind": kind, "prompt_id": kind, "organ": "liver"} for kind in kinds])
    known = {kind: i for i, kind in enumerate(kinds)}
    image, label = np.zeros((128, 128), np.int16), np.ones((128, 128), np.uint8)
    data: Any = SimpleNamespace(
        table=pd.DataFrame({"slice_id": ["0"], "weight": [1.0]}),
        samples=samples,
        read=lambda i: (image, label),
        labelled=lambda i: torch.ones(24, dtype=torch.bool),
    )
    texts: Any = SimpleNamespace(row=known)
    batches = TrainingBatches(
        data, texts, PARAMS, split="train", batch_size=8, prompts=prompts, steps=50, seed=0, augment=None
    )
    asked = torch.cat([batches[step].text.flatten() for step in range(50)])
    shares = torch.bincount(asked, minlength=4) / len(asked)
    assert 0.55 < shares[0] < 0.7, "half of them, and a quarter of the rest"
    assert (shares[1:] > 0.08).all()


def test_a_request_that_is_not_embedded_is_missed() -> None:
    samples = pd.DataFrame({"slice_id": ["0"], "kind": "anatomy", "prompt_id": "new", "organ": "liver"})
    data: Any = SimpleNamespace(table=pd.DataFrame({"slice_id": ["0"], "weight": [1.0]}), samples=samples)
    texts: Any = SimpleNamespace(row={"old": 0})
    with pytest.raises(InputError, match="1 samples whose request isn't embedded"):
        TrainingBatches(data, texts, PARAMS, split="train", batch_size=4, prompts=1, steps=1, seed=0, augment=None)


def test_few_slices_a_batch_are_validated_on_in_more_batches() -> None:
    assert [validation_steps(size) for size in (1, 3, 8, 64)] == [64, 22, 8, 8]
