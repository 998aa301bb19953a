"""The sentence encoder, the embeddings cache, the FAISS index and the retriever."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from corpus.errors import InputError
from corpus.reports import index as index_module
from corpus.reports.encoder import GRID, encode, encoder_sha256, load_sentence_encoder
from corpus.reports.index import IndexParams, PassageIndex, build_index, embed, load_index
from corpus.reports.passages import passages_of, write_passages
from corpus.reports.readers import Report
from corpus.reports.retriever import PassageRetriever

TEXTS = {
    "a": ("S1", "The liver is enlarged with a nodular contour, in keeping with cirrhosis."),
    "b": ("S1", "A 6 mm obstructing calculus in the left ureter with hydronephrosis of the left kidney."),
    "c": ("S1", "The gallbladder wall is thickened and there is pericholecystic fluid."),
    "d": ("S2", "why does my kidney stone hurt so much"),
    "e": ("S2", "is a fatty liver dangerous"),
    "f": ("S1", "The abdominal aorta is aneurysmal, 5.6 cm across."),
}


@pytest.fixture(scope="module")
def passages() -> pd.DataFrame:
    return passages_of([Report(i, text, "mine", tag, "any") for i, (tag, text) in TEXTS.items()])[0]


@pytest.fixture(scope="module")
def embeddings(passages: pd.DataFrame) -> np.ndarray:
    return encode(passages["text"].tolist())


@pytest.fixture(scope="module")
def built(passages: pd.DataFrame, embeddings: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    build_index(passages, embeddings, folder, IndexParams())
    return folder


@pytest.fixture(scope="module")
def index(built: Path) -> PassageIndex:
    return load_index(built)


def ids(hits: list) -> list[str]:
    return [hit.passage["report_id"] for hit in hits]


def test_embeddings_are_normalised_on_the_grid_and_near_float32(embeddings: np.ndarray, passages: pd.DataFrame) -> None:
    assert embeddings.shape == (6, 384)
    assert embeddings.dtype == np.float32
    assert np.abs(np.linalg.norm(embeddings, axis=1) - 1).max() < 1e-3
    steps = embeddings.astype(np.float64) * GRID
    assert np.abs(steps - np.rint(steps)).max() < 1e-3
    assert np.abs(encode(passages["text"].tolist(), "float32") - embeddings).max() <= 1.01 * 0.5 / GRID


def test_embeddings_are_the_same_bytes_for_any_threads_batch_and_order(embeddings: np.ndarray) -> None:
    texts = [text for _, text in TEXTS.values()]
    threads = torch.get_num_threads()
    try:
        for n, batch_size in ((1, 2), (2, 5)):
            torch.set_num_threads(n)
            assert encode(texts, batch_size=batch_size).tobytes() == embeddings.tobytes()
            assert encode(texts[::-1], batch_size=batch_size)[::-1].tobytes() == embeddings.tobytes()
    finally:
        torch.set_num_threads(threads)


def test_the_progress_callback_counts_every_text() -> None:
    done: list[int] = []
    encode(["liver", "spleen", "aorta"], batch_size=2, advance=done.append)
    assert done == [2, 1]


def test_altered_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"altered")

    class File:
        name = "model.safetensors"

        def locate(self) -> Path:
            return weights

    monkeypatch.setattr("corpus.reports.encoder.files", lambda package: [File()])
    monkeypatch.setattr("corpus.reports.encoder._load", load_uncached)
    with pytest.raises(InputError, match="expected the published weights"):
        load_sentence_encoder()


def load_uncached(name: str, precision: str) -> object:
    from corpus.reports import encoder

    return encoder._builtin_folder()


def test_an_unknown_encoder_is_an_input_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no sentence encoder could be loaded"):
        load_sentence_encoder(str(tmp_path / "empty"))


def test_another_encoder_is_known_by_its_weights(tmp_path: Path) -> None:
    load_sentence_encoder().save(str(tmp_path / "copy"))
    assert encoder_sha256(str(tmp_path / "copy")) != encoder_sha256()
    assert len(encoder_sha256(str(tmp_path / "copy"))) == 64


def test_search_finds_what_is_meant_and_filters(index: PassageIndex) -> None:
    liver, stone = index.search(["hepatic cirrhosis", "renal calculus"], k=2)
    assert ids(liver)[0] == "a"
    assert set(ids(stone)) == {"b", "d"}
    assert liver[0].score > liver[1].score
    assert ids(index.search(["hepatic cirrhosis"], k=6, tags=["S2"])[0])[0] == "e"
    assert set(ids(index.search(["anything"], k=6, organs=["liver"])[0])) == {"a", "e"}
    assert ids(index.search(["anything"], k=6, organs=["liver"], tags=["S2"])[0]) == ["e"]
    assert index.search(["anything"], k=3, organs=["prostate"]) == [[]]
    assert index.search([], k=3) == []


def test_scores_are_cosines_and_a_passage_finds_itself(index: PassageIndex, embeddings: np.ndarray) -> None:
    for row, hits in enumerate(index.search(embeddings, k=6)):
        expected = embeddings.astype(np.float64) @ embeddings[row].astype(np.float64)
        order = np.argsort(-expected, kind="stable")
        assert ids(hits) == [list(TEXTS)[i] for i in order]
        assert [hit.score for hit in hits] == pytest.approx(expected[order], abs=1e-6)
        assert hits[0].score == pytest.approx(1, abs=1e-3)


def test_equal_scores_keep_the_order_of_the_table(passages: pd.DataFrame, tmp_path: Path) -> None:
    same = np.tile(encode(["liver"]), (len(passages), 1))
    build_index(passages, same, tmp_path, IndexParams())
    assert ids(load_index(tmp_path).search(["liver"], k=4)[0]) == list("abcd")


def test_the_same_input_gives_the_same_bytes(
    built: Path, passages: pd.DataFrame, embeddings: np.ndarray, tmp_path: Path
) -> None:
    manifest = build_index(passages.copy(), embeddings.copy(), tmp_path / "again", IndexParams())
    for name in ("index.faiss", "passages.parquet", "manifest.json"):
        assert (tmp_path / "again" / name).read_bytes() == (built / name).read_bytes()
    assert manifest["sources"] == {"mine": 6}
    assert manifest["dimension"] == 384


def _edit(key: str, value: object):
    def edit(folder: Path, passages: pd.DataFrame) -> None:
        path = folder / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))

    return edit


def _other_passages(folder: Path, passages: pd.DataFrame) -> None:
    write_passages(passages.iloc[::-1].reset_index(drop=True), folder / "passages.parquet")


def _broken_index(folder: Path, passages: pd.DataFrame) -> None:
    with (folder / "index.faiss").open("r+b") as stream:
        stream.seek(-4, 2)
        stream.write(b"\0\0\0\0")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_edit("encoder_sha256", "0" * 64), "weights of the encoder"),
        (_edit("dimension", 768), "dimension: the manifest says 768, found 384"),
        (_edit("n_passages", 7), "number of vectors"),
        (_other_passages, "hash of the passages"),
        (_broken_index, "index.faiss: hash"),
        (lambda folder, passages: (folder / "index.faiss").unlink(), "index.faiss: the file is missing"),
        (lambda folder, passages: (folder / "manifest.json").write_text("{"), "expected an index's manifest"),
        (lambda folder, passages: (folder / "passages.parquet").unlink(), "expected a table of passages"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(built, passages, tmp_path, damage, message) -> None:
    folder = tmp_path / "index"
    shutil.copytree(built, folder)
    damage(folder, passages)
    with pytest.raises(InputError, match=message):
        load_index(folder)


def test_the_wanted_encoder_must_have_made_the_index(built: Path) -> None:
    with pytest.raises(InputError, match="expected an index by the encoder other, found builtin"):
        load_index(built, encoder="other")


def test_no_passages_make_no_index(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no passages"):
        build_index(passages_of([])[0], np.empty((0, 384), np.float32), tmp_path, IndexParams())


def test_only_new_texts_are_embedded_and_a_lost_cache_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embeddings: np.ndarray
) -> None:
    texts = [text for _, text in TEXTS.values()]
    embedded: list[str] = []

    def counting(batch: list[str], *args: object, **kwargs: object) -> np.ndarray:
        embedded.extend(batch)
        return encode(batch, *args, **kwargs)

    monkeypatch.setattr(index_module, "encode", counting)
    advanced: list[int] = []
    assert embed(texts[:4], IndexParams(), tmp_path).tobytes() == embeddings[:4].tobytes()
    assert embed([*texts, texts[0]], IndexParams(), tmp_path, advanced.append)[:6].tobytes() == embeddings.tobytes()
    assert sorted(embedded) == sorted(texts)
    assert sum(advanced) == 7
    assert not list(tmp_path.rglob("*.partial"))
    shutil.rmtree(tmp_path)
    assert embed(texts, IndexParams(), tmp_path).tobytes() == embeddings.tobytes()


def test_an_unreadable_part_of_the_cache_costs_time_alone(tmp_path: Path, embeddings: np.ndarray) -> None:
    texts = [text for _, text in TEXTS.values()]
    embed(texts, IndexParams(), tmp_path)
    (part,) = tmp_path.rglob("*.parquet")
    part.write_bytes(part.read_bytes()[:100])
    assert embed(texts, IndexParams(), tmp_path).tobytes() == embeddings.tobytes()


def test_the_retriever_returns_documents_with_their_provenance(index: PassageIndex) -> None:
    documents = PassageRetriever(index=index, k=2, source_tags=("S2",)).invoke("hepatic steatosis")
    assert [document.metadata["report_id"] for document in documents] == ["e", "d"]
    first = documents[0]
    assert first.page_content == TEXTS["e"][1]
    assert first.metadata.keys() == {"passage_id", "source", "tag", "report_id", "organs", "score"}
    assert first.metadata["organs"] == ["liver"]
    assert first.id == first.metadata["passage_id"]
