"""LangChain's view of the index: a retriever that returns passages as documents."""

from __future__ import annotations

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field

from corpus.reports.index import Hit, PassageIndex


class PassageRetriever(BaseRetriever):
    """The `k` passages of `index` nearest to a query, of the given source tags."""

    index: PassageIndex
    k: int = Field(default=4, ge=1)
    source_tags: tuple[str, ...] | None = None
    """S1, S2, S3; None searches all. (`tags` is LangChain's own: it labels runs.)"""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        (hits,) = self.index.search([query], self.k, tags=self.source_tags)
        return [_document(hit) for hit in hits]


def _document(hit: Hit) -> Document:
    kept = ("passage_id", "source", "tag", "report_id", "organs")
    return Document(
        id=hit.passage["passage_id"],
        page_content=hit.passage["text"],
        metadata={**{name: hit.passage[name] for name in kept}, "score": hit.score},
    )
