"""Dask runs independent tasks: on this machine's cores, or on the cluster that FLANS_DASK_SCHEDULER names."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from typing import TypeVar

from corpus.environment import whole_number
from corpus.errors import InputError

Task = TypeVar("Task")
Result = TypeVar("Result")


def workers() -> int:
    """Worker processes: FLANS_WORKERS, or the cores that this process may use."""
    # Only Linux knows which cores a process may use.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return whole_number("FLANS_WORKERS", cores)


def run_tasks(
    function: Callable[[Task], Result], tasks: Sequence[Task], done: Callable[[Task], None] = lambda task: None
) -> list[Result]:
    """Run `function` over `tasks`; results in the order of the tasks, so that the number of workers changes nothing.

    Args:
        done: Called with each task as it ends, for progress.

    Raises:
        InputError: There is no scheduler where FLANS_DASK_SCHEDULER says.
    """
    address = os.environ.get("FLANS_DASK_SCHEDULER")
    count = min(workers(), len(tasks))
    if not address and count <= 1:
        results = []
        for task in tasks:
            results.append(function(task))
            done(task)
        return results
    from distributed import Client, as_completed

    options: dict = (
        {"address": address}
        if address
        else {"n_workers": count, "threads_per_worker": 1, "dashboard_address": None, "memory_limit": 0}
    )
    # Workers inherit that they don't hear Ctrl+C: it is this process that ends them. It doesn't itself until they run.
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        client = Client(**options)
    except (OSError, ValueError) as error:
        if not address:
            raise
        found = f"expected a Dask scheduler at {address}, but {error}"
        raise InputError("FLANS_DASK_SCHEDULER", found, "start it, or correct or unset the variable") from None
    finally:
        signal.signal(signal.SIGINT, heard)
    with client:
        futures = client.map(function, tasks, pure=False)
        by_key = {future.key: task for future, task in zip(futures, tasks, strict=True)}
        for future in as_completed(futures):
            done(by_key[future.key])
        return client.gather(futures)
