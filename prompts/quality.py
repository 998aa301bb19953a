"""How good a bank of prompts is, in figures: acceptance, duplicates, diversity, readability and coverage.

Every figure is computed here from the prompts alone, so that the same bank gives the same figures on every machine. A
bank is a table with the columns prompt_id, text, kind, target, style, accepted, checks and failed_check.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from fractions import Fraction
from heapq import nlargest
from itertools import chain, zip_longest

import numpy as np
import pandas as pd

from corpus.anatomy import BY_NAME
from prompts.duplicates import normalised, similar_pairs
from prompts.kinds import cells, kinds, styles

NEAR = Fraction(7, 10)
"""Two prompts are near duplicates from this Jaccard similarity of their words and word pairs on. An exact fraction, so
that a pair on the border falls on the same side everywhere."""
DISTINCT_OVER = 11_520
"""distinct-n falls as a set grows: it is taken over no more prompts than the published set has that it is compared
with."""
SELF_BLEU_OVER = 1_000
EMBEDDED_OVER = 400
"""Prompts that the embedding diversity is taken over; more change its third digit."""
PAIRS_SHOWN = 200
TAIL = 0.01
"""This share of the prompts at an end of a figure's range is its tail."""

_WORD = re.compile(r"\w+(?:['’-]\w+)*")


def words(text: str) -> list[str]:
    """Words in lower case, without punctuation; "left-sided" and "patient's" are one word each."""
    return _WORD.findall(text.lower())


def ngrams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    """The n-grams of a text with their counts."""
    return Counter(zip(*(tokens[i:] for i in range(n)), strict=False))


def draw_key(seed: int, prompt_id: str) -> str:
    """Sorting by this key is a seeded shuffle in which a new prompt moves no other."""
    return hashlib.sha256(f"{seed}:{prompt_id}".encode()).hexdigest()


