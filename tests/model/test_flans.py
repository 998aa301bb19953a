"""The assembled model: shapes, saving, and exact consistency by kind of prompt."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import cycle, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from corpus.anatomy import BY_NAME, N_ORGANS, ORGANS
from corpus.errors import InputError
from model import inference
from model.canonicalizer import SLICES_AT_ONCE, CanonicalizerParams, Pose, known_pose
from model.data import SplitData
from model.encoders.ngrams import BUCKETS, NGRAMS, ngrams
from model.encoders.text import TokenEmbeddings, Tokens
from model.flans import FLanS, ModelParams, one_hot_organs, spoken_organs
from model.groups import IDENTITY, INVERSE, ORDER, act, compose
from model.inference import MASKS_AT_ONCE, SPECK, Request, Segmenter, fastest_device
from model.intent_head import Understanding
from model.resolve import organ_scores
from model.studies.consistency import ConsistencyParams, consistency
from model.testing import evaluation
from model.testing.asked import variants_understood
from prompts.intent import KINDS, Intent
from prompts.targets import intent_of

SIZE, TEXT_DIM = 32, 12
PARAMS = ModelParams(
    size=SIZE,
    level_hu=40.0,
    width_hu=400.0,
    image_encoder="conv",
    text_encoder="sentence",
    widths=(8, 12, 16),
    dim=16,
    fine_dim=8,
    decoder_depth=2,
    resolve="geometric",
    frame="body",
)
D4 = CanonicalizerParams(
    kind="d4", order=8, residual=True, dead_zone=5.0, size=16, width=4, erased=0, sure_probability=0.9
)


class Letters:
    """A text encoder of one random vector a letter."""

    dim, limit = TEXT_DIM, 10_000

    def encode(self, texts: Sequence[str]) -> TokenEmbeddings:
        table = torch.randn(256, TEXT_DIM, generator=torch.Generator().manual_seed(1))
        letters = [ord(c) % 256 for text in texts for c in text]
        start = torch.tensor([0, *map(len, texts)]).cumsum(0)
        cue, position = torch.zeros(2, len(letters), dtype=torch.int64)
        for first, end in pairwise(start.tolist()):
            position[first:end] = torch.arange(end - first)
        spelled = ngrams(torch.tensor(letters), cue > 0, position)
        return TokenEmbeddings(table[letters], cue, spelled, start)


def tokens(embedding: Tensor) -> Tokens:
    """Prompts of such tokens, `[N, L, D]`: no cues, and any wording."""
    n, length, _ = embedding.shape
    mask, cue = torch.ones(n, length, dtype=torch.bool), torch.zeros(n, length, dtype=torch.int64)
    wording = torch.randint(BUCKETS, (n, length, NGRAMS), dtype=torch.int32)
    return Tokens(embedding, mask, cue, wording)


@pytest.fixture
def segmenter() -> Segmenter:
    torch.manual_seed(2)
    model = FLanS(PARAMS, D4, torch.randn(N_ORGANS, TEXT_DIM))
    model.canonicalizer.score.weight.data *= 1e6  # untrained scores lie so close that all would be unsure
    model.canonicalizer.angle.bias.data = torch.tensor([1.0, 0.5])  # and untrained angles would contradict them
    # Maps that differ between organs, as after training, so that there is something to resolve.
    model.organ_head.to_vector.weight.data *= 30
    model.organ_head.presence.bias.data.fill_(5.0)
    return Segmenter(model, Letters())


def asked(segmenter: Segmenter, *intents: Intent) -> Request:
    """Prompts that are understood as told, whatever the untrained intent head makes of them."""
    read = segmenter.read([f"prompt {i}" for i in range(len(intents))])
    return replace(read, understood=tuple(Understanding(i, 1.0) for i in intents))


def hu(height: int, width: int, slices: int = 1) -> np.ndarray:
    return np.random.default_rng(0).integers(-200, 300, (slices, height, width)).astype(np.int16)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"resolve": "both"}, "'geometric' or 'learned'"),
        ({"size": 30}, "must be a multiple of 8, found 30"),
        ({"decoder_depth": 0}, "decoder_depth must be at least 1"),
        ({"width_hu": 0.0}, "must be above 0"),
        ({"dim": 36}, "must be a multiple of 8, found 36"),
        ({"widths": (8, 12)}, "at least three levels"),
    ],
)
def test_a_model_that_cannot_be_built_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        replace(PARAMS, **change)


def test_shapes_and_one_encoding_for_all_prompts(segmenter: Segmenter) -> None:
    model = segmenter.model
    image = model.encode_image(torch.rand(2, 1, SIZE, SIZE))
    assert image.organs.logits.shape == (2, N_ORGANS, SIZE, SIZE)
    request = segmenter.read(["a", "bc", "def"])
    intent = type(request.intent)(**{k: v.repeat(2, 1) for k, v in vars(request.intent).items()})
    organs = one_hot_organs(torch.tensor([[1, 2, 0]] * 2))
    together = model.decode(image, request.text[torch.arange(3)].expand(2), intent, organs)
    assert together.shape == (2, 3, SIZE, SIZE)
    alone = segmenter.read(["bc"])
    intent = type(alone.intent)(**{k: v.repeat(2, 1) for k, v in vars(alone.intent).items()})
    single = model.decode(image, alone.text[torch.arange(1)].expand(2), intent, organs[:, 1:2])
    assert torch.allclose(single[:, 0], together[:, 1], atol=1e-4), "a prompt's answer doesn't depend on its neighbours"


def test_what_asks_is_read_alone(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "without_remarks", lambda texts, *_: [text.split("! ")[-1] for text in texts])
    request, plain = segmenter.read(["ab", "cd! ef", "gh. Never mind."]), segmenter.read(["ab", "ef", "Never mind."])
    assert (request.prompts, request.asked) == (("ab", "cd! ef", "gh. Never mind."), plain.prompts)
    assert torch.equal(request.text.embedding, plain.text.embedding)
    assert torch.equal(request.intent.kind, plain.intent.kind)
    assert request.understood == plain.understood


@pytest.mark.parametrize("size", [(32, 32), (33, 33), (40, 28), (41, 27)])
def test_anatomy_and_size_prompts_turn_with_the_picture(segmenter: Segmenter, size: tuple[int, int]) -> None:
    request = asked(segmenter, Intent("anatomy", "liver", None, "patient"), Intent("size", None, "largest", "image"))
    image = hu(*size)
    upright = segmenter.segment(image, request)
    assert upright.masks[0].any()
    assert upright.pose.sure
    assert upright.pose.degrees != 0, "the angle that is left is undone too"
    for g in range(ORDER):
        turned = segmenter.segment(act(g, torch.from_numpy(image)).numpy(), request)
        assert turned.organs == upright.organs
        expected = act(g, torch.from_numpy(upright.masks)).numpy()
        assert np.array_equal(turned.masks, expected)


@pytest.mark.parametrize("size", [(33, 32), (28, 41)])
def test_a_slice_that_cannot_be_padded_evenly_has_one_pose_too(segmenter: Segmenter, size: tuple[int, int]) -> None:
    image = torch.from_numpy(hu(*size))
    upright = segmenter.pose(image.numpy())
    for g in range(ORDER):
        pose = segmenter.pose(act(g, image).numpy())
        assert compose(g, int(pose.element)) == int(upright.element)
        assert torch.equal(pose.probability, upright.probability)
        assert torch.equal(pose.degrees, upright.degrees)


def test_position_prompts_speak_of_the_displayed_picture(segmenter: Segmenter) -> None:
    """The leftmost organ of a mirrored slice is the rightmost of the slice."""
    left, right = Intent("position", None, "leftmost", "image"), Intent("position", None, "rightmost", "image")
    image = hu(SIZE, SIZE)
    upright = segmenter.segment(image, asked(segmenter, left, right))
    mirrored = segmenter.segment(image[..., ::-1].copy(), asked(segmenter, right, left))
    assert upright.organs == mirrored.organs
    assert np.array_equal(mirrored.masks, upright.masks[..., ::-1])


def test_consistency_is_measured_for_every_kind(segmenter: Segmenter) -> None:
    asked_of = {
        "anatomy": ["liver"],
        "position": ["topmost", "leftmost", "rightmost", "bottommost"],
        "size": ["largest"],
        "ordinal": ["second leftmost", "second rightmost", "second topmost", "second bottommost"],
        "relation": ["above liver", "below liver", "left of liver", "right of liver"],
        "displayed": ["leftmost kidney", "rightmost kidney"],
        "negated": ["left kidney"],
    }
    targets = [(kind, target) for kind, all_of_it in asked_of.items() for target in all_of_it]
    ids = [f"{kind} {target}" for kind, target in targets]
    intents = [intent_of(kind, target) for kind, target in targets]
    prompts = evaluation.HeldOutPrompts(
        asked(segmenter, *intents),
        {name: n for n, name in enumerate(ids)},
        {pair: [name] for pair, name in zip(targets, ids, strict=True)},
        dict.fromkeys(ids, "lay"),
    )
    samples = pd.DataFrame(
        {"slice_id": "a", "kind": kind, "target": of_it[0], "attribute": None, "style": "lay"}
        | {"prompt_id": f"{kind} {of_it[0]}"}
        for kind, of_it in asked_of.items()
    )
    table = pd.DataFrame([{"slice_id": "a", "patient": "x", "spacing_y": 2.0, "spacing_x": 2.0}])
    data = SimpleNamespace(
        table=table, by_slice={"a": samples}, some=lambda count: [0], read=lambda i: (hu(41, 27)[0], None)
    )
    rows = consistency(segmenter, cast(SplitData, data), prompts, ConsistencyParams(slices=3, angles=2, degrees=30.0))
    turned, rotated = rows[rows["transform"] != "rotated"], rows[rows["transform"] == "rotated"]
    views = turned.groupby("kind").size()
    assert views.pop("displayed") == 3, "turned by a quarter, neither kidney is the left one of the picture"
    assert dict(views) == dict.fromkeys(set(asked_of) - {"displayed"}, ORDER - 1)
    assert turned["sure"].all()
    assert rows["read"].all()
    assert (turned["dice"] == 1).all()
    assert set(rotated["kind"]) == {"anatomy", "size", "negated"}
    assert (rotated["degrees"].abs() <= 30).all()


def test_the_slices_of_a_volume_share_one_pose_and_a_given_pose_is_kept(segmenter: Segmenter) -> None:
    request = asked(segmenter, Intent("anatomy", "spleen", None, "patient"))
    result = segmenter.segment(hu(SIZE, SIZE, 3), request)
    assert result.masks.shape == (1, 3, SIZE, SIZE)
    assert result.pose.element.shape == (1,)
    known = Pose(torch.tensor([INVERSE[1]]), torch.zeros(1), torch.ones(1), torch.ones(1, dtype=torch.bool))
    assert segmenter.segment(hu(SIZE, SIZE), request, pose=known).pose is known


def test_masks_are_brought_to_the_scans_size_a_few_at_a_time(
    segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are asked for, and wherever one stands among them."""
    request = asked(segmenter, *(Intent("anatomy", organ.name, None, "patient") for organ in ORGANS))
    together, to_scan = [], Segmenter._to_scan

    def watched(self: Segmenter, logits: Tensor, *others: Any) -> Tensor:
        together.append(len(logits))
        return to_scan(logits, *others)

    monkeypatch.setattr(Segmenter, "_to_scan", watched)
    whole = segmenter.segment(hu(40, 32, 3), request).masks
    assert whole.shape == (N_ORGANS, 3, 40, 32)
    assert len({mask.tobytes() for mask in whole}) > 1
    assert max(together) == MASKS_AT_ONCE < N_ORGANS
    assert sum(together) == 3 * N_ORGANS
    monkeypatch.setattr("model.inference.MASKS_AT_ONCE", 1)
    assert np.array_equal(segmenter.segment(hu(40, 32, 3), request).masks, whole)


