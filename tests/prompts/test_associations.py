"""Terms that call a structure to mind: how they are found, and what a reader is told of them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from corpus.anatomy import BY_NAME, mentions
from corpus.errors import InputError
from corpus.params import read_yaml
from prompts.wording.associations import CONTENT, associated, associations, read_associations
from prompts.wording.cues import CUES, UNSIDED, cues
from prompts.wording.spelling import mend


def found(text: str) -> list[tuple[str, str]]:
    return [(text[a.start : a.end], a.noun) for a in associations(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CIRRHOTIC, Child-Pugh C: outline it", [("CIRRHOTIC", "liver"), ("Child-Pugh", "liver")]),
        ("after a child pugh score", [("child pugh", "liver")]),
        (
            "a Kayser-Fleischer ring, and Wilson\u2019s disease",
            [("Kayser-Fleischer", "liver"), ("Wilson\u2019s disease", "liver")],
        ),
        ("TEVAR in place", [("TEVAR", "aorta")]),
        ("HCC, and hcc", [("HCC", "liver")]),
        ("a child of five", []),
    ],
)
def test_terms_are_found_in_any_wording_but_not_within_other_words(text: str, expected: list[tuple[str, str]]) -> None:
    assert found(text) == expected


def test_a_reader_is_told_what_a_text_is_about_apart_from_what_it_names() -> None:
    text = "cirrhosis, now outline the spleen"
    told = {text[cue.start : cue.end]: CUES[cue.number - 1] for cue in cues(text)}
    assert told == {"cirrhosis": "about liver", "spleen": "spleen"}


def test_every_term_stands_for_one_structure_and_names_none() -> None:
    content = read_yaml(CONTENT)
    assert set(associated()) <= {*BY_NAME, *UNSIDED}
    assert min(len(terms) for terms in content.values()) >= 50
    terms = [re.sub(r"[\s-]+", " ", term.lower()) for listed in content.values() for term in listed]
    assert [term for term, count in Counter(terms).items() if count > 1] == []
    assert [term for term in terms if any(mentions(term.rstrip("*")))] == []


def test_what_is_a_term_is_not_misspelt() -> None:
    terms = [term for listed in read_yaml(CONTENT).values() for term in listed if not term.endswith("*")]
    assert [term for term in terms if mend(term).lower() != term.lower()] == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("liver: [10200004]", "10200004"),
        ("thymus: [myasthenia]", "thymus"),
        ("liver: ['*']", "'\\*'"),
        ("[cirrhosis]", ""),
    ],
)
def test_a_list_that_is_none_is_refused(content: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "terms.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=f"terms.yaml(.|\n)*{says}(.|\n)*To mend it"):
        read_associations(path)
