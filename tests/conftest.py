"""How the tests share a machine: one process and, beside others, one thread each; the longest file first."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("FLANS_WORKERS", "1")  # starting a cluster takes longer than a test's few volumes
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # read where PyTorch is imported: here, and in what the tests start


@pytest.fixture(autouse=True)
def threads_of_its_own() -> Iterator[None]:
    """A test sets PyTorch's threads for itself: two that were left to all later ones made them 15 times slower."""
    import torch

    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest file first, so that no worker waits for it at the end."""
    items.sort(key=lambda item: item.path.name != "test_pipeline.py")
