"""The vocabulary, and the structures that text names."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus.anatomy import ORGANS, VOCABULARY, canonical_name, mentions, named_organs, read_organs, with_unions
from corpus.errors import InputError


def test_ids_are_one_to_twenty_four() -> None:
    assert [organ.id for organ in ORGANS] == list(range(1, 25))


def test_every_phrase_of_an_organ_names_that_organ_alone() -> None:
    for organ in ORGANS:
        asked = (organ.name, *organ.synonyms, *organ.abbreviations, *organ.lay, *organ.functions, *organ.landmarks)
        for phrase in asked:
            assert named_organs(f"outline {phrase} here") == [organ.name], phrase
        for context in organ.contexts:
            assert set(named_organs(context)) <= {organ.name}, context


@pytest.mark.parametrize(
    ("text", "organs"),
    [
        ("outline the gallbladder", ["gallbladder"]),
        ("outline the gall-bladder", ["gallbladder"]),
        ("RAG", ["right adrenal gland"]),
        ("a rag on the table", []),
        ("segment the kidneys", ["kidney"]),
        ("left and right kidneys", ["kidney"]),
        ("the kidney on the patient\u2019s left side", ["left kidney"]),
        ("the kidney on my left", ["left kidney"]),
        ("kidney (right)", ["right kidney"]),
        ("left renal cortex", ["left kidney"]),
        ("a renal cyst", ["kidney"]),
        ("the hip ball on the left", ["left head of femur"]),
        ("femoral head on the left-hand side", ["left head of femur"]),
        ("the head of the right femur", ["right head of femur"]),
        ("the kidney on the left of the aorta", ["kidney", "aorta"]),
        ("the adrenal glands", ["left adrenal gland", "right adrenal gland"]),
        ("both femoral heads", ["left head of femur", "right head of femur"]),
        ("the splenic vein behind the spleen", ["portal vein and splenic vein", "spleen"]),
        ("thickening at the hepatic flexure", ["colon"]),
        ("liver, spleen and seminal vesicle", ["liver", "spleen", "seminal vesicles"]),
        ("perirenal fat", []),
        ("the left renal vein and the superior vena cava", []),
        ("the vena cava", ["inferior vena cava"]),
        ("the liver's border and the livers", ["liver"]),
        ("outline the kidney right now", ["kidney"]),
        ("the kidney left in place after surgery", ["kidney"]),
        ("kidney right", ["right kidney"]),
        ("kidney (left)", ["left kidney"]),
        ("Kidney left in axial view, outline", ["left kidney"]),
        ("Contour kidney right on this slice", ["right kidney"]),
        ("outline the kidney, right now", ["kidney"]),
    ],
)
def test_named_organs(text: str, organs: list[str]) -> None:
    assert named_organs(text) == organs


@pytest.mark.parametrize(
    ("text", "negated"),
    [
        ("no gallbladder", True),
        ("outline it without the spleen", True),
        ("the gallbladder is surgically absent", True),
        ("don't include the spleen", True),
        ("I'm not sure where the liver is", False),
        ("if it's not too much trouble, outline the liver", False),
        ("not the whole scan, the liver", False),
        ("not everything but the liver", False),
        ("why not outline the liver for me?", False),
        ("do not forget the spleen", False),
        ("I do not know where my spleen is, mark it", False),
        ("not urgent - outline the liver", False),
        ("segment nothing except the spleen", False),
        ("everything except the spleen", True),
        ("without contrast, CT, please outline the liver", False),
        ("status post splenectomy please contour the liver", False),
        ("do not outline the liver", True),
        ("never the liver", True),
        ("No trace of the gallbladder.", True),
        ("No contour abnormality of the liver", True),
        ("no need to outline the spleen", True),
    ],
)
def test_negation(text: str, negated: bool) -> None:
    assert [m.negated for m in mentions(text)] == [negated]


@pytest.mark.parametrize(
    ("label", "organ"),
    [
        ("kidney_left", "left kidney"),
        ("Kidney (Lt)", "left kidney"),
        ("Kidney, Right", "right kidney"),
        ("RT_KIDNEY", "right kidney"),
        ("FemoralHead_L", "left head of femur"),
        ("UrinaryBladder", "bladder"),
        ("GallBladder", "gallbladder"),
        ("SmallBowel", "intestine"),
        ("PortalVein", None),
        ("liver_left", None),
    ],
)
def test_a_data_sets_label_is_known_however_it_is_spelled(label: str, organ: str | None) -> None:
    assert canonical_name(label) == organ


def test_a_mention_spans_its_longest_term() -> None:
    text = "Mark the urinary bladder."
    (mention,) = mentions(text)
    assert text[mention.start : mention.end] == "urinary bladder"


def test_labelling_both_parts_labels_the_union() -> None:
    assert with_unions({3, 4}) == {3, 4, 5}
    assert with_unions({3}) == {3}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("synonyms: hepar", r"`liver\.synonyms`: .*tuple, found 'hepar'"),
        ("synonims: [hepar]", r"`liver\.synonims`: no parameter has this name"),
        ("synonyms: [hepar, 12]", r"`liver\.synonyms\.1`: .*string, found 12"),
        ("synonyms: [hepar, on]", r"`liver\.synonyms\.1`: .*string, found True"),
        ("synonyms: [hepar, '']", r"`liver`: synonyms: expected terms with a word, found ''"),
        ("synonyms: [hepar, Spleen]", r"`liver\.synonyms`: 'Spleen' names the structure 'spleen' already"),
        ("synonyms: [hepar, lien]", r"`spleen\.synonyms`: 'lien' names the structure 'liver' already"),
        ("\n- name: Spleen", r"`Spleen\.name`: 'Spleen' names the structure 'spleen' already"),
        ("parts: [left lobe]", r"`liver\.parts`: .* found 'left lobe'"),
        ("side: middle", r"`liver\.side`: .* found 'middle'"),
        ("id: 7", r"`liver\.id`: "),
    ],
)
def test_a_vocabulary_that_would_mislead_is_refused(wrong: str, says: str, tmp_path: Path) -> None:
    path, ours = tmp_path / "organs.yaml", VOCABULARY.read_text(encoding="utf-8")
    path.write_text(ours.replace("synonyms: [hepar, hepatic parenchyma]", wrong, 1), encoding="utf-8")
    with pytest.raises(InputError, match=rf"organs\.yaml: {says}(.|\n)*To mend it"):
        read_organs(path)
