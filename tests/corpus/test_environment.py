"""Numbers and addresses from the environment."""

import signal
from pathlib import Path

import pytest

from corpus.environment import positive_number, whole_number
from corpus.errors import InputError
from corpus.parallel import run_tasks
from corpus.params import read_yaml


def test_a_number_is_read_and_an_unset_one_has_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLANS_X", "3")
    assert (whole_number("FLANS_X", 1), positive_number("FLANS_X", 1.5)) == (3, 3.0)
    monkeypatch.setenv("FLANS_X", "")
    assert (whole_number("FLANS_X", 1), positive_number("FLANS_X", 1.5)) == (1, 1.5)
    monkeypatch.setenv("FLANS_X", "0.2")
    assert positive_number("FLANS_X", 1.5) == 0.2


@pytest.mark.parametrize("value", ["two", "0", "-1", "nan", "inf", "1e999"])
def test_another_value_is_named_with_its_variable(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLANS_X", value)
    with pytest.raises(InputError, match=f"FLANS_X: expected a whole number from 1 on, found '{value}'"):
        whole_number("FLANS_X", 1)
    with pytest.raises(InputError, match=f"FLANS_X: expected a positive number, found '{value}'"):
        positive_number("FLANS_X", 1)


def test_an_address_that_is_no_schedulers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLANS_DASK_SCHEDULER", "localhost8786")
    with pytest.raises(InputError, match=r"FLANS_DASK_SCHEDULER: expected a Dask scheduler at localhost8786"):
        run_tasks(abs, [1])


def test_what_stops_a_worker_is_told_as_if_it_had_stopped_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLANS_WORKERS", "2")
    with pytest.raises(InputError, match=r"none\.yaml: .*\n  To mend it: "):
        run_tasks(read_yaml, [Path("none.yaml"), Path("none.yaml")])


def test_workers_leave_ctrl_c_to_the_process_that_started_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLANS_WORKERS", "2")
    heard = signal.getsignal(signal.SIGINT)
    assert run_tasks(signal.getsignal, [signal.SIGINT, signal.SIGINT]) == [signal.SIG_IGN, signal.SIG_IGN]
    assert signal.getsignal(signal.SIGINT) is heard
