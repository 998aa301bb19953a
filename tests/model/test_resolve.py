"""What an intent means on maps: the same structure however the picture is turned, and intents that are read whole."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from corpus.anatomy import BY_NAME, N_ORGANS
from model.encoders.ngrams import NGRAMS
from model.encoders.text import CUE_CODES, TokenEmbeddings, equally_long
from model.encoders.tuned_layers import TunedLayers, TunedShape
from model.groups import ORDER, act
from model.intent_head import CLASSES, PARTS, IntentHead, IntentLogits, IntentTargets, understand
from model.resolve import Seen, by_geometry, organ_scores, predicted_labels, resolve, surest
from model.testing.asked import HeldOutPrompts, turn_intent, turn_prompts
from model.training.losses import intent_loss
from prompts.intent import KINDS, Intent
from prompts.kinds import kinds
from prompts.rules import answer
from tests.model.test_flans import tokens

INTENTS = [intent for kind in kinds().values() for intent in kind.intents.values()]


def label_map() -> torch.Tensor:
    """Eleven structures on a square, all of different sizes and in different places."""
    label = torch.zeros(1, 64, 64, dtype=torch.uint8)
    blocks = {"liver": (8, 36, 3, 24), "spleen": (14, 32, 50, 60), "right kidney": (38, 50, 10, 18)}
    blocks |= {"left kidney": (39, 52, 44, 53), "aorta": (40, 45, 30, 35), "stomach": (5, 18, 30, 48)}
    blocks |= {"right adrenal gland": (37, 40, 22, 25), "left adrenal gland": (34, 38, 41, 43)}
    blocks |= {"inferior vena cava": (41, 47, 22, 27), "left head of femur": (55, 62, 46, 52)}
    for name, (r0, r1, c0, c1) in (blocks | {"right head of femur": (54, 62, 4, 10)}).items():
        label[0, r0:r1, c0:c1] = BY_NAME[name].id
    return label


def seen(labels: torch.Tensor, pixel: float = 1.0, **unsure: float) -> Seen:
    """Of structures that are sure, but for those whose sureness is given."""
    sureness = torch.ones(N_ORGANS + 1)
    for name, probability in unsure.items():
        sureness[BY_NAME[name].id] = probability
    return Seen(labels, pixel, sureness)


@pytest.mark.parametrize("element", range(ORDER))
def test_whatever_is_asked_for_turns_with_the_picture(element: int) -> None:
    upright, turned = seen(label_map(), 0.5), seen(act(element, label_map()), 0.5)
    resolved = asked = 0
    for intent in filter(by_geometry, INTENTS):
        clear = answer(upright.scene(intent), intent)
        if clear is None or clear.margin > 0:
            now = turn_intent(intent, element)
            if now is None:
                assert intent.kind == "anatomy"
                continue
            asked += 1
            resolved += clear is not None
            assert resolve(turned, now) == resolve(upright, intent), (intent, now)
    assert resolved > 35
    assert asked > 80


def test_only_who_shares_a_slice_with_it_is_a_structures_neighbor() -> None:
    """Of a volume: whose distance within a slice isn't known isn't near, and lies on no side."""
    label = torch.zeros(3, 16, 16, dtype=torch.uint8)
    label[0, 6:9, 2:4] = BY_NAME["liver"].id
    label[1, 6:9, 12:14] = BY_NAME["spleen"].id
    label[2, 6:9, 10:11] = BY_NAME["bladder"].id
    left_of, right_of = (Intent("relation", "bladder", relation=side) for side in ("left of", "right of"))
    assert resolve(seen(label, 0.1), right_of) is None, "neither the spleen nor, on the other side, the liver"
    assert resolve(seen(label, 0.1), left_of) is None
    label[2, 6:9, 14:15] = BY_NAME["rectum"].id
    assert resolve(seen(label, 0.1), right_of) == "rectum"
    assert resolve(seen(label, 0.1), left_of) is None


def test_a_mirrored_picture_shows_the_other_kidney_on_its_left() -> None:
    intent = Intent("anatomy", "right adrenal gland", "leftmost", "image")
    assert resolve(seen(label_map()), intent) == "right adrenal gland"
    assert resolve(seen(label_map().flip(-1)), intent) == "left adrenal gland"
    assert turn_intent(intent, 4) == Intent("anatomy", "left adrenal gland", "rightmost", "image")


def test_specks_do_not_compete_unless_there_is_nothing_else() -> None:
    label = torch.zeros(1, 16, 16, dtype=torch.uint8)
    label[0, 3, 1] = BY_NAME["aorta"].id
    leftmost = Intent("position", None, "leftmost")
    assert resolve(seen(label), leftmost) == "aorta"
    label[0, 4:9, 5:9] = BY_NAME["liver"].id
    assert resolve(seen(label), leftmost) == "liver"
    assert resolve(seen(label), Intent("relation", "aorta", relation="right of")) == "liver", "but for what is named"
    assert resolve(seen(torch.zeros_like(label)), leftmost) is None


def test_what_is_nowhere_sure_does_not_compete_unless_there_is_nothing_else() -> None:
    largest, named = Intent("size", None, "largest"), Intent("relation", "liver", relation="left of")
    assert resolve(seen(label_map(), liver=0.95), largest) == "liver"
    assert resolve(seen(label_map(), liver=0.94), largest) == "stomach"
    assert resolve(seen(label_map(), liver=0.94), named) == resolve(seen(label_map()), named), "but for what is named"
    alone = torch.where(label_map() == BY_NAME["liver"].id, label_map(), 0)
    assert resolve(seen(alone, liver=0.94), largest) == "liver"


def test_every_pixel_goes_to_its_likeliest_organ_or_to_none() -> None:
    liver, aorta, kidney = (BY_NAME[name].id for name in ("liver", "aorta", "kidney"))
    logits, presence = torch.full((1, N_ORGANS, 1, 4), -9.0), torch.full((1, N_ORGANS), 9.0)
    logits[0, liver - 1, 0] = torch.tensor([4.0, 1.0, 0.0, -1.0])
    logits[0, aorta - 1, 0] = torch.tensor([-9.0, 2.0, -9.0, -9.0])
    logits[0, kidney - 1] = 20.0
    scores = organ_scores(logits, presence, range(1, N_ORGANS + 1))
    assert predicted_labels(scores).tolist() == [[[liver, aorta, 0, 0]]], (
        "a union doesn't compete, an even chance is none"
    )
    sureness = surest(scores)[0]
    assert sureness[liver] == pytest.approx(1 / (1 + np.exp(-4)), abs=0.01)
    assert sureness[aorta] == pytest.approx(np.exp(2) / (1 + np.exp(1) + np.exp(2)), abs=0.01)
    assert sureness[kidney] == 0
    presence[0, aorta - 1] = -9.0
    absent = organ_scores(logits, presence, range(1, N_ORGANS + 1))
    assert predicted_labels(absent).tolist() == [[[liver, liver, 0, 0]]]
    assert predicted_labels(organ_scores(logits, presence, [aorta])).sum() == 0


def test_a_union_competes_where_its_parts_are_not_known() -> None:
    liver, kidney = (BY_NAME[name].id for name in ("liver", "kidney"))
    logits, presence = torch.full((1, N_ORGANS, 20, 20), -9.0), torch.full((1, N_ORGANS), 9.0)
    logits[0, kidney - 1, :, :12] = 9.0
    logits[0, liver - 1, :, 12:] = 9.0
    scores = organ_scores(logits, presence, {liver, kidney})
    labels = predicted_labels(scores)
    assert set(labels.unique().tolist()) == {liver, kidney}
    shown = Seen(labels, 1.0, surest(scores)[0], {liver, kidney})
    assert resolve(shown, Intent("size", None, "largest", "image")) == "kidney"
    assert resolve(shown, Intent("position", None, "leftmost", "image")) == "kidney"


def sharp(targets: IntentTargets) -> IntentLogits:
    """Logits that say what the targets are, and nothing else."""
    values = [torch.nn.functional.one_hot(getattr(targets, part), n) * 30.0 for part, n in CLASSES.items()]
    return IntentLogits(*values, torch.zeros(len(targets.kind), 4))


def test_every_intent_is_read_as_it_was_written() -> None:
    targets = IntentTargets.of([*INTENTS, Intent("none")])
    logits = sharp(targets)
    read = understand(logits)
    assert [u.intent for u in read] == [*INTENTS, Intent("none")]
    assert min(u.confidence for u in read) > 0.999
    assert intent_loss(logits, targets) < 1e-3
    for part in PARTS:
        wrong = replace(logits, **{part: -getattr(logits, part)})
        assert intent_loss(wrong, targets) > 1, part


def test_whatever_the_heads_say_the_intent_is_valid() -> None:
    torch.manual_seed(0)
    head = IntentHead(TunedLayers(8, TunedShape()), 8, 8).eval()
    shape = (300, 5)
    text = tokens(torch.randn(*shape, 8) * 9)
    text = replace(text, cue=torch.randint(CUE_CODES, shape))
    for read in understand(head(text)):
        assert 0 < read.confidence <= 1


def test_the_second_opinion_counts_for_less_than_the_reader() -> None:
    head = IntentHead(TunedLayers(8, TunedShape()), 8, 8).eval()
    text = tokens(torch.randn(3, 5, 8))

    def kinds_read(*sureness: float) -> list[int]:
        """What is understood where each opinion is so sure of a kind of its own."""
        for place, (opinion, logit) in enumerate(zip((head.reader, head.second), sureness, strict=True)):
            opinion.classify["kind"].weight.data.zero_()
            opinion.classify["kind"].bias.data.zero_()[place] = logit
        return head(text).kind.argmax(1).tolist()

    assert kinds_read(5.0, 5.0) == [0] * 3, "both are as sure"
    assert kinds_read(5.0, 10.0) == [0] * 3, "the second is surer"
    assert kinds_read(0.0, 5.0) == [1] * 3, "the reader doesn't know"


def test_what_is_too_unsure_asks_for_nothing() -> None:
    targets = IntentTargets.of([Intent("anatomy", "liver", frame="patient")] * 2)
    logits = sharp(targets)
    torn, kind = logits.organ.clone(), logits.kind.clone()
    torn[1] = 0.0
    kind[1, KINDS.index("none")] = kind[1].max() - 1
    sure, unsure = understand(replace(logits, organ=torn, kind=kind))
    assert sure.intent.organ == "liver"
    assert unsure.intent == Intent("none")
    assert unsure.confidence == pytest.approx(1 / (1 + math.e), abs=1e-3), "how likely it is that nothing is asked for"


def test_what_is_read_does_not_hang_on_its_company() -> None:
    torch.manual_seed(0)
    head = IntentHead(TunedLayers(8, TunedShape(layers=1, heads=2)), 8, 8).eval()
    lengths = torch.tensor([5, 3, 9, 3, 5, 1, 3])
    n = int(lengths.sum())
    start = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    ends = torch.randint(0, 50, (n, NGRAMS), dtype=torch.int32)
    text = TokenEmbeddings(torch.randn(n, 8).half(), torch.randint(CUE_CODES, (n,)), ends, start)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        together = head.by_length(text, 2)
        for i in range(len(lengths)):
            alone = head.by_length(text.take(torch.tensor([i])), 2)
            for part in PARTS:
                assert torch.equal(getattr(alone, part)[0], getattr(together, part)[i]), part


def test_batches_are_of_texts_of_one_length() -> None:
    lengths = torch.tensor([5, 3, 9, 3, 5, 1, 3])
    assert [rows.tolist() for rows in equally_long(lengths, 2)] == [[5], [1, 3], [6], [0, 4], [2]]
    assert list(equally_long(lengths[:0], 2)) == []


def test_turned_samples_are_asked_for_in_the_turned_pictures_words() -> None:
    cases = [("position", "leftmost", "liver"), ("relation", "left of aorta", "inferior vena cava")]
    cases += [("displayed", "leftmost kidney", "right kidney"), ("negated", "right kidney", "right kidney")]
    cases += [("ordinal", "second leftmost", "liver"), ("absent", "lung", "lung")]
    samples = pd.DataFrame(cases, columns=["kind", "target", "organ"]).assign(attribute=None, style="lay")
    samples = samples.assign(prompt_id="asked before")
    pools = {(kind.name, target): [f"{kind.name}: {target}"] for kind in kinds().values() for target in kind.intents}
    held_out = HeldOutPrompts(None, {}, pools, dict.fromkeys((p for pool in pools.values() for p in pool), "expert"))  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    mirrored = turn_prompts(samples, 4, held_out, rng).set_index("kind")
    assert mirrored.loc["position", "prompt_id"] == "position: rightmost"
    assert mirrored.loc["relation", "prompt_id"] == "relation: right of aorta"
    assert mirrored.loc["displayed", "prompt_id"] == "displayed: rightmost kidney"
    assert mirrored.loc["ordinal", ["target", "style"]].tolist() == ["second rightmost", "expert"]
    assert mirrored.loc[["negated", "absent"], "prompt_id"].tolist() == ["asked before"] * 2
    quarter = turn_prompts(samples, 1, held_out, rng)
    assert "displayed" not in set(quarter["kind"])
    assert "relation: below aorta" in set(quarter["prompt_id"])
