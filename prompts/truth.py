"""Every sample's text, held against its mask once more: what it claims of place, size and modality must be true there.

Masks get texts by the answers that `prompts.rules` worked out; here what they claim is looked up among the slice's
boxes, centroids and pixel counts, so that a mistake on the way shows. What a program wrote claims what its words say.
What people wrote claims what they meant by it: "every other organ lies above it" is said of the lowest one, and no list
of words reads all such wordings, so that the hardest requests would be left out.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pandas as pd

from corpus.anatomy import BY_NAME
from prompts.bank import BY_PEOPLE
from prompts.wording.claims import claims, claims_of_an_organ

_MEASURES: dict[str, tuple[tuple[str, bool], ...]] = {
    "leftmost": (("col0", True), ("centroid_col", True)),
    "rightmost": (("col1", False), ("centroid_col", False)),
    "topmost": (("row0", True), ("centroid_row", True)),
    "bottommost": (("row1", False), ("centroid_row", False)),
    "largest": (("pixels", False),),
    "smallest": (("pixels", True),),
}
"""Attribute -> the columns of `prompts.facts.FACTS` by which the organ comes first, and whether the lowest does."""
_SAYS_CT = re.compile(r"\bct\b|\bcat scan|\bcomputed tomogra|\bhounsfield|\bhu\b")
ORGAN_KINDS = ("anatomy", "negated", "absent")
"""Kinds whose texts should claim no extreme."""
PICTURE_KINDS = ("position", "size")
"""Kinds whose texts say in plain words which extreme is meant."""


def true_claims(facts: pd.DataFrame) -> set[tuple[str, str, str]]:
    """Every (slice_id, organ, attribute) that holds: the organ comes first by all measures, and alone.

    Args:
        facts: Rows of `prompts.facts.FACTS`.
    """
    competes = [BY_NAME[o].id in found for o, found in zip(facts["organ"], facts["candidates"], strict=True)]
    rivals = facts[competes]
    several = rivals.groupby("slice_id")["organ"].transform("size") > 1
    found: set[tuple[str, str, str]] = set()
    for attribute, measures in _MEASURES.items():
        first = several.copy()
        for column, ascending in measures:
            # The highest of tied ranks is 1 for one that comes first alone.
            first &= rivals.groupby("slice_id")[column].rank(method="max", ascending=ascending) == 1
        won = rivals[first]
        found |= {(str(s), str(o), attribute) for s, o in zip(won["slice_id"], won["organ"], strict=True)}
    return found


def verified(
    samples: pd.DataFrame, facts: pd.DataFrame, slices: pd.DataFrame, requests: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The samples whose claims all hold, and the counts.

    Args:
        samples: Rows of `prompts.dataset.SAMPLES`.
        slices: The slice table; a text that speaks of CT isn't true of another modality.
        requests: Columns text and provider.

    Returns:
        The samples that stay; {claims: how many were checked, false: what failed -> how many samples}.
    """
    true = true_claims(facts)
    modality = dict(zip(slices["slice_id"], slices["modality"], strict=True))
    texts = samples["text"].unique()
    composed = set(requests.loc[~requests["provider"].isin(BY_PEOPLE), "text"]).intersection(texts)
    of_picture = {text: claims(text) for text in composed}
    of_organ = {text: claims_of_an_organ(text) for text in composed}
    says_ct = {text for text in texts if _SAYS_CT.search(text.lower())}
    checked, false, keep = 0, Counter[str](), []
    for row in samples[["slice_id", "organ", "kind", "attribute", "text"]].itertuples(index=False):
        claimed = of_organ.get(row.text, []) if row.kind in ORGAN_KINDS else []
        if row.kind in PICTURE_KINDS:
            # What is asked for stands beside what isn't: "not the one at the bottom, the one as high up as possible".
            said = of_picture.get(row.text)
            claimed = said if said and row.attribute not in said else [str(row.attribute)]
        wrong = [claim for claim in claimed if (row.slice_id, row.organ, claim) not in true]
        checked += len(claimed)
        if row.text in says_ct:
            checked += 1
            wrong += ["CT"] * (modality[row.slice_id] != "CT")
        false.update(wrong[:1])
        keep.append(not wrong)
    return samples[keep].reset_index(drop=True), {"claims": checked, "false": dict(sorted(false.items()))}
