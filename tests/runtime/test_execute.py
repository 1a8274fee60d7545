from __future__ import annotations

import io
import operator
import sys
import threading
import types

import dask
import pytest

from xr_sr.runtime.execute import Graph, active_client, is_shown, progress_bar, run_graphs, shares_memory

LOCAL = ("threads", "synchronous")


def graph(name: str, count: int, task=None) -> Graph:
    tasks = {(name, number): task or (operator.mul, number, 10) for number in range(count)}
    tasks[(name, "sum")] = (sum, [(name, number) for number in range(count)])
    return Graph(tasks, tuple(tasks))


def broken(*_: object) -> None:
    raise ValueError("this task fails")


@pytest.mark.parametrize("scheduler", LOCAL)
def test_each_watched_task_is_reported_once_with_its_result_in_the_calling_thread(scheduler):
    ended, threads = {}, set()

    def note(key, value):
        assert key not in ended
        ended[key] = value
        threads.add(threading.current_thread())

    with dask.config.set(scheduler=scheduler):
        run_graphs((graph(name, 5) for name in "ab"), note)

    assert ended == {(name, number): 10 * number for name in "ab" for number in range(5)} | {
        ("a", "sum"): 100,
        ("b", "sum"): 100,
    }
    assert threads == {threading.current_thread()}


@pytest.mark.parametrize("scheduler", LOCAL)
def test_graphs_are_made_when_it_is_their_turn(scheduler):
    told = []

    def lazily():
        for name in "ab":
            told.append(name)
            yield graph(name, 2)

    with dask.config.set(scheduler=scheduler):
        run_graphs(lazily(), lambda key, _: told.append(key[0].upper()))

    assert told == ["a", "A", "A", "A", "b", "B", "B", "B"]


@pytest.mark.parametrize("scheduler", LOCAL)
def test_what_a_task_or_the_listener_raises_comes_out(scheduler):
    def refuse(key, _):
        raise KeyboardInterrupt

    with dask.config.set(scheduler=scheduler):
        with pytest.raises(ValueError, match="this task fails"):
            run_graphs([graph("a", 3, (broken,))], lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            run_graphs([graph("a", 3)], refuse)


def test_a_cluster_reports_the_same_and_keeps_graphs_ahead():
    from distributed import Client, LocalCluster

    ended = {}
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        assert active_client() is client
        assert shares_memory()
        run_graphs((graph(f"graph-{number}", 4) for number in range(10)), ended.__setitem__)
        with pytest.raises(ValueError, match="this task fails"):
            run_graphs([graph("c", 3, (broken,))], lambda *_: None)
        with dask.config.set(scheduler="threads"):
            assert active_client() is None

    assert len(ended) == 50
    assert ended[("graph-9", "sum")] == 60


def test_processes_do_not_share_memory():
    with dask.config.set(scheduler="processes"):
        assert not shares_memory()
    with dask.config.set(scheduler="threads"):
        assert shares_memory()


def test_the_bar_is_shown_in_a_terminal_and_in_jupyter_and_nowhere_else(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not is_shown(None)
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert is_shown(None)
    assert not is_shown(False)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert is_shown(None)


def test_the_bar_counts_from_what_was_done_before(capsys):
    with progress_bar(10, done=4, progress=True, label="out.zarr") as advance:
        advance(6)

    told = capsys.readouterr().err
    assert "out.zarr" in told and "4/10" in told and "10/10" in told


def test_a_hidden_bar_prints_nothing(capsys):
    with progress_bar(10, progress=False) as advance:
        advance(10)

    assert capsys.readouterr() == ("", "")
