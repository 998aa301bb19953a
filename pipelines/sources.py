"""Which data set a command means: a source of params.yaml, or any folder with the name of its adapter."""

from __future__ import annotations

from pathlib import Path

from corpus.errors import InputError
from corpus.params import load_params
from corpus.scans.ingest_params import IngestParams, SourceParams
from pipelines.stage import PHANTOM


def find_source(name: str | None, adapter: str | None, root: Path | None) -> tuple[str, SourceParams]:
    """The source's name and where it lies.

    Args:
        name: A key of params.yaml's `ingest.sources`; None means the first one. What `adapter` and `root` tell is
            called as its folder.

    Raises:
        InputError: No such source, only one of `adapter` and `root`, a name beside them, or a phantom that isn't drawn
            yet.
    """
    if name and (adapter or root):
        raise InputError("SOURCE", f"expected {name} or --adapter and --root, found both", "leave one out")
    if adapter and root:
        return root.resolve().name, SourceParams(adapter=adapter, root=root)
    if adapter or root:
        raise InputError("--adapter and --root", "expected both or neither, found one", "give the other one too")
    sources = load_params("ingest", IngestParams).sources
    name = name or next(iter(sources))
    if name not in sources:
        raise InputError(
            "params.yaml: ingest.sources",
            f"expected a source of {', '.join(sources)}, found {name!r}",
            "name one of them, or give --adapter and --root",
        )
    if sources[name].root == PHANTOM and not PHANTOM.is_dir():
        raise InputError(PHANTOM, "expected the phantom's scans, found none", "run `dvc repro phantom`")
    return name, sources[name]
