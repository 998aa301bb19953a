"""Further texts for the intent head."""

import numpy as np
import pandas as pd
from rapidfuzz.distance import OSA

from prompts.intent import Intent
from prompts.variants import misspell, variants


def test_a_slip_changes_one_letter_or_swaps_two_and_leaves_the_first() -> None:
    rng = np.random.default_rng(0)
    slips = [misspell("pancreas", rng) for _ in range(500)]
    assert {OSA.distance("pancreas", slip) for slip in slips} <= {0, 1}  # 0: another letter may be the same
    assert {slip[0] for slip in slips} == {"p"}
    assert {len(slip) for slip in slips} == {7, 8, 9}
    assert any(sorted(slip) == sorted("pancreas") and slip != "pancreas" for slip in slips), "some are swapped"


def test_texts_are_retyped_with_other_ends_and_words_that_mean_the_same() -> None:
    asked = {"text": "Could you outline the largest organ in this picture?", "kind": "size", "split": "train"}
    told = {"text": "Liver looks fine", "kind": "none", "split": "train"}
    rows = [{**told, **Intent("none").row, "prompt_id": "t"}]
    rows += [{**asked, **Intent("size", attribute="largest").row, "prompt_id": f"a{i}"} for i in range(200)]
    made = variants(pd.DataFrame(rows), 1.0, 0).query("variant == 'retyped'")
    texts = made.loc[made["kind"] == "size", "text"]
    assert (made["asks"] == made["kind"]).all()
    assert texts.str.contains(r"\b(?:largest|biggest|bulkiest|most voluminous) \w+ in this \w+\?").all(), (
        "a question stays one"
    )
    for other in ("Hello, could", "Best regards", "segment the", "scan?", "can you", "structure"):
        assert texts.str.contains(other, case=False, regex=False).any(), other
    assert made.loc[made["kind"] == "none", "text"].str.contains("liver looks fine", case=False).all()


def test_rare_verbs_take_the_place_of_common_ones_where_these_ask() -> None:
    asked = ("Outline my liver", "Could you mark it?", "I want you to bring up the liver", "A contour of the liver")
    intent = Intent("anatomy", "liver", None, "patient").row
    rows = [
        {"text": t, "kind": "anatomy", "split": "train", **intent, "prompt_id": f"{t}{i}"}
        for t in asked
        for i in range(200)
    ]
    made = variants(pd.DataFrame(rows), 1.0, 0).query("variant == 'retyped'")
    verbs = r"\b(?:fetch|retrieve|visualize|pinpoint|single out)\b"
    for text in asked:
        of_it = made.loc[made["prompt_id"].str.contains(text, regex=False), "text"]
        assert of_it.str.contains(verbs, case=False).any() == (text != asked[-1]), text
    assert made["text"].str.contains("Fetch my liver", regex=False).any(), "capitals stay"
