"""Every kind says what it claims, and a new one needs an entry of kinds.yaml and at most a rule."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

import prompts.kinds
from corpus.anatomy import BY_NAME, PAIRED_NOUNS, mentions
from corpus.errors import InputError
from prompts.checks import Context, run_checks
from prompts.composer import Request, compose
from prompts.intent import PAIRS, Intent, on_display
from prompts.kinds import SPECIFICATIONS, Cell, cells, kind_of, kinds
from prompts.messages import messages_for
from prompts.rules import RULES, Answer, Scene, answer, rule, slice_answers
from prompts.wording.sides import excluded_member, shown_side

ORDER = {"second": 2, "2nd": 2, "third": 3, "3rd": 3, "two": 3, "next": 2, "one": 2, "just": 2}


def texts(kind: str, each: int) -> Iterator[tuple[str, Intent]]:
    """Requests of a kind, and what they should ask for."""
    rng = random.Random(5)
    for cell in cells({kind: 1}):
        for _ in range(each):
            yield compose(Request(cell.kind, cell.target, cell.style), rng), cell.intent


def sides(text: str) -> set[str]:
    return set(
        re.findall(
            r"\b(left|right|above|top|bottom|below|beneath|under|(?:up|down)(?:wards)? from)(?:neath)?\b", text.lower()
        )
    )


def test_a_relation_names_its_landmark_and_one_side() -> None:
    words = {"left of": {"left"}, "right of": {"right"}, "above": {"above", "top", "up from", "upwards from"}}
    words["below"] = {"below", "beneath", "under", "down from", "downwards from"}
    for text, intent in texts("relation", 2):
        named = list(mentions(text))
        assert {m.organ for m in named} == {intent.organ}, text
        landmark = named[0]  # "the portal vein with the splenic vein" are two mentions
        before = text[: landmark.start].lower()
        assert sides(before) <= words[str(intent.relation)], text
        assert sides(before), text


def test_an_ordinal_says_its_place_and_its_extreme() -> None:
    edges = {
        "leftmost": "left",
        "rightmost": "right",
        "topmost": "top|highest|uppermost",
        "largest": "largest|biggest|most ext|most siz",
    }
    edges |= {"bottommost": "bottom|lowest|lowermost", "smallest": "smallest|tiniest|least ext"}
    for text, intent in texts("ordinal", 8):
        low = text.lower()
        said = [re.search(rf"\b(?:{pattern})", low) for pattern in edges.values()]
        assert [a for a, found in zip(edges, said, strict=True) if found] == [intent.attribute], text
        places = re.findall(
            r"\b(second(?![ -](?:reader|opinion|year|guess))|2nd|third|3rd)\b|\bnumber (two|three)\b"
            r"|\b(one|two) (?:place|step)s? after|\b(next|just) after",
            low,
        )
        found = {next(filter(None, place)) for place in places}
        ranks = {ORDER.get(word, 3) if f"number {word}" not in low else {"two": 2, "three": 3}[word] for word in found}
        assert ranks == {intent.rank}, text


def test_a_negated_request_leaves_one_structure() -> None:
    for text, intent in texts("negated", 3):
        member = excluded_member(text)
        if intent.organ in PAIRS:
            other = ("left " if str(intent.organ).startswith("right") else "right ") + PAIRS[str(intent.organ)]
            assert member == other, text
        else:
            found = {(m.organ, m.negated) for m in mentions(text)}
            assert {organ for organ, negated in found if not negated} == {intent.organ}, text
            assert {organ for organ, negated in found if negated}, text


def test_a_pair_shown_is_asked_for_by_the_side_of_the_picture() -> None:
    for text, intent in texts("displayed", 10):
        assert shown_side(text) == (PAIRS.get(str(intent.organ), intent.organ), intent.attribute), text


@pytest.mark.parametrize("kind", ["ordinal", "relation", "negated", "displayed"])
def test_nearly_everything_passes_the_checks_of_its_own_cell_and_of_no_other(kind: str) -> None:
    rng, failures, tried = random.Random(9), 0, 0
    listed = list(cells({kind: 1}))
    for cell in listed * (1 + 100 // len(listed)):  # of fewer a single failure may be more than its share
        text = compose(Request(cell.kind, cell.target, cell.style), rng)
        failures += not run_checks(text, cell, Context())[-1].passed
        tried += 1
        for target in rng.sample(list(kinds()[kind].intents), 3):
            wrong = Cell(kind, target, cell.style)
            if wrong.target != cell.target:
                assert not run_checks(text, wrong, Context())[-1].passed, f"{text} passes as {wrong.name}"
    assert failures <= 0.05 * tried


@pytest.mark.parametrize(
    ("text", "kind", "target"),
    [
        ("Segment the kidney that is not on the left.", "negated", "right kidney"),
        ("the hip ball that isn't the right one, please", "negated", "left head of femur"),
        ("not the gallbladder but the bladder", "negated", "bladder"),
        ("whatever lies directly to the left of the spleen in the picture, please", "relation", "left of spleen"),
        ("Outline the organ just above the left kidney", "relation", "above left kidney"),
        ("show me the kidney on the left-hand side of the picture", "displayed", "leftmost kidney"),
        ("Mark the femoral head at the right edge of the image", "displayed", "rightmost head of femur"),
        ("Outline the second from the left", "ordinal", "second leftmost"),
        ("contour the next to smallest structure", "ordinal", "second smallest"),
    ],
)
def test_people_s_ways_to_ask_pass(text: str, kind: str, target: str) -> None:
    verdict = run_checks(text, Cell(kind, target, "lay"), Context())[-1]
    assert verdict.passed, verdict


@pytest.mark.parametrize(
    ("text", "kind", "target"),
    [
        ("Segment the kidney that is not on the left.", "negated", "left kidney"),
        ("Segment the left kidney please", "negated", "left kidney"),
        ("Outline the bladder please", "negated", "bladder"),
        ("Outline the organ above the left kidney", "relation", "below left kidney"),
        ("Outline the organ near the left kidney", "relation", "left of left kidney"),
        ("Outline the organ between liver and spleen, above", "relation", "above spleen"),
        ("show me the left kidney in the picture", "displayed", "leftmost kidney"),
        ("show me the kidney on my left in the picture", "displayed", "leftmost kidney"),
        ("Outline the largest structure", "ordinal", "second largest"),
        ("Outline the second largest structure", "size", "largest"),
        ("Outline the third structure from the left", "ordinal", "second leftmost"),
    ],
)
def test_what_says_something_else_is_caught(text: str, kind: str, target: str) -> None:
    assert not run_checks(text, Cell(kind, target, "lay"), Context())[-1].passed


def test_every_intent_has_its_kind_and_its_name() -> None:
    for kind in kinds().values():
        assert len(kind.intents) == len(set(kind.intents.values()))
        for target, intent in kind.intents.items():
            assert intent.target == target
            assert kind_of(intent) == kind
            assert Intent.of_row(intent.row) == intent
    assert on_display("left kidney", "leftmost") == "kidney"
    assert on_display("left head of femur", "leftmost") == "right head of femur"
    assert on_display("liver", "leftmost") is None
    assert set(PAIRS.values()) == set(PAIRED_NOUNS)


MADE_UP = """
name: round
title: by shape
asks: [{kind: size, attribute: largest, rank: 2}]
rule: in the middle
meaning: the structure {attribute}, more or less
passages: false
task: Ask for what is neither large nor small.
must: [say so]
must_not: [name it]
angles: [any]
examples: {}
names:
  second largest: {lay: [the second largest of the lot, the thing that is second largest]}