def draw(prompts: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """A seeded sample of at most `n` rows."""
    keys = prompts["prompt_id"].map(lambda prompt_id: draw_key(seed, prompt_id))
    return prompts.loc[keys.sort_values(kind="stable").index[:n]]


def distinct(texts: Sequence[str], n: int) -> float:
    """distinct-n (Li et al. 2016): different n-grams as a share of all n-grams."""
    counts: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        counts.update(ngrams(words(text), n))
    return len(counts) / counts.total() if counts else 0.0


def self_bleu(texts: Sequence[str]) -> float:
    """Self-BLEU (Zhu et al. 2018): the mean BLEU-4 of each text against all others; 1 where all are alike.

    Sentence BLEU with uniform weights, clipped counts, the closest reference length, and smoothing method 1 of Chen and
    Cherry 2014 (0.1 where no n-gram matches). A text of fewer than four words is scored on the n-grams that it has.
    """
    if len(texts) < 2:
        return 0.0
    tokens = [words(text) for text in texts]
    lengths = Counter(map(len, tokens))
    # An n-gram's clip is its highest count in any *other* text: keep the two highest, and drop one's own.
    best: dict[tuple[str, ...], tuple[int, int]] = defaultdict(lambda: (0, 0))
    grams = [[ngrams(t, n) for n in range(1, min(4, len(t)) + 1)] for t in tokens]
    for orders in grams:
        for counts in orders:
            for gram, count in counts.items():
                first, second = best[gram]
                best[gram] = (count, first) if count > first else (first, max(second, count))
    scores = []
    for own, orders in zip(tokens, grams, strict=True):
        log_precision = 0.0
        for counts in orders:
            clipped = sum(min(c, best[g][1] if c == best[g][0] else best[g][0]) for g, c in counts.items())
            log_precision += math.log((clipped or 0.1) / counts.total()) / len(orders)
        others = (length for length, n in lengths.items() if n > (length == len(own)))
        closest = min(others, key=lambda length: (abs(length - len(own)), length))
        brevity = min(0.0, 1 - closest / len(own)) if own else 0.0
        scores.append(math.exp(log_precision + brevity) if own else 0.0)
    return math.fsum(scores) / len(scores)


def syllables(word: str) -> int:
    """Syllables of an English word, counted as groups of vowels; a silent final e is not one."""
    groups = len(re.findall(r"[aeiouy]+", word))
    silent = word.endswith(("e", "es", "ed")) and not re.search(r"([^aeiouy]le|[td]ed|[cgsxz]es|[aeiouy]e[sd]?)$", word)
    return max(1, groups - silent)


def reading_ease(text: str) -> float:
    """Flesch reading ease: about 90 is read by a child, 30 by a graduate; long words make it negative."""
    tokens = words(text)
    if not tokens:
        return 0.0
    sentences = max(1, len(re.findall(r"[.!?]+(?=\s|$)", text)))
    per_word = sum(map(syllables, tokens)) / len(tokens)
    return round(206.835 - 1.015 * len(tokens) / sentences - 84.6 * per_word, 4)


def near_pairs(texts: Sequence[str], least: Fraction = NEAR) -> Iterator[tuple[Fraction, int, int]]:
    """Pairs of texts whose words and word pairs have a Jaccard similarity of at least `least`: (similarity, i, j) with
    i < j."""
    grams = [frozenset(ngrams(tokens, 1)) | frozenset(ngrams(tokens, 2)) for tokens in map(words, texts)]
    return similar_pairs(grams, least)


def closest_pairs(accepted: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Near duplicates among the prompts that ask for the same thing.

    Returns:
        The `PAIRS_SHOWN` closest pairs (similarity, kind, target, prompt_id_a, text_a, prompt_id_b, text_b), closest
        first, and how many prompts nearly repeat one before them.
    """
    pairs = []
    repeats = 0
    ordered = accepted.sort_values("prompt_id")
    for (kind, target), group in ordered.groupby(["kind", "target"], sort=True):
        ids, texts = group["prompt_id"].tolist(), group["text"].tolist()
        found = list(near_pairs(texts))
        repeats += len({j for _, _, j in found})
        shown = nlargest(PAIRS_SHOWN, found, key=lambda pair: (pair[0], -pair[1], -pair[2]))
        pairs += [(s, kind, target, ids[i], texts[i], ids[j], texts[j]) for s, i, j in shown]
    pairs.sort(key=lambda pair: (-pair[0], *pair[1:]))
    columns = ["similarity", "kind", "target", "prompt_id_a", "text_a", "prompt_id_b", "text_b"]
    table = pd.DataFrame(pairs[:PAIRS_SHOWN], columns=columns)
    return table.assign(similarity=[round(float(s), 4) for s in table["similarity"]]), repeats


def organ_coverage(accepted: pd.DataFrame, targets: pd.DataFrame) -> pd.DataFrame:
    """For every organ, kind and style: the prompts that such a mask may get, and the cohort's masks that may get one.

    Args:
        targets: What `prompts.targets.eligible` returned, of all sources.

    Returns:
        Columns organ, kind, style, prompts, masks. A position or size prompt names no organ: it counts for every organ
        that is clearly leftmost, largest, ... in at least one slice; a relation for every organ that has it.
    """
    available = Counter(zip(accepted["kind"], accepted["target"], accepted["style"], strict=True))
    asked: dict[tuple[str, str], set[str]] = defaultdict(set)
    masks: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in targets.itertuples():
        masks[str(row.organ), str(row.kind)].add(str(row.slice_id))
        asked[str(row.organ), str(row.kind)].add(str(row.target))
    rows = [
        {
            "organ": organ,
            "kind": name,
            "style": style,
            "prompts": sum(
                available[name, target, style] for target in asked[organ, name] | (kind.intents.keys() & {organ})
            ),
            "masks": len(masks[organ, name]),
        }
        for organ in BY_NAME
        for name, kind in kinds().items()
        for style in styles()
    ]
    return pd.DataFrame(rows)


def cells_filled(accepted: pd.DataFrame) -> float:
    """The share of all kind x target x style cells that have an accepted prompt."""
    filled = set(zip(accepted["kind"], accepted["target"], accepted["style"], strict=True))
    every = cells(dict.fromkeys(kinds(), 1))
    return sum((cell.kind, cell.target, cell.style) in filled for cell in every) / len(every)


def acceptance(bank: pd.DataFrame) -> dict[str, float]:
    """Check -> the share of the candidates that came to it and passed (a candidate stops at the first check it
    fails)."""
    passed = Counter(name for names in bank["checks"] for name in names)
    failed = Counter(bank["failed_check"].dropna())
    return {
        name: round(passed[name] / (passed[name] + failed[name]), 4) for name in sorted(passed.keys() | failed.keys())
    }


def rejections(bank: pd.DataFrame) -> pd.DataFrame:
    """What each check rejected: columns check, came (candidates that came to it), rejected, and a `text` with its
    `reason` for an example; the check that rejected most first."""
    passed = Counter(name for names in bank["checks"] for name in names)
    refused = bank[~bank["accepted"]].sort_values("prompt_id")
    first = refused.groupby("failed_check")[["reason", "text"]].first().to_dict("index")
    failed = Counter(refused["failed_check"])
    rows = [
        {"check": name, "came": passed[name] + failed[name], "rejected": failed[name]} | first.get(name, {})
        for name in sorted(passed.keys() | failed.keys(), key=lambda name: (-failed[name], name))
    ]
    return pd.DataFrame(rows, columns=["check", "came", "rejected", "reason", "text"])


def embedding_diversity(vectors: np.ndarray) -> float:
    """The mean cosine distance of all pairs of texts.

    Args:
        vectors: `[N, D]`, of length 1 each.
    """
    n = len(vectors)
    exact = vectors.astype(np.float64)
    total = exact.sum(axis=0)
    # The dot products of all pairs sum to |sum of all|^2, less each text's with itself.
    return 1 - float((total * total).sum() - (exact * exact).sum()) / (n * (n - 1)) if n > 1 else 0.0


def figures(bank: pd.DataFrame, accepted: pd.DataFrame, near_duplicates: int, organs: pd.DataFrame, seed: int) -> dict:
    """Every quality figure that needs no model, rounded to 4 digits.

    Args:
        bank: All candidates, rejected ones too.
        accepted: The prompts that are used.
        near_duplicates: As `closest_pairs` counted them.
        organs: What `organ_coverage` returned.
        seed: Draws the samples that distinct-n and self-BLEU are taken over.
    """
    # Texts that ask for nothing are written by people: they would lend the requests a diversity that isn't theirs.
    texts = draw(accepted[accepted["kind"] != "none"], DISTINCT_OVER, seed)["text"].tolist()
    alike = accepted["text"].map(normalised)
    fillable = organs[organs["masks"] > 0]
    by_kind = accepted.groupby(["kind", "style"]).size().to_dict()
    found = {
        "candidates": len(bank),
        "prompts": len(accepted),
        "acceptance": _mean(bank["accepted"].tolist()),
        "exact_duplicates": int(alike.duplicated().sum()),
        "near_duplicates": near_duplicates,
        **{f"distinct_{n}": distinct(texts, n) for n in (1, 2, 3)},
        "distinct_over": len(texts),
        "self_bleu": self_bleu(texts[:SELF_BLEU_OVER]),
        "reading_ease": _mean([reading_ease(text) for text in accepted["text"]]),
        "words_per_prompt": _mean([len(words(text)) for text in accepted["text"]]),
        "coverage": cells_filled(accepted),
        "coverage_masks": _mean((fillable["prompts"] > 0).tolist()),
    }
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in found.items()} | {
        "acceptance_by_check": acceptance(bank),
        "rejected_by_check": dict(sorted(Counter(bank["failed_check"].dropna()).items())),
        "prompts_by_kind": {
            kind: {style: by_kind.get((kind, style), 0) for style in styles()} for kind in sorted(bank["kind"].unique())
        },
    }


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def flags(bank: pd.DataFrame, duplicates: pd.DataFrame, limit: int, seed: int) -> dict[str, str]:
    """Prompts that somebody should see whatever the sample says, each with why.

    Candidates that a check rejected (so that the checks themselves are audited), the tails of length and of reading
    ease, and near duplicates; one of each reason in turn until the limit is reached.
    """
    accepted, refused = bank[bank["accepted"]], bank[~bank["accepted"]]
    tail = max(1, int(len(accepted) * TAIL))
    measured = accepted[["prompt_id"]].assign(
        ease=accepted["text"].map(reading_ease), length=[len(words(text)) for text in accepted["text"]]
    )
    queues = {
        f"rejected: {check}": draw(group, limit, seed)["prompt_id"].tolist()
        for check, group in refused.groupby("failed_check", sort=True)
    }
    for flag, figure, ascending in (
        ("hard to read", "ease", True),
        ("long", "length", False),
        ("short", "length", True),
    ):
        ends = measured.sort_values([figure, "prompt_id"], ascending=[ascending, True])
        queues[flag] = ends["prompt_id"].tolist()[:tail]
    queues["near duplicate"] = duplicates["prompt_id_b"].tolist()
    flagged: dict[str, str] = {}
    in_turn = chain.from_iterable(
        zip_longest(*([(prompt_id, flag) for prompt_id in ids] for flag, ids in queues.items()))
    )
    for prompt_id, flag in filter(None, in_turn):
        if len(flagged) < limit:
            flagged.setdefault(prompt_id, flag)
    return flagged


def cohens_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Cohen's kappa of two reviewers: agreement beyond chance; None where both took one decision throughout."""
    n = len(pairs)
    first, second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    chance = sum(first[c] * second[c] for c in first)
    if chance == n * n:
        return None
    agreed = sum(a == b for a, b in pairs)
    return round((agreed * n - chance) / (n * n - chance), 4)
