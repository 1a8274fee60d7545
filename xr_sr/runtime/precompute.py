"""Precompute global statistics that all blocks of a graph share, such as an Otsu threshold, before anything is written.

Otsu's level is one: each pixel of a map of water waits for the histogram of the whole cube. Computed at once, the graph
does that once. Written region by region, it would do it for each region; so what writes puts the numbers in first.
Knows graphs of dask, and nothing of what the numbers mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .execute import Graph, run_graphs

if TYPE_CHECKING:
    import dask.array as da

_PREFIX = "once-"


def once_name(what: str, *parts: Any) -> str:
    """Return a name for an array of such numbers. parts: what they depend on, so that equal ones share a name."""
    from dask.base import tokenize

    return f"{_PREFIX}{what}-{tokenize(what, *parts)}"


def settled(arrays: Sequence[da.Array]) -> list[da.Array]:
    """Work out the numbers that the graphs of some arrays share, in one pass, and put them in.

    Numbers that rest on others take a pass each, so that no pass keeps blocks in memory for the next. Arrays without
    any come back as they are, and nothing is computed; the others are lazy as before, with the same values and names.
    A graph that was optimized as a whole has lost its layers, and stays as it is.
    """
    from dask.array.optimization import optimize
    from dask.highlevelgraph import HighLevelGraph

    found = list(arrays)
    while True:
        graphs: list[Any] = [array.__dask_graph__() for array in found]
        layered = [graph for graph in graphs if isinstance(graph, HighLevelGraph)]
        whole: Any = HighLevelGraph.merge(*layered)
        names = [name for name in whole.layers if name.startswith(_PREFIX) and whole.dependencies[name]]
        first = [name for name in names if not _upstream(whole, name) & set(names)]
        if not first:
            return found
        keys = [key for name in first for key in whole.layers[name].get_output_keys()]
        values: dict[Any, Any] = {}
        run_graphs([Graph(dict(optimize(whole, keys)), tuple(keys))], values.__setitem__)
        known = {name: {key: values[key] for key in whole.layers[name].get_output_keys()} for name in first}
        found = [_with(array, known) for array in found]


def _upstream(graph: Any, name: str) -> set[str]:
    """Return the names of all layers that a layer depends on, directly or not, without its own."""
    wanted, reached = list(graph.dependencies[name]), set()
    while wanted:
        each = wanted.pop()
        if each not in reached:
            reached.add(each)
            wanted += graph.dependencies[each]
    return reached


def _with(array: da.Array, known: dict[str, dict[Any, Any]]) -> da.Array:
    """Put numbers in the place of the layers that work them out; layers that then nothing rests on are left out."""
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    graph: Any = array.__dask_graph__()
    if not isinstance(graph, HighLevelGraph) or not known.keys() & graph.layers.keys():
        return array
    layers: dict[str, Any] = {**graph.layers, **{name: each for name, each in known.items() if name in graph.layers}}
    needs = {name: set() if name in known else set(graph.dependencies[name]) for name in layers}
    kept = {array.name, *_upstream(HighLevelGraph(layers, needs), array.name)}
    lean = HighLevelGraph({name: layers[name] for name in kept}, {name: needs[name] for name in kept})
    made: da.Array = da.Array(lean, array.name, array.chunks, meta=array._meta)
    return made
