"""`flans bench model`: what more prompts on a slice cost, in use and in training, and what finding its pose costs.

The weights are random, and what would hang on them is given: every request is taken for what it is, whatever an
untrained intent head makes of it, so that position and size prompts take their way through the organ maps; and the
slice is taken to lie straight, or askew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from statistics import median
from time import perf_counter

import numpy as np
import pandas as pd
import torch
from rich.table import Table
from torch import nn

from corpus.anatomy import N_ORGANS, ORGANS
from corpus.params import PARAMS, load_params, validated
from model.canonicalizer import CanonicalizerParams
from model.data import Batch
from model.encoders.text import build_text_encoder
from model.encoders.tuned_layers import load_tuned_layers
from model.flans import FLanS, ModelParams
from model.framing import to_network
from model.inference import Segmenter, fastest_device
from model.intent_head import IntentTargets, Understanding
from model.texts import Texts, name_embeddings
from model.training.loop import training_step
from model.training.objectives import LossWeights, SegmenterObjective
from model.training.optimizer import build_optimizer
from model.training.params import TrainParams
from model.training.processes import launch
from pipelines.stage import progress, results
from prompts.intent import ATTRIBUTES, SIZES, Intent


def _requests() -> Iterator[tuple[str, Intent]]:
    """24 requests: three for an organ, one for a position or a size, and so on."""
    for i, attribute in enumerate(ATTRIBUTES):
        for organ in ORGANS[3 * i : 3 * i + 3]:
            yield f"outline the {organ.name}", Intent("anatomy", organ.name, frame="patient")
        yield f"mark the {attribute} structure", Intent("size" if attribute in SIZES else "position", None, attribute)


REQUESTS = list(_requests())
LYING = {"straight": 0.0, "askew": 20.0}
"""How a slice may lie, in degrees: where it lies askew, a second look is taken."""


def bench_model(kind: str | None, prompts: Sequence[int], repeats: int, size: int | None = None) -> dict:
    """Measure the model of params.yaml, on one slice.

    Args:
        kind: The image encoder; None: that of params.yaml.
        prompts: Numbers of prompts.
        repeats: Runs of each, after a first that doesn't count; the median is given.
        size: Side of the slice in pixels; None: that of params.yaml.

    Returns:
        `encoder`, `size`, `device`, `threads`; `straight_ms` and `askew_ms`, what finding the pose takes; and `rows`,
        one a number of prompts: `prompts`, `read_ms` (text encoder and intent head), `segment_ms` (all else, from HU to
        masks), `train_ms` (a training step on tokens read before).
    """
    changes = {name: value for name, value in (("image_encoder", kind), ("size", size)) if value is not None}
    params = validated(load_params("model", dict) | changes, ModelParams, PARAMS, "model")
    torch.set_num_threads(load_params("train_segmenter", TrainParams).threads)
    torch.manual_seed(0)
    encoder = build_text_encoder(params.text_encoder)
    tuned = load_tuned_layers(params.text_encoder).shape
    model = FLanS(params, load_params("canonicalizer", CanonicalizerParams), name_embeddings(encoder), tuned)
    lying = {name: Segmenter(_lying(model, degrees), encoder, fastest_device()) for name, degrees in LYING.items()}
    segmenter = lying["straight"]
    image = np.random.default_rng(0).integers(-160, 240, (1, params.size, params.size)).astype(np.int16)
    with progress(f"bench model {params.image_encoder.kind}", 3 * len(prompts) + len(LYING)) as advance:

        def timed(run: Callable[[], object]) -> float:
            milliseconds = _median_ms(run, repeats)
            advance()
            return milliseconds

        x, _ = to_network(image, params)
        poses = {f"{name}_ms": timed(partial(each.pose, image)) for name, each in lying.items()}
        rows = []
        for n in prompts:
            texts, intents = _asked(n)
            read = segmenter.read(texts)
            request = replace(read, understood=tuple(Understanding(i, 1.0) for i in intents))
            row = {"prompts": n, "read_ms": timed(partial(segmenter.read, texts))}
            row["segment_ms"] = timed(partial(segmenter.segment, image, request))
            rows.append(row)
        for row, n in zip(rows, prompts, strict=True):
            row["train_ms"] = timed(_training(segmenter, x, n))
    return {
        "encoder": params.image_encoder.kind,
        "size": params.size,
        "device": str(segmenter.device),
        "threads": torch.get_num_threads(),
        **poses,
        "rows": rows,
    }


def _lying(model: FLanS, degrees: float) -> FLanS:
    """A copy that finds every slice to lie askew by so much."""
    model = deepcopy(model)
    if model.canonicalizer.learns:
        angle = torch.tensor(degrees).deg2rad()
        nn.init.zeros_(model.canonicalizer.angle.weight)
        model.canonicalizer.angle.bias.data = torch.stack([angle.cos(), angle.sin()])
    return model


def _asked(n: int) -> tuple[list[str], list[Intent]]:
    chosen = list(islice(cycle(REQUESTS), n))
    return [text for text, _ in chosen], [intent for _, intent in chosen]


def _training(segmenter: Segmenter, x: torch.Tensor, prompts: int) -> Callable[[], object]:
    """A training step of the segmenter on a slice `[1, 1, S, S]` with so many prompts."""
    texts, intents = _asked(prompts)
    read = Texts(pd.DataFrame({"text": texts}), segmenter.encoder.encode(texts), IntentTargets.of(intents), {})
    fabric = launch(alone=True)
    objective = SegmenterObjective(segmenter.model, read, LossWeights()).train()
    params = replace(load_params("train_segmenter", TrainParams), learning_rate=1e-5)
    module, optimizer = fabric.setup(objective, build_optimizer(objective, params, fabric))
    rows = torch.arange(prompts)
    label = torch.randint(N_ORGANS + 1, x.shape[1:], dtype=torch.uint8)
    labelled = torch.ones(1, N_ORGANS, dtype=torch.bool)
    batch = Batch(x, label, labelled, rows[None], rows[None] % N_ORGANS + 1, torch.zeros(1))
    return partial(training_step, fabric, module, optimizer, batch.to(fabric.device))


def _median_ms(run: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats + 1):
        start = perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(perf_counter() - start)
    return round(1000 * median(times[1:]), 2)


def show(figures: dict) -> None:
    """Print the figures, each beside how many times as long as one prompt it takes."""
    size, threads = figures["size"], figures["threads"]
    title = f"{figures['encoder']}: one slice of {size} x {size} pixels, on {figures['device']}, {threads} CPU threads"
    table = Table(title=title, title_justify="left")
    for column in ("prompts", "read, ms", "segment, ms", "both, times", "training step, ms", "times"):
        table.add_column(column, justify="right")
    first = figures["rows"][0]
    for row in figures["rows"]:
        both = (row["read_ms"] + row["segment_ms"]) / (first["read_ms"] + first["segment_ms"])
        times = row["train_ms"] / first["train_ms"]
        cells = (f"{row[name]:.1f}" for name in ("read_ms", "segment_ms"))
        table.add_row(str(row["prompts"]), *cells, f"{both:.2f}", f"{row['train_ms']:.1f}", f"{times:.2f}")
    results.print(table)
    for name in LYING:
        found = figures[f"{name}_ms"]
        share = found / (first["read_ms"] + first["segment_ms"])
        results.print(f"the pose of a slice that lies {name}: {found:.1f} ms, {share:.1%} of the first row's two")
