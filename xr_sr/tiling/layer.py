"""A layer of a dask graph that makes a task when it is asked for, and none before.

Knows keys and tasks of dask, and nothing of what these compute: that is in a `TaskMaker`.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from dask._task_spec import List, Task, TaskRef
from dask.highlevelgraph import Layer, MaterializedLayer

TaskKey: TypeAlias = tuple[Any, ...]
"""Of a task: a name, and numbers."""


@dataclass(frozen=True, eq=False)
class TaskKeys(Set[Any]):
    """The keys (name, *place) of all places in a box: a set that is not written out."""

    name: str
    ranges: tuple[range, ...]

    def __contains__(self, key: object) -> bool:
        return (
            isinstance(key, tuple)
            and len(key) == len(self.ranges) + 1
            and key[0] == self.name
            and all(place in places for place, places in zip(key[1:], self.ranges, strict=True))
        )

    def __iter__(self) -> Iterator[TaskKey]:
        return itertools.product((self.name,), *self.ranges)

    def __len__(self) -> int:
        size = 1
        for places in self.ranges:
            size *= len(places)
        return size

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> set[Any]:
        return set(it)


class TaskMaker(Protocol):
    """Makes the tasks of a layer, each from its key alone. Picklable: a record of names, sizes and functions."""

    @property
    def keys(self) -> TaskKeys:
        """The keys that other layers may ask for."""

    @property
    def names(self) -> tuple[str, ...]:
        """The first parts of all keys of the layer, that of `keys` first; those of keys of its own follow."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of what the tasks read from other layers."""

    def own(self) -> Iterator[TaskKey]:
        """Return the keys of tasks that only tasks of this layer read."""

    def own_count(self) -> int:
        """Count the keys of `own`, by arithmetic."""

    def task(self, key: TaskKey) -> Task:
        """Make a task. Raises KeyError for a key that the layer does not have."""


@dataclass(frozen=True)
class Cloned:
    """Makes the tasks of another maker under other names, as `dask.graph_manipulation` asks for.

    renamed: new names by old ones, of the layer and of what it reads. bound: key of a task that those wait for that
    read nothing renamed.
    """

    maker: TaskMaker
    renamed: Mapping[str, str]
    bound: Any = None

    @property
    def keys(self) -> TaskKeys:
        """As of any maker, under the new name."""
        keys = self.maker.keys
        return TaskKeys(self.renamed[keys.name], keys.ranges)

    @property
    def names(self) -> tuple[str, ...]:
        """The new names."""
        return tuple(self.renamed[name] for name in self.maker.names)

    @property
    def sources(self) -> tuple[str, ...]:
        """What is read, under new names where it was cloned too."""
        bound = () if self.bound is None else (_name_of(self.bound),)
        return (*(self.renamed.get(name, name) for name in self.maker.sources), *bound)

    def own(self) -> Iterator[TaskKey]:
        """As of any maker, under new names."""
        return ((self.renamed[name], *place) for name, *place in self.maker.own())

    def own_count(self) -> int:
        """As of any maker."""
        return self.maker.own_count()

    def task(self, key: TaskKey) -> Task:
        """As of any maker."""
        old = dict(zip(self.names, self.maker.names, strict=True))
        task = self.maker.task((old[key[0]], *key[1:]))
        subs = {need: _renamed(need, self.renamed) for need in task.dependencies if _name_of(need) in self.renamed}
        task = task.substitute(subs, key=key)
        if self.bound is None or subs:
            return task
        return Task(key, _after, task, TaskRef(self.bound))


class MadeLayer(Layer):
    """A layer that holds a maker and no task. Lengths and membership are arithmetic, and `cull` makes what it keeps."""

    has_legacy_tasks = False  # on the class: dask would make all tasks to look at each

    def __init__(self, maker: TaskMaker) -> None:
        super().__init__()
        self.maker = maker
        self._own = frozenset(maker.names[1:])

    def __contains__(self, key: object) -> bool:
        if key in self.maker.keys:
            return True
        if not isinstance(key, tuple) or not key or key[0] not in self._own:
            return False
        try:
            self.maker.task(key)
        except KeyError:
            return False
        return True

    def __getitem__(self, key: Any) -> Task:
        if isinstance(key, tuple) and key and (key in self.maker.keys or key[0] in self._own):
            return self.maker.task(key)
        raise KeyError(key)

    def __iter__(self) -> Iterator[TaskKey]:
        return itertools.chain(self.maker.keys, self.maker.own())

    def __len__(self) -> int:
        return len(self.maker.keys) + self.maker.own_count()

    def is_materialized(self) -> bool:
        """Return False: there are no tasks in it."""
        return False

    def get_output_keys(self) -> TaskKeys:
        """Return the keys that other layers may ask for, not written out."""
        return self.maker.keys

    def get_dependencies(self, key: Any, all_hlg_keys: Collection[Any]) -> set[Any]:
        """Return the keys that a task reads, which it knows itself."""
        return set(self[key].dependencies)

    def cull(self, keys: set[Any], all_hlg_keys: Collection[Any]) -> tuple[Layer, dict[Any, set[Any]]]:
        """Make the tasks for the keys that are in this layer, and those of its own that they read."""
        wanted: list[TaskKey] = [key for key in keys if key in self]  # dask asks every layer for the keys of all
        made: dict[Any, Task] = {}
        while wanted:
            key = wanted.pop()
            if key not in made:
                made[key] = task = self.maker.task(key)
                if self._own:
                    wanted += [need for need in task.dependencies if _name_of(need) in self._own]
        layer = MaterializedLayer(made, annotations=self.annotations)
        return layer, {key: set(task.dependencies) for key, task in made.items()}

    def clone(self, keys: set[Any], seed: Hashable, bind_to: Any = None) -> tuple[Layer, bool]:
        """Return the layer under new names, which reads what is in `keys` under new names too; see dask's."""
        from dask.base import clone_key

        cloned = {_name_of(key) for key in keys}
        renamed = {
            name: clone_key(name, seed)
            for name in (*self.maker.names, *(name for name in self.maker.sources if name in cloned))
        }
        bound = bind_to if set(self.maker.sources) - renamed.keys() else None
        return MadeLayer(Cloned(self.maker, renamed, bound)), bound is not None


def references(keys: Iterable[Any]) -> List:
    """Return an argument of a task that becomes the list of the results of others."""
    return List(*map(TaskRef, keys))


def _after(result: Any, _: object) -> Any:
    """Return what a task computed, now that another is done."""
    return result


def _name_of(key: Any) -> Any:
    return key[0] if isinstance(key, tuple) else key


def _renamed(key: Any, names: Mapping[str, str]) -> Any:
    return (names[key[0]], *key[1:]) if isinstance(key, tuple) else names[key]
