"""The round trip: a text classifier that learned from the other prompts must recover what each prompt asks for.

A light linear classifier of words, word pairs and letters is trained on all folds but one and reads that one. Folds are
by the hash of the text, and liblinear on one thread leaves nothing to chance: the same bank, the same verdicts.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import sparse

FOLDS = 3
MARGIN = 1.0
"""A prompt isn't recovered where another target's score beats its own by this much: on which side of several targets'
borders it lies, in units of the classifier's margin, so that a close call is left to people."""
_FEWEST = 2 * FOLDS
"""Prompts that a target needs to be learned."""


class Reader:
    """Learns from prompts what they ask for, and reads others."""

    def __init__(self, texts: Sequence[str], targets: Sequence[str]) -> None:
        """Learn.

        Args:
            targets: What each text asks for; at least two different ones.
        """
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.svm import LinearSVC

        self._words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"[^\W_]+", sublinear_tf=True)
        self._letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4), sublinear_tf=True, min_df=2)
        features = sparse.hstack([self._words.fit_transform(texts), self._letters.fit_transform(texts)], format="csr")
        self._model = LinearSVC(C=1.0, tol=1e-3, random_state=0, dual=True)
        self._model.fit(features, targets)

    def misread(self, texts: Sequence[str], targets: Sequence[str]) -> list[str | None]:
        """The target that each text is taken to ask for instead of its own; None where its own is recovered, or the
        call is close, or nothing was learned of its own."""
        features = sparse.hstack([self._words.transform(texts), self._letters.transform(texts)], format="csr")
        scores = np.round(self._model.decision_function(features), 6)
        names = list(self._model.classes_)
        if scores.ndim == 1:  # of two classes scikit-learn scores the second alone
            scores = np.stack([-scores, scores], axis=1)
        columns = {name: i for i, name in enumerate(names)}
        found: list[str | None] = []
        for row, target in zip(scores, targets, strict=True):
            best = int(row.argmax())
            own = columns.get(target)
            surely_another = own is not None and row[best] - row[own] >= MARGIN and row[best] > 0
            found.append(str(names[best]) if surely_another else None)
        return found


def misread(texts: Sequence[str], targets: Sequence[str]) -> list[str | None]:
    """The target that each text is taken to ask for instead of its own, by a reader of the other folds; else None.

    Targets of few prompts are neither learned nor judged.
    """
    enough = {target for target, n in Counter(targets).items() if n >= _FEWEST}
    fold = [int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) % FOLDS for text in texts]
    judged = [i for i, target in enumerate(targets) if target in enough]
    found: list[str | None] = [None] * len(texts)
    for held in range(FOLDS):
        learned = [i for i in judged if fold[i] != held]
        asked = [i for i in judged if fold[i] == held]
        if not asked or len({targets[i] for i in learned}) < 2:
            continue
        reader = Reader([texts[i] for i in learned], [targets[i] for i in learned])
        answers = reader.misread([texts[i] for i in asked], [targets[i] for i in asked])
        for i, answer in zip(asked, answers, strict=True):
            found[i] = answer
    return found