def test_strays_of_a_volume_are_dropped_and_pairs_kept(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = torch.zeros(1, 4, 20, 20, dtype=torch.bool)
    pair[0, 1:3, 2:7, 2:7] = pair[0, 1:3, 12:17, 12:16] = True
    found = pair.clone()
    found[0, 0, 19, 0] = found[0, 3, 0, 18:] = found[0, 2, 10, 10] = True
    slices = cycle(range(4))
    monkeypatch.setattr(Segmenter, "_to_scan", lambda self, *_: found[:, next(slices)].clone())
    request, pose = asked(segmenter, Intent("anatomy", "liver", None, "patient")), known_pose(IDENTITY)
    assert np.array_equal(segmenter.segment(hu(20, 20, 4), request, pose).masks, pair)
    found[:] = False
    assert not segmenter.segment(hu(20, 20, 4), request, pose).masks.any()


def test_a_stray_of_a_volume_is_nobodys_neighbour(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of the spleen is looked for among the shapes that the masks would show; of a slice, among all."""
    labels = torch.zeros(4, SIZE, SIZE, dtype=torch.uint8)
    labels[:, 4:28, 2:10], labels[:, 4:28, 22:30] = BY_NAME["liver"].id, BY_NAME["spleen"].id
    labels[:, 12:20, 2:5] = BY_NAME["stomach"].id
    labels[2, 14:16, 14:18] = BY_NAME["stomach"].id
    slices = cycle(range(4))
    monkeypatch.setattr("model.inference.label_to_scan", lambda *_: labels[next(slices)].clone())
    monkeypatch.setattr("model.inference.surest", lambda scores: torch.ones(len(scores), N_ORGANS + 1))
    request = asked(segmenter, Intent("relation", "spleen", relation="left of"))
    assert segmenter.segment(hu(SIZE, SIZE, 4), request, known_pose(IDENTITY)).organs == ("liver",)
    slices = cycle([2])
    assert segmenter.segment(hu(SIZE, SIZE), request, known_pose(IDENTITY)).organs == ("stomach",)


def test_of_a_slice_alone_a_speck_is_no_answer(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    found = torch.zeros(1, SIZE, SIZE, dtype=torch.bool)  # a picture of the network's own size
    monkeypatch.setattr(Segmenter, "_to_scan", lambda self, logits, *_: found.repeat(len(logits), 1, 1))
    intents = Intent("anatomy", "liver", None, "patient"), Intent("size", None, "largest", "image")
    request, pose = asked(segmenter, *intents), known_pose(IDENTITY)
    found[0, 3, 5 : 5 + SPECK - 1] = True
    named, largest = segmenter.segment(hu(SIZE, SIZE), request, pose).masks
    assert not named.any()
    assert np.array_equal(largest, found.numpy()), "geometry has found it in the picture: it is there"
    found[0, 9, 9 : 9 + SPECK] = True
    named, _ = segmenter.segment(hu(SIZE, SIZE), request, pose).masks
    assert np.array_equal(named, found.numpy()), "small parts may stay"


def test_how_sure_the_surest_pixel_is(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.full((20, 2, SIZE, SIZE), -2.0)
    logits[17, 0, 3, 3], logits[2, 1, 5, 5] = 3.0, -1.0
    parts = iter(logits.split(SLICES_AT_ONCE))
    monkeypatch.setattr(segmenter.model, "decode", lambda *_: next(parts).clone())
    intents = (Intent("anatomy", organ, None, "patient") for organ in ("liver", "spleen"))
    result = segmenter.segment(hu(SIZE, SIZE, 20), asked(segmenter, *intents), known_pose(IDENTITY))
    assert np.allclose(result.surest, torch.tensor([3.0, -1.0]).sigmoid().numpy())
    assert [bool(mask.any()) for mask in result.masks] == [True, False]


def test_no_request_gives_an_empty_mask(segmenter: Segmenter) -> None:
    result = segmenter.segment(hu(SIZE, SIZE), asked(segmenter, Intent("none", None, None, "image")))
    assert not result.masks.any()
    assert result.organs == (None,)
    assert result.surest == pytest.approx(0)


def test_a_checkpoint_gives_the_same_answers(segmenter: Segmenter, tmp_path: Path) -> None:
    segmenter.model.save_pretrained(tmp_path, {"stage": "test"})
    again = Segmenter(FLanS.from_pretrained(tmp_path), Letters())
    request = asked(segmenter, Intent("anatomy", "liver", None, "patient"))
    image = hu(SIZE, SIZE)
    assert np.array_equal(again.segment(image, request).masks, segmenter.segment(image, request).masks)
    assert "not a medical device" in (tmp_path / "README.md").read_text()


def test_structures_that_training_never_labelled_are_no_answer(
    segmenter: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.inference.build_text_encoder", lambda params, file: Letters())
    monkeypatch.setenv("FLANS_ACCELERATOR", "cpu")
    sources = {"ours": {"slices": 9, "volumes": 1, "modality": ["CT"], "organs": ["liver", "kidney"]}}
    rest: dict[str, Any] = {"patients": {}, "slices": {}, "dataset_sha256": {"samples.parquet": "0123"}}
    segmenter.model.save_pretrained(tmp_path, {"stage": "test", "sources": sources, **rest})
    known = Segmenter.from_pretrained(tmp_path).known
    assert known == {BY_NAME["liver"].id, BY_NAME["kidney"].id}
    segmenter.model.save_pretrained(tmp_path, {"stage": "test"})
    assert list(Segmenter.from_pretrained(tmp_path).known) == list(range(1, N_ORGANS + 1))


def test_a_place_is_looked_for_among_those_that_it_may_be(
    segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    competed: list[set[int]] = []

    def scores(logits: Tensor, presence: Tensor, competing: set[int]) -> Tensor:
        competed.append(competing)
        return organ_scores(logits, presence, competing)

    monkeypatch.setattr("model.inference.organ_scores", scores)
    left, right, both = (BY_NAME[name].id for name in ("left kidney", "right kidney", "kidney"))
    segmenter.known = {1, 2, left, right}
    request = asked(segmenter, Intent("position", None, "leftmost"))
    segmenter.segment(hu(32, 32), request)
    answer = segmenter.segment(hu(32, 32), request, among=[2, both, BY_NAME["aorta"].id])
    assert competed == [{1, 2, left, right, both}, {2, both}]
    assert answer.organs[0] in ("spleen", "kidney", None)


def test_a_data_set_without_variants_has_none_to_understand(segmenter: Segmenter) -> None:
    assert variants_understood(segmenter, pd.DataFrame({"split": ["train"]})) == {}


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json"):
        FLanS.from_pretrained(tmp_path)


def test_learned_resolution_answers_without_geometry(segmenter: Segmenter) -> None:
    torch.manual_seed(0)
    learned = ModelParams(**(vars(PARAMS) | {"resolve": "learned"}))
    model = Segmenter(FLanS(learned, D4, torch.randn(N_ORGANS, TEXT_DIM)), Letters())
    result = model.segment(hu(SIZE, SIZE), asked(model, Intent("position", None, "leftmost", "image")))
    assert result.masks.shape == (1, 1, SIZE, SIZE)
    assert result.organs == (None,)


@pytest.mark.parametrize(
    ("gpu", "accelerator", "device"),
    [(False, "", "cpu"), (True, "", "cuda"), (True, "cpu", "cpu"), (True, "auto", "cuda")],
)
def test_the_gpu_is_taken_unless_the_cpu_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, accelerator: str, device: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setenv("FLANS_ACCELERATOR", accelerator)
    assert fastest_device() == torch.device(device)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_answers_as_the_cpu_does(segmenter: Segmenter) -> None:
    prompts = (Intent("anatomy", "liver", None, "patient"), Intent("position", None, "leftmost", "image"))
    image = hu(40, 28, slices=SLICES_AT_ONCE + 3)
    there = Segmenter(deepcopy(segmenter.model), segmenter.encoder, torch.device("cuda"))
    expected, found = (each.segment(image, asked(each, *prompts)) for each in (segmenter, there))
    assert found.organs == expected.organs
    assert expected.masks.any()
    assert (found.masks == expected.masks).mean() > 0.999, "but for rounding"


def test_a_request_that_names_no_organ_speaks_of_none() -> None:
    kinds = torch.full((3, len(KINDS)), -20.0)
    for row, kind in enumerate(("anatomy", "position", "relation")):
        kinds[row, KINDS.index(kind)] = 20.0
    organ = torch.full((3, 25), -20.0)
    organ[:, 7] = 20.0
    intent: Any = SimpleNamespace(kind=kinds, organ=organ)
    spoken = spoken_organs(intent)
    assert torch.allclose(spoken.sum(-1), torch.ones(3))
    assert spoken.argmax(-1).tolist() == [7, 0, 7]
