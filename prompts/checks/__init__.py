"""What a request must pass before it enters the bank: named checks, each of which gives its reason.

Checks of one candidate run as it is written, in the order below, up to the first that fails; `prompts.checks.bank`
holds those that need the whole bank. measured.yaml is what all of them are measured on (`flans bench checks`).
"""

from prompts.checks import form, asking, target, passages  # noqa: I001, the order in which the checks run
from prompts.checks.reading import words
from prompts.checks.registry import CHECKS, Context, Verdict, run_checks

__all__ = ["CHECKS", "Context", "Verdict", "asking", "form", "passages", "run_checks", "target", "words"]
