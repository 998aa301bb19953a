"""Attention is the same however it is computed, and a layer's is PyTorch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from model.attention import EncoderLayer, attend

LENGTHS = torch.tensor([5, 7, 1])
MASK = torch.arange(7) < LENGTHS[:, None]


@pytest.mark.parametrize("kind", ["none", "bool", "float"])
def test_bfloat16_attends_to_the_same(kind: str) -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(3, 4, 7, 8, dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
    bias = torch.randn(4, 7, 7)
    mask = {"none": None, "bool": MASK[:, None, None], "float": bias.bfloat16()}[kind]
    found = attend(q, k, v, mask)
    whole = None if mask is None else mask if kind == "bool" else mask.float()
    expected = F.scaled_dot_product_attention(q.float(), k.float(), v.float(), whole)
    torch.testing.assert_close(found.float(), expected, atol=3e-2, rtol=0)
    weights = torch.randn_like(expected)
    own, theirs = (torch.autograd.grad((x * weights).sum(), (q, k, v), retain_graph=True) for x in (found, expected))
    for a, b in zip(own, theirs, strict=True):
        torch.testing.assert_close(a.float(), b.float(), atol=6e-2, rtol=3e-2)
    if kind == "bool":
        assert not own[1][0, :, 5:].any(), "what is not attended to gets no gradient"


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_layer_is_pytorchs(norm_first: bool) -> None:
    torch.manual_seed(0)
    layer = EncoderLayer(16, 4, 32, norm_first)
    theirs = nn.TransformerEncoderLayer(16, 4, 32, 0.0, "gelu", batch_first=True, norm_first=norm_first)
    own, attention = layer.attention, theirs.self_attn
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat([own.q.weight, own.k.weight, own.v.weight]))
        attention.in_proj_bias.copy_(torch.cat([own.q.bias, own.k.bias, own.v.bias]))
    for a, b in (
        (own.out, attention.out_proj),
        (layer.mlp[0], theirs.linear1),
        (layer.mlp[2], theirs.linear2),
        (layer.norms[0], theirs.norm1),
        (layer.norms[1], theirs.norm2),
    ):
        b.load_state_dict(a.state_dict())
    x = torch.randn(3, 7, 16)
    expected = theirs(x, src_key_padding_mask=~MASK)
    torch.testing.assert_close(layer(x, MASK)[MASK], expected[MASK], atol=1e-5, rtol=1e-5)
