"""Section `ingest` of params.yaml: on its own, so that a stage that only asks which sources there are doesn't rerun
when the way in which they are read changes."""

from __future__ import annotations

from pathlib import Path

from corpus.params import check_least, params_dataclass


@params_dataclass
class SourceParams:
    """Where one source lies, and the adapter that knows its layout."""

    adapter: str
    root: Path


@params_dataclass
class IngestParams:
    """Section `ingest` of params.yaml."""

    sources: dict[str, SourceParams]
    shards: int
    """Shards a source; about one for every 250 to 1000 slices."""
    speck_mm2: float
    """Connected components of a 2D mask that are smaller than this are dropped."""
    negatives: float
    """Share of the slices with no labelled organ that is kept."""

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("expected at least one source")
        if not 1 <= self.shards <= 999:
            raise ValueError("shards must be from 1 to 999")
        check_least(self, speck_mm2=0)
        if not 0 <= self.negatives <= 1:
            raise ValueError("negatives must be from 0 to 1")
