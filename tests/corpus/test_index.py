"""The sentence encoder, the embeddings cache, the FAISS index and the retriever."""

import gzip
import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faiss
import numpy as np
import pandas as pd
import pytest
import torch

from corpus.errors import InputError
from corpus.params import load_params
from corpus.reports import index as index_module
from corpus.reports import vectors
from corpus.reports.deidentify import deidentify_parts
from corpus.reports.encoder import GRID, encode, encoder_sha256, load_sentence_encoder
from corpus.reports.index import IndexParams, PassageIndex, build_index, embed, load_index
from corpus.reports.passages import passages_of, write_passages
from corpus.reports.readers import Report, ReportSource, read_reports
from corpus.reports.retriever import PassageRetriever
from pipelines.bench_retrieve import bench_retrieve, clustered, describe, recall

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

    return encoder.builtin_folder()


def test_an_unknown_encoder_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no sentence encoder could be loaded(.|\n)*`index\.encoder` of params\.yaml"):
        load_sentence_encoder(str(tmp_path / "empty"))


def test_a_folder_without_an_encoder_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    for name in ("builtin", "all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2", str(tmp_path)):
        params.write_text(f"index: {{encoder: {name}}}")
        assert load_params("index", IndexParams, params).encoder == name
    for name in ("/nosuch", "./nosuch", "~/nosuch", "models/no/such"):
        params.write_text(f"index: {{encoder: {name}}}")
        with pytest.raises(InputError, match=r"params\.yaml: `index`: encoder: .* found no folder"):
            load_params("index", IndexParams, params)


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
        stream.write(b"\x12\x34\x56\x78")


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


@pytest.mark.parametrize("damage", ["torn", "a bit", "no head"])
def test_an_unreadable_part_of_the_cache_costs_time_alone(damage: str, tmp_path: Path, embeddings: np.ndarray) -> None:
    texts = [text for _, text in TEXTS.values()]
    embed(texts, IndexParams(), tmp_path)
    (part,) = tmp_path.rglob("*.parquet")
    whole = part.read_bytes()
    middle = len(whole) // 2
    part.write_bytes(
        {
            "torn": whole[:100],
            "a bit": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "no head": bytes(min(8192, middle)) + whole[min(8192, middle) :],
        }[damage]
    )
    assert embed(texts, IndexParams(), tmp_path).tobytes() == embeddings.tobytes()


def test_the_same_texts_may_be_embedded_by_several_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embeddings: np.ndarray
) -> None:
    texts = [text for _, text in TEXTS.values()]
    barrier = threading.Barrier(8)

    def together(batch: list[str], *args: object, **kwargs: object) -> np.ndarray:
        barrier.wait()
        return embeddings[[texts.index(text) for text in batch]]

    monkeypatch.setattr(index_module, "encode", together)
    with ThreadPoolExecutor(8) as several:
        made = several.map(lambda _: embed(texts, IndexParams(), tmp_path), range(8))
    assert {each.tobytes() for each in made} == {embeddings.tobytes()}
    assert len(list(tmp_path.rglob("*.parquet"))) == 1


def test_the_retriever_returns_documents_with_their_provenance(index: PassageIndex) -> None:
    documents = PassageRetriever(index=index, k=2, source_tags=("S2",)).invoke("hepatic steatosis")
    assert [document.metadata["report_id"] for document in documents] == ["e", "d"]
    first = documents[0]
    assert first.page_content == TEXTS["e"][1]
    assert first.metadata.keys() == {"passage_id", "source", "tag", "report_id", "organs", "score"}
    assert first.metadata["organs"] == ["liver"]
    assert first.id == first.metadata["passage_id"]


def clustered_vectors(n: int, seed: int = 0) -> np.ndarray:
    return next(clustered(n, dimension=64, seed=seed)).astype(np.float32)


def test_above_the_threshold_an_inverted_file_finds_nearly_the_same() -> None:
    stored, queries = clustered_vectors(6000)[:5900], clustered_vectors(6000)[5900:]
    exact, inverted = (
        vectors.build(stored, exact_up_to=5900, probes=1),
        vectors.build(stored, exact_up_to=5899, probes=32),
    )
    truth = exact.search(queries, 10)[1]
    assert type(exact).__name__ == "IndexFlatIP"
    assert inverted.nlist == vectors.n_lists(5900) == 256
    assert recall(inverted.search(queries, 10)[1], truth) > 0.9
    one_probe = vectors.build(stored, exact_up_to=0, probes=1)
    assert recall(one_probe.search(queries, 10)[1], truth) < 0.8


