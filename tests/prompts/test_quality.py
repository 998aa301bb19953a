"""Quality figures: against values worked out by hand, and against brute force."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from prompts.kinds import cells, kinds, styles
from prompts.quality import (
    NEAR,
    acceptance,
    cells_filled,
    closest_pairs,
    cohens_kappa,
    distinct,
    draw,
    embedding_diversity,
    figures,
    flags,
    near_pairs,
    ngrams,
    organ_coverage,
    reading_ease,
    self_bleu,
    syllables,
    words,
)


def _prompts(texts: list[str], **columns: object) -> pd.DataFrame:
    defaults = {
        "kind": "anatomy",
        "target": "liver",
        "style": "lay",
        "accepted": True,
        "failed_check": None,
    }
    table = pd.DataFrame({"prompt_id": [f"{i:016x}" for i in range(len(texts))], "text": texts})
    return table.assign(**(defaults | columns))


def test_words_keep_hyphens_and_apostrophes_together() -> None:
    assert words("Outline the patient's left-sided kidney, please!") == [
        "outline",
        "the",
        "patient's",
        "left-sided",
        "kidney",
        "please",
    ]


def test_distinct_counts_different_ngrams_over_all() -> None:
    texts = ["mark the liver", "mark the spleen"]
    assert distinct(texts, 1) == 4 / 6
    assert distinct(texts, 2) == 3 / 4
    assert distinct(texts, 3) == 1
    assert distinct(["liver"], 2) == 0


def test_self_bleu_is_one_for_copies_and_near_zero_for_strangers() -> None:
    assert self_bleu(["mark the left kidney now"] * 3) == pytest.approx(1)
    assert self_bleu(["a b c d e", "f g h i j"]) < 0.1
    assert self_bleu(["alone here"]) == 0


def test_self_bleu_by_hand() -> None:
    # Unigrams 4/5, bigrams 3/4, trigrams 2/3, 4-grams 1/2 either way; equal lengths, so no brevity penalty.
    assert self_bleu(["show me the left kidney", "show me the left adrenal"]) == pytest.approx(
        (4 / 5 * 3 / 4 * 2 / 3 / 2) ** 0.25
    )
    # The shorter text matches wholly, but pays for its brevity: exp(1 - 5/4). The longer: 4/5, 3/4, 2/3, 1/2.
    expected = (math.exp(1 - 5 / 4) + (4 / 5 * 3 / 4 * 2 / 3 / 2) ** 0.25) / 2
    assert self_bleu(["show me the liver now", "show me the liver"]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("liver", 2),
        ("kidney", 2),
        ("gallbladder", 3),
        ("outline", 2),
        ("outlined", 2),
        ("people", 2),
        ("the", 1),
        ("vein", 1),
    ],
)
def test_syllables(word: str, count: int) -> None:
    assert syllables(word) == count


def test_reading_ease_follows_the_formula_and_orders_texts() -> None:
    assert reading_ease("Mark the liver.") == round(206.835 - 1.015 * 3 - 84.6 * 4 / 3, 4)
    assert reading_ease("Show me the big vein.") > reading_ease(
        "Delineate the splenoportal venous confluence bilaterally."
    )
    assert reading_ease("?!") == 0


def test_near_pairs_finds_what_brute_force_finds() -> None:
    rng = random.Random(0)
    vocabulary = [
        "mark",
        "show",
        "outline",
        "please",
        "the",
        "left",
        "right",
        "kidney",
        "liver",
        "on",
        "this",
        "slice",
        "now",
    ]
    texts = [" ".join(rng.choices(vocabulary, k=rng.randint(1, 7))) for _ in range(300)]
    texts += [f"{text} now" for text in texts[:60]]
    sets = [set(ngrams(words(t), 1)) | set(ngrams(words(t), 2)) for t in texts]
    similar = {
        (Fraction(len(a & b), len(a | b)), i, j)
        for j, b in enumerate(sets)
        for i, a in enumerate(sets[:j])
        if Fraction(len(a & b), len(a | b)) >= NEAR
    }
    found = list(near_pairs(texts))
    assert len(similar) > 20
    assert set(found) == similar
    assert len(found) == len(similar)


def test_closest_pairs_compares_only_what_asks_for_the_same() -> None:
    texts = ["please mark the whole gland here", "please mark the whole gland here!", "something else entirely"]
    table, repeats = closest_pairs(_prompts(texts))
    assert table[["similarity", "prompt_id_a", "prompt_id_b"]].to_numpy().tolist() == [[1.0, f"{0:016x}", f"{1:016x}"]]
    assert repeats == 1
    apart = _prompts(texts, target=["prostate", "pancreas", "liver"])
    assert closest_pairs(apart)[1] == 0


def test_coverage_counts_what_a_mask_may_get() -> None:
    accepted = pd.concat(
        [
            _prompts(["mark the liver", "liver please"]),
            _prompts(["the leftmost thing"], kind="position", target="leftmost"),
            _prompts(["the biggest thing"], kind="size", target="largest"),
        ]
    )
    targets = pd.DataFrame(
        [
            ("s1", "liver", "anatomy", "liver"),
            ("s1", "liver", "position", "leftmost"),
            ("s2", "liver", "position", "leftmost"),
            ("s1", "aorta", "size", "smallest"),
        ],
        columns=["slice_id", "organ", "kind", "target"],
    )
    table = organ_coverage(accepted, targets).set_index(["organ", "kind", "style"])
    assert len(table) == 24 * len(kinds()) * len(styles())
    assert table.loc[("liver", "anatomy", "lay")].tolist() == [2, 1]
    assert table.loc[("liver", "anatomy", "expert")].tolist() == [0, 1]
    assert table.loc[("liver", "position", "lay")].tolist() == [1, 2]
    assert table.loc[("liver", "size", "lay")].tolist() == [0, 0]
    assert table.loc[("aorta", "size", "lay")].tolist() == [0, 1]
    assert cells_filled(accepted) == 3 / len(cells(dict.fromkeys(kinds(), 1)))


def test_acceptance_counts_only_candidates_that_came_to_the_check() -> None:
    bank = _prompts(["a", "b", "c", "d"], failed_check=[None, "length", "target", "target"])
    bank["checks"] = [["length", "target"], [], ["length"], ["length"]]
    assert acceptance(bank) == {"length": 0.75, "target": 0.3333}


def test_embedding_diversity_is_the_mean_cosine_distance() -> None:
    assert embedding_diversity(np.array([[1.0, 0], [0, 1], [1, 0]])) == pytest.approx(2 / 3)
    assert embedding_diversity(np.array([[0.6, 0.8]])) == 0


def test_a_new_prompt_moves_no_other_in_a_draw() -> None:
    few = _prompts([str(i) for i in range(50)])
    more = _prompts([str(i) for i in range(60)])
    first = draw(few, 50, seed=3)["prompt_id"].tolist()
    assert [i for i in draw(more, 60, seed=3)["prompt_id"] if i in first] == first
    assert draw(few, 50, seed=4)["prompt_id"].tolist() != first


def test_flags_take_each_reason_in_turn() -> None:
    texts = [f"mark organ {i}" for i in range(200)] + ["x"] + ["mark " * 40]
    failed = ["target"] * 50 + ["length"] * 2 + [None] * 150
    bank = _prompts(texts, failed_check=failed, accepted=[f is None for f in failed])
    flagged = flags(bank, pd.DataFrame({"prompt_id_b": []}), limit=10, seed=0)
    reasons = list(flagged.values())
    assert len(flagged) == 10
    assert reasons.count("rejected: length") == 2
    assert reasons.count("rejected: target") > 2
    assert flagged[f"{200:016x}"] == "short"
    assert flagged[f"{201:016x}"] == "hard to read"  # and long: the first reason stays


def test_kappa() -> None:
    # 20 agree on accept, 15 on reject, 5 + 10 differ: p_o 0.7, p_e 0.5 (the textbook's example).
    pairs = (
        [("accept", "accept")] * 20
        + [("accept", "reject")] * 5
        + [("reject", "accept")] * 10
        + [("reject", "reject")] * 15
    )
    assert cohens_kappa(pairs) == 0.4
    assert cohens_kappa([("accept", "accept"), ("reject", "reject")]) == 1
    assert cohens_kappa([("accept", "accept")] * 5) is None


def test_figures_leave_texts_that_ask_for_nothing_out_of_diversity() -> None:
    bank = _prompts(["mark the liver", "mark the liver!", "why do stars shine", "no good"])
    bank = bank.assign(
        kind=["anatomy", "anatomy", "none", "anatomy"],
        accepted=[True, True, True, False],
        failed_check=[None, None, None, "target"],
        checks=[["length", "target"]] * 3 + [["length"]],
    )
    organs = pd.DataFrame({"prompts": [2, 0, 5], "masks": [3, 1, 0]})
    found = figures(bank, bank[bank["accepted"]], near_duplicates=1, organs=organs, seed=0)
    assert found["distinct_over"] == 2
    assert found["distinct_1"] == 0.5
    assert found["self_bleu"] == 1
    assert (found["candidates"], found["prompts"], found["acceptance"]) == (4, 3, 0.75)
    assert (found["exact_duplicates"], found["near_duplicates"], found["coverage_masks"]) == (1, 1, 0.5)
    assert found["acceptance_by_check"] == {"length": 1.0, "target": 0.75}
    assert found["prompts_by_kind"]["none"] == {"expert": 0, "trainee": 0, "lay": 1}
