"""The checks of the whole bank find near copies, as brute force does, and the round trip sees a wrong intent."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from corpus.reports.encoder import Precision, bfloat16_is_fast, encode
from pipelines.bench_checks import bench_checks, shares
from prompts.checks.bank import check_bank, shingles
from prompts.checks.measured import GOOD
from prompts.composer import Request, compose
from prompts.duplicates import jaccard, similar_pairs
from prompts.quality import rejections
from prompts.round_trip import misread

ORGANS = ("liver", "spleen", "pancreas", "left kidney")


def _texts(organ: str, n: int) -> list[str]:
    rng = random.Random(organ)
    return list(dict.fromkeys(compose(Request("anatomy", organ, "trainee"), rng) for _ in range(n)))


def test_similar_pairs_are_those_of_brute_force() -> None:
    texts = _texts("liver", 120)
    texts += [f"{text} now" for text in texts[:40]] + [text.replace("liver", "liver here") for text in texts[40:80]]
    sets = [shingles(text) for text in texts]
    for least in (Fraction(3, 4), Fraction(9, 10)):
        pairs = [(jaccard(sets[i], sets[j]), i, j) for i, j in combinations(range(len(texts)), 2)]
        wanted = [pair for pair in pairs if pair[0] >= least]
        assert len(wanted) > 10
        assert sorted(similar_pairs(sets, least)) == sorted(wanted)


def test_texts_too_short_for_a_shingle_have_one() -> None:
    assert list(similar_pairs([shingles(text) for text in ("", "a", "A.", "b")], Fraction(1))) == [(Fraction(1), 1, 2)]
    assert list(similar_pairs([], Fraction(1, 2))) == []


def test_the_round_trip_finds_a_text_under_a_wrong_target_and_leaves_the_others_alone() -> None:
    texts = {organ: _texts(organ, 90) for organ in ORGANS}
    listed = [(text, organ) for organ in ORGANS for text in texts[organ]]
    wrong = list(range(0, len(listed), 61))
    labels = [ORGANS[(ORGANS.index(o) + 1) % 4] if i in wrong else o for i, (_, o) in enumerate(listed)]
    read = misread([text for text, _ in listed], labels)
    found = {i for i, other in enumerate(read) if other}
    assert len(found & set(wrong)) >= 4, "a phrase that one text alone has can't be learned from the others"
    assert all(read[i] == listed[i][1] for i in found & set(wrong))
    assert len(found - set(wrong)) <= 1


@pytest.mark.parametrize("targets", [["a"] * 20, ["a", "b"] * 3, []])
def test_the_round_trip_judges_nothing_where_there_is_nothing_to_learn(targets: list[str]) -> None:
    assert misread([f"mark number {i}" for i in range(len(targets))], targets) == [None] * len(targets)


def _bank(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["text", "cell", "provider"])
    return table.assign(
        prompt_id=[f"{i:016x}" for i in range(len(rows))],
        accepted=True,
        checks=[["length"] for _ in rows],
        failed_check=None,
        reason=None,
    ).astype({"failed_check": object, "reason": object})


def test_of_two_copies_the_later_goes_and_what_people_wrote_is_left_out() -> None:
    bank = _bank(
        [
            ("Please colour in the whole liver on this scan for me", "anatomy/liver/lay", "openai"),
            ("Please color in the whole liver on this scan for me", "anatomy/liver/trainee", "openai"),
            ("Please color in the whole spleen on this scan for me", "anatomy/spleen/lay", "openai"),
            ("could you draw around the biggest thing in this picture", "size/largest/lay", "openai"),
            ("in this picture could you draw around the biggest thing", "size/largest/trainee", "openai"),
            ("Mark the pancreas for the atlas page", "anatomy/pancreas/expert", "openai"),
            ("Mark the pancreas for the atlas pages", "anatomy/pancreas/expert", "written"),
            ("Mark of the pancreas for the atlas page", "none/none/expert", "reports"),
        ]
    )
    checked = check_bank(bank)
    assert checked["accepted"].tolist() == [True, False, True, True, False, True, True, True]
    assert checked["failed_check"][1] == "near_letters"
    assert checked["failed_check"][5] is None, "what people wrote was held against it when it came"
    assert checked["checks"][0] == ["length", "near_letters", "near_meaning", "round_trip"]
    assert checked["checks"][1] == ["length"], "a copy stops at the check that it fails"
    assert checked["checks"][6] == checked["checks"][7] == ["length"], "what people wrote isn't checked"
    assert bank["accepted"].all(), "the bank given is left as it was"
    table = rejections(checked).set_index("check")
    assert table.loc["near_letters", ["came", "rejected"]].tolist() == [6, int(table.loc["near_letters", "rejected"])]
    assert table["rejected"].sum() == 2
    assert table["reason"].dropna().str.len().min() > 0


def test_the_bank_is_embedded_once_and_exactly_only_where_it_is_close() -> None:
    asked: list[tuple[Precision, int]] = []

    def embed(texts: Sequence[str], precision: Precision) -> np.ndarray:
        asked.append((precision, len(texts)))
        return encode(texts, precision)

    bank = _bank(
        [
            ("outline the biggest organ in this image", "size/largest/lay", "openai"),
            ("outline the largest organ in this image", "size/largest/trainee", "openai"),
            ("Mark the pancreas for the atlas page", "anatomy/pancreas/expert", "openai"),
        ]
    )
    assert check_bank(bank, embed)["failed_check"].tolist() == [None, "near_meaning", None]
    assert asked == [("bfloat16" if bfloat16_is_fast() else "float32", 3), ("float64", 2)]


def test_the_checks_catch_what_is_broken_and_spare_what_is_good() -> None:
    rows = bench_checks()
    counts = rows["type"].value_counts()
    assert counts[GOOD] >= 300
    assert counts.drop(GOOD).sum() >= 300
    assert counts.min() >= 12, "every type has its dozen"
    assert rows["text"].is_unique
    share = shares(rows)["all"]
    missed = rows[(rows["type"] != GOOD) & rows["check"].isna()]
    spoiled = rows[(rows["type"] == GOOD) & rows["check"].notna()]
    assert share["caught"] >= 0.99, missed[["type", "text"]].to_string()
    assert share["rejected"] <= 0.02, spoiled[["check", "text", "reason"]].to_string()