def test_the_inverted_file_is_the_same_bytes_for_any_number_of_threads() -> None:
    stored = clustered_vectors(3000)
    threads = faiss.omp_get_max_threads()
    found = []
    try:
        for n in (1, 2, 3):
            faiss.omp_set_num_threads(n)
            found.append(faiss.serialize_index(vectors.build(stored, exact_up_to=0, probes=4)).tobytes())
    finally:
        faiss.omp_set_num_threads(threads)
    assert found[0] == found[1] == found[2]


def test_inner_products_on_the_coarse_grid_are_exact_in_float32() -> None:
    a = vectors.coarse(clustered_vectors(200))
    exact = a.astype(np.float64) @ a.T.astype(np.float64)
    assert np.array_equal((a @ a.T).astype(np.float64), exact)
    assert np.array_equal(a.astype(np.float16).astype(np.float32), a)


def test_an_inverted_file_is_searched_filtered_and_refused_like_the_exact_index(
    passages: pd.DataFrame, embeddings: np.ndarray, tmp_path: Path
) -> None:
    manifest = build_index(passages, embeddings, tmp_path, IndexParams(exact_up_to=0, probes=100))
    assert manifest["index"] == "ivf"
    loaded = load_index(tmp_path)
    (hits,) = loaded.search(["hepatic cirrhosis"], k=6)
    assert ids(hits)[0] == "a"
    assert len(hits) == 6
    assert hits[0].score == pytest.approx(load_exact_score(passages, embeddings, tmp_path / "exact"), abs=1e-3)
    assert ids(loaded.search(["anything"], k=6, organs=["liver"], tags=["S2"])[0]) == ["e"]
    _broken_index(tmp_path, passages)
    with pytest.raises(InputError, match="hash"):
        load_index(tmp_path)


def load_exact_score(passages: pd.DataFrame, embeddings: np.ndarray, folder: Path) -> float:
    build_index(passages, embeddings, folder, IndexParams())
    return load_index(folder).search(["hepatic cirrhosis"], k=1)[0][0].score


def test_a_filter_that_lets_few_pass_finds_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = clustered_vectors(3000)
    inverted = vectors.build(stored, exact_up_to=0, probes=1)
    rows = np.arange(0, 3000, 300)
    (found,) = vectors.propose(inverted, stored[:1], 20, rows)
    assert found.tolist() == rows.tolist()
    monkeypatch.setattr(vectors, "_SELECTED_EXACTLY", 5)
    (found,) = vectors.propose(inverted, stored[:1], 20, rows)
    assert 0 in found
    assert set(found) <= set(rows.tolist())


def test_the_benchmark_measures_both_indexes_and_its_vectors_are_clustered() -> None:
    exact, inverted = bench_retrieve(2000, k=5, n_queries=20, probes=64)
    assert exact.recall == 1
    assert inverted.recall > 0.95
    assert min(exact.queries_per_second, inverted.queries_per_second) > 0
    shape = describe(np.concatenate(list(clustered(2000))), n=100)
    assert 0.15 < shape["any"] < 0.35 < shape["10th"] < shape["1st"] < 0.8


def test_the_first_vectors_are_the_same_for_any_number() -> None:
    few, many = (np.concatenate(list(clustered(n, dimension=16))) for n in (10, 70_000))
    assert np.array_equal(few, many[:10])
    assert len(many) == 70_000


REAL = Path(os.environ.get("FLANS_REAL_DATA", "../shared/real")) / "text_mtsamples"


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real notes aren't in {REAL} (set FLANS_REAL_DATA)")
def test_real_sentences_are_indexed_whole_and_found(tmp_path: Path) -> None:
    """Every fourth of the 4,474 sentences, read, de-identified, cut, embedded and searched."""
    with gzip.open(REAL / "abdominal_sentences.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) | {"id": str(i)} for i, line in enumerate(lines)][::4]
    (tmp_path / "s.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    source = ReportSource("jsonl", str(tmp_path / "s.jsonl"))
    reports = [deidentify_parts([r])[0][0] for r in read_reports("mt", source) if isinstance(r, Report)]
    table, _ = passages_of(reports)
    params = IndexParams(precision="float32")
    build_index(table, embed(table["text"].tolist(), params, tmp_path / "cache"), tmp_path / "index", params)
    index = load_index(tmp_path / "index")
    assert len(reports) == 1119
    assert len(index) > 1075
    for query, organ in (
        ("gallstones in the gallbladder", "gallbladder"),
        ("kidney stone", "kidney"),
        ("cirrhosis", "liver"),
    ):
        (hits,) = index.search([query], k=5)
        assert sum(organ in " ".join(hit.passage["organs"]) or organ in hit.passage["text"] for hit in hits) >= 3
