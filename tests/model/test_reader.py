"""What the reader sees of a text's cues."""

from __future__ import annotations

import torch
from torch import Tensor

from model.encoders.ngrams import NGRAMS
from model.encoders.text import Tokens
from model.intent_head import UNCUED, UNTOLD, Reader
from prompts.wording.cues import NUMBERS, PICTURES

TEXTS, DIM = 4000, 8


def share_seen(reader: Reader, name: str) -> float:
    """Of texts of one word, which has a cue, the share in which the reader sees it."""
    seen: list[Tensor] = []
    hook = reader.cue.register_forward_hook(lambda module, arguments, found: seen.append(arguments[0]))
    cue = torch.full((TEXTS, 1), NUMBERS[name])
    none = torch.zeros(TEXTS, 1, NGRAMS, dtype=torch.int32)
    reader(Tokens(torch.zeros(TEXTS, 1, DIM), torch.ones(TEXTS, 1, dtype=torch.bool), cue, none))
    hook.remove()
    return float((seen[0] != 0).float().mean())


def test_training_hides_cues_and_more_often_that_a_side_is_the_pictures() -> None:
    torch.manual_seed(0)
    reader = Reader(DIM, DIM, layers=1)
    assert abs(share_seen(reader, "largest") - (1 - UNCUED)) < 0.02
    assert abs(share_seen(reader, PICTURES) - (1 - UNCUED) * (1 - UNTOLD)) < 0.02
    reader.eval()
    assert share_seen(reader, PICTURES) == share_seen(reader, "largest") == 1
