"""Threads, devices and batches: the logic of a GPU and of a cluster, with stand-ins where there is none."""

from __future__ import annotations

import threading

import dask
import pytest
import torch

from xr_sr.errors import OptionError
from xr_sr.runtime import device as engine


@pytest.fixture
def fresh(monkeypatch):
    """Threads that have not been settled yet."""
    monkeypatch.setattr(engine, "_settled", threading.local())


def in_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize(("processors", "workers", "expected"), [(8, 2, 4), (8, 8, 1), (2, 5, 1)])
def test_processors_are_shared_between_the_threads_of_the_pool(fresh, monkeypatch, processors, workers, expected):
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    monkeypatch.setattr(engine, "_processors", lambda: processors)

    def twice():
        with dask.config.set(num_workers=workers):
            engine.settle_threads()
            engine.settle_threads()

    in_thread(twice)

    assert asked == [expected]


def test_worker_processes_of_one_cluster_share_the_processors():
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        found = client.run(engine._sibling_workers)

    assert set(found.values()) == {2}


def test_the_main_thread_keeps_its_own(fresh, monkeypatch):
    monkeypatch.setattr(torch, "set_num_threads", lambda n: pytest.fail("the main thread was changed"))

    engine.settle_threads()


def test_auto_is_what_this_process_has(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert engine.resolve_device("auto") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert engine.resolve_device("auto") == "cuda"
    assert engine.resolve_device("cuda:1") == "cuda:1"


def test_a_device_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(OptionError, match="sees no GPU"):
        engine.resolve_device("cuda")
    with pytest.raises(OptionError, match="'auto', 'cpu'"):
        engine.resolve_device("gpu please")


def test_a_batch_is_halved_until_it_fits():
    done, tried = [], []

    def run(batch):
        tried.append(len(batch))
        if len(batch) > 3:
            raise torch.cuda.OutOfMemoryError("full")
        done.extend(batch)

    engine.in_batches(run, range(17), size=16)

    assert done == list(range(17))
    assert tried == [16, 8, 4, 2, 2, 2, 2, 2, 2, 2, 2, 1]


def test_one_item_that_does_not_fit_says_what_to_do():
    def run(batch):
        raise torch.cuda.OutOfMemoryError("full")

    with pytest.raises(MemoryError, match="smaller chunks"):
        engine.in_batches(run, [1, 2, 3], size=4)


def test_keeping_memory_is_a_question_of_the_c_library(monkeypatch):
    import os

    assert isinstance(engine.keep_freed_memory(), bool)
    monkeypatch.setattr(os, "name", "nt")
    assert engine.keep_freed_memory() is False


def test_networks_are_compiled_where_that_is_asked_for(monkeypatch):
    """Here by a stand-in for torch.compile, which needs minutes and a compiler."""
    seen = []

    def compile_(function, **options):
        seen.append((function, options))
        return lambda x: function(x) + 1

    def double(x):
        return 2 * x

    monkeypatch.setattr("torch.compile", compile_)
    monkeypatch.setattr(engine, "_compiling", [])
    assert engine.compiled(double) is double
    monkeypatch.setenv("XR_SR_COMPILE", "1")
    assert engine.compiled(double)(2) == 5
    engine.ask_compiling(False)
    assert engine.compiled(double) is double
    engine.ask_compiling(True)
    monkeypatch.delenv("XR_SR_COMPILE")
    assert engine.compiled(double)(2) == 5
    assert [function for function, _ in seen] == [double, double]
