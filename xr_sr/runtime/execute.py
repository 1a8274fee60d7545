"""Run graphs of tasks on the active scheduler, report each finished task, and show a progress bar.

Knows dask, tqdm and the warnings of tasks. What the tasks do, and what to do when one ends, is left to the caller.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..task_warnings import collecting

if TYPE_CHECKING:
    from distributed import Client, Future

_AHEAD = 4
"""Watched tasks per thread of a cluster that are kept in flight, so that no worker waits for the next graph."""


@dataclass(frozen=True, eq=False)
class Graph:
    """Some tasks that are computed together.

    tasks: a low-level dask graph, key to task. keys: the tasks whose end is reported; they are what is computed.
    Keys must differ between graphs, as a cluster takes an equal key for an equal task.
    """

    tasks: Mapping[Hashable, Any]
    keys: tuple[Hashable, ...]


@collecting()
def run_graphs(graphs: Iterable[Graph], on_done: Callable[[Hashable, Any], None]) -> None:
    """Compute graphs in order and call `on_done(key, result)` for each watched task as it ends.

    `on_done` always runs here, in the caller's thread and process, never in a task: it may write what only one may
    write. Works with every local scheduler of dask (one graph at a time) and with a `dask.distributed` client (the next
    graph is sent before the last one ends). `graphs` may be a generator; it is read no further than needed.
    Whatever a task or `on_done` raises comes out here, KeyboardInterrupt too; tasks not yet begun are then dropped.
    What tasks warn of is issued here, once, when all graphs are done.
    """
    client = active_client()
    if client is not None:
        _run_on_cluster(client, iter(graphs), on_done)
        return
    for graph in graphs:
        _run_here(graph, on_done)


def active_client() -> Client | None:
    """Return the `dask.distributed` client that dask would use now, or None where a local scheduler would run."""
    if "distributed" not in sys.modules:
        return None
    from distributed import Client

    owner = getattr(_scheduler(), "__self__", None)
    return owner if isinstance(owner, Client) else None


def shares_memory() -> bool:
    """Return whether tasks run in this process, so that they see its memory."""
    client = active_client()
    if client is not None:
        # "inproc://..." is the address of a cluster that lives in threads of this process.
        return str(client.scheduler_info().get("address", "")).startswith("inproc://")
    return "multiprocessing" not in getattr(_scheduler(), "__module__", "")


def _scheduler() -> Callable[..., Any]:
    import dask.array as da
    from dask.base import get_scheduler

    get: Callable[..., Any] = get_scheduler(cls=da.Array)
    return get


def _run_here(graph: Graph, on_done: Callable[[Hashable, Any], None]) -> None:
    from dask.callbacks import Callback

    watched = frozenset(graph.keys)

    def ended(key: Hashable, value: Any, *_: Any) -> None:
        if key in watched:
            on_done(key, value)

    with Callback(posttask=ended):
        _scheduler()(dict(graph.tasks), list(graph.keys))


def _run_on_cluster(client: Client, graphs: Iterator[Graph], on_done: Callable[[Hashable, Any], None]) -> None:
    from distributed import as_completed

    running: dict[Hashable, Future[Any]] = {}
    ended = as_completed(with_results=True)

    def feed() -> None:
        threads = sum(client.nthreads().values())
        while len(running) < _AHEAD * max(threads, 1):
            graph = next(graphs, None)
            if graph is None:
                return
            futures = client.get(dict(graph.tasks), list(graph.keys), sync=False)
            running.update((future.key, future) for future in futures)
            ended.update(futures)

    try:
        feed()
        for future, value in ended:
            del running[future.key]
            on_done(future.key, value)
            feed()
    except BaseException:
        client.cancel(list(running.values()))
        raise


@contextmanager
def progress_bar(
    total: int, *, done: int = 0, progress: bool | None = None, label: str = "", unit: str = "block"
) -> Iterator[Callable[[int], None]]:
    """Show a bar while the body runs; gives a function that moves it on by a number of units.

    total, done: units in all, and those that were done before. progress: True shows the bar, False does not, None does
    in a terminal and in Jupyter. Where it is not shown, nothing is printed at all and the function does nothing.
    """
    if not is_shown(progress):
        yield lambda units: None
        return
    with _bar_class()(total=total, initial=done, desc=label or None, unit=unit, dynamic_ncols=True) as bar:

        def advance(units: int) -> None:
            bar.update(units)

        yield advance


def is_shown(progress: bool | None) -> bool:
    """Resolve `progress`: None means yes in a terminal and in Jupyter, and no elsewhere (logs, pipes, tests)."""
    if progress is not None:
        return progress
    return _in_jupyter() or bool(getattr(sys.stderr, "isatty", lambda: False)())


def _in_jupyter() -> bool:
    shell = sys.modules.get("IPython")
    return shell is not None and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell"


def _bar_class() -> Any:
    from importlib.util import find_spec

    if _in_jupyter() and find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm as notebook_bar

        return notebook_bar
    from tqdm.std import tqdm as text_bar

    return text_bar