"""


def test_a_new_kind_needs_an_entry_and_a_rule_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = yaml.safe_load(SPECIFICATIONS.read_text(encoding="utf-8"))
    content["kinds"] = [yaml.safe_load(MADE_UP)]
    (tmp_path / "kinds.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    with monkeypatch.context() as patched:
        patched.setattr(prompts.kinds, "SPECIFICATIONS", tmp_path / "kinds.yaml")
        patched.setattr("prompts.kinds._specifications", prompts.kinds._specifications.__wrapped__)
        patched.setitem(RULES, "in the middle", lambda scene, intent: None)

        @rule("in the middle")
        def middle(scene: Scene, intent: Intent) -> Answer | None:
            return Answer(scene.competing[1].organ, 2.0)

        (cell, *_) = cells({"round": 4})
        label = np.zeros((1, 9, 9), np.uint8)
        label[0, 1], label[0, 3], label[0, 5] = (BY_NAME[name].id for name in ("liver", "spleen", "aorta"))
        assert slice_answers(Scene(label, (1.0, 1.0), range(1, 25))) == [
            {"kind": "round", "target": "second largest", "organ": "spleen", "margin": 2.0}
        ]
        rng = random.Random(0)
        written = {
            compose(Request(cell.kind, cell.target, style), rng) for style in ("expert", "lay") for _ in range(9)
        }
        assert len(written) > 10
        assert all(run_checks(text, Cell("round", "second largest", "lay"), Context())[-1].passed for text in written)
        assert "more or less" in str(messages_for(cell, 0, 2, ())[-1].content)


def test_a_rule_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kinds(), "size", replace(kinds()["size"], rule="extremme"))
    scene = Scene(np.zeros((1, 9, 9), np.uint8), (1.0, 1.0), range(1, 25))
    asked = next(iter(kinds()["size"].intents.values()))
    for found in (lambda: answer(scene, asked), lambda: slice_answers(scene)):
        with pytest.raises(InputError, match=r"kinds\.yaml: size: .* one of named, extreme, .*, found 'extremme'"):
            found()
