"""Texts that people wrote: every slot filled, every intent what the text says, the same for the same seed."""

from __future__ import annotations

from collections import Counter

from corpus.anatomy import ORGANS, named_organs
from corpus.params import read_yaml
from prompts.written import FORMS, forms


def test_forms_are_filled_with_every_structures_names() -> None:
    made = list(forms(3, seed=0))
    assert not any("{organ}" in each.text for each in made)
    content = read_yaml(FORMS)
    assert len(made) == 3 * len(content["requests"] + content["nothing"]) + sum(
        len(texts) for name, texts in content.items() if name not in ("requests", "nothing")
    )
    asked = [each for each in made if each.cell.intent.kind == "anatomy"]
    missed = [each.text for each in asked if each.cell.intent.organ not in named_organs(each.text)]
    assert len(missed) < 0.01 * len(asked), missed
    assert set(Counter(each.cell.intent.organ for each in asked)) == {organ.name for organ in ORGANS}
    assert made == list(forms(3, seed=0)) != list(forms(3, seed=1))
    assert not list(forms(0, seed=0))


def test_a_form_and_a_name_do_not_both_bring_an_article() -> None:
    assert not any(article in each.text.lower() for each in forms(6, seed=0) for article in ("the the ", "my my "))
