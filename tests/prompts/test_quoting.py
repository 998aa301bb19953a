"""What a request may take up of a report: short phrases that claim nothing and name nothing else."""

from __future__ import annotations

import random

from prompts.checks import Context, run_checks
from prompts.composer import Request, compose
from prompts.intent import Intent
from prompts.kinds import Cell
from prompts.quoting import quotes

LIVER = Intent("anatomy", "liver", None, "patient")
PASSAGE = (
    "Focal fatty infiltration, segment IV. The spleen is enlarged; no ascites. Largest lesion 12 mm, lobulated hepatic "
    "contour. Mrs Smith was seen with Dr Jones. Heterogeneous enhancement and a thin rim around it all over again here."
)


def test_phrases_are_short_and_claim_nothing() -> None:
    found = quotes([PASSAGE, PASSAGE], LIVER)
    assert {"focal fatty infiltration", "lobulated hepatic contour", "heterogeneous enhancement"} <= set(found)
    assert len(found) == len(set(found))
    text = " | ".join(found).lower()
    for never in ("spleen", "ascites", "largest", "smith", "jones", "all over again"):
        assert never not in text
    assert "lobulated hepatic contour" not in quotes([PASSAGE], Intent("anatomy", "spleen", None, "patient"))


def test_requests_that_take_them_up_pass_the_checks() -> None:
    rng = random.Random(4)
    request = Request("anatomy", "liver", "expert", PASSAGE.lower(), quotes([PASSAGE], LIVER))
    context = Context((PASSAGE,))
    texts = {compose(request, rng) for _ in range(200)}
    taken = [text for text in texts if "focal fatty infiltration" in text.lower()]
    assert len(taken) > 5
    passed = sum(run_checks(text, Cell("anatomy", "liver", "expert"), context)[-1].passed for text in texts)
    assert passed > 0.95 * len(texts)
