"""The development set of typed requests says what it means, in the vocabulary's words."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus.anatomy import ORGANS
from corpus.params import read_yaml, validated
from pipelines.bench_language import REQUESTS, TypedRequest
from prompts.intent import ATTRIBUTES, PAIRS


@pytest.mark.parametrize("path", REQUESTS, ids=lambda path: path.stem)
def test_every_request_is_a_valid_intent_of_its_own(path: Path) -> None:
    requests = validated(read_yaml(path), list[TypedRequest], path)
    assert len({request.text for request in requests}) == len(requests)
    for request in requests:
        assert request.intent.kind == request.kind
    sides = path.stem.startswith("sides")
    organs = {"kidney", *PAIRS} if sides else {organ.name for organ in ORGANS}
    organs -= {"seminal vesicles"} if path.stem == "blind_8" else set()  # nobody asked its writer for them
    assert {request.organ for request in requests} - {None} == organs
    attributes = {"leftmost", "rightmost"} if sides or path.stem == "blind_10" else set(ATTRIBUTES)
    assert {request.attribute for request in requests} - {None} == attributes
