"""Stage `index`: the passages of every configured source, and the synthetic ones -> one FAISS index.

python -m pipelines.index
"""

from __future__ import annotations

import pandas as pd

from corpus.errors import InputError
from corpus.params import load_params
from corpus.reports.index import IndexParams, build_index, embed
from corpus.reports.passages import read_passages
from corpus.reports.readers import SYNTHETIC, ReportParams
from pipelines.stage import EMBEDDINGS, INDEX, PASSAGES, cohort, console, progress, stage


@stage
def main() -> None:
    """Embed what isn't in the cache yet, and write the index, its passages and its manifest."""
    sources = load_params("reports", ReportParams).sources
    params = load_params("index", IndexParams)
    if not sources:
        raise InputError(
            "params.yaml",
            "`reports.sources` is empty",
            "add a source: `builtin: {reader: builtin, path: corpus/reports/builtin}`",
        )
    tables = [read_passages(PASSAGES / cohort() / name / "passages.parquet") for name in (*sorted(sources), SYNTHETIC)]
    # The first source by name that has a text keeps it: DVC takes no notice of the order in params.yaml.
    passages = pd.concat(tables, ignore_index=True).drop_duplicates(["tag", "text"], ignore_index=True)
    with progress("embed passages", len(passages)) as advance:
        embeddings = embed(passages["text"].tolist(), params, EMBEDDINGS, advance)
    manifest = build_index(passages, embeddings, INDEX, params)
    console.print(f"{manifest['n_passages']} passages indexed: {manifest['sources']}")


if __name__ == "__main__":
    main()
