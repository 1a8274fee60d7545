"""Warnings of tasks: collected wherever the tasks run, and issued once for each computation, by whoever asked for it.

A warning that is raised inside a task is easily lost: in a thread the filters of the process may be those of another
library at that moment, and other processes show their warnings to nobody. So tasks call `note`, and what they note is
added up and issued as one warning for each sentence:

- on dask's local schedulers, in the calling thread when the computation ends, by the filters that held when it began;
- on a cluster, in the client: findings come as events of the topic `xr_sr` (`client.get_events("xr_sr")`);
  the client's event loop issues them when its futures are done, so a filter "error" does not raise, and the line
  that is shown is one of threading or of this module, not the caller's;
- inside `collecting()`, when its body ends.

Knows dask's callbacks and events, and nothing of what the findings mean.
"""

from __future__ import annotations

import contextlib
import json
import math
import multiprocessing
import os
import sys
import tempfile
import threading
import warnings
import weakref
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from . import errors
from .arguments import count_of
from .errors import WarningFilter, XrSrWarning, ignore_filters_left_behind, warn_caller

if TYPE_CHECKING:
    from distributed import Client

TOPIC = "xr_sr"
"""The topic of the events in which a cluster's workers send findings to the client."""

_NOT_CALLERS = ("xr_sr", "dask", "distributed", "xarray", "tornado", "asyncio", "threading", "concurrent", "contextlib")
"""Packages whose lines are between a computation and the line that asked for it."""


@dataclass(frozen=True)
class Finding:
    """Something that a task warns of.

    category: name of a class in `errors`. text: the sentence, in which {values}, {blocks}, {range} and {names} are
    filled in. block: where its block lies; equal ones are counted as one block. place: what the finding is about, such
    as a band at a date in a block; the same sentence about the same place counts once, however often it is computed.
    values: how many pixels of bands; low, high: their range.
    group: of findings that only all blocks together can judge, what they share, such as a band at a date: they are
    issued if `low` is at most `limit` in one of them, or `values` exceed `beside` in their sum. () is issued always.
    name: for {names}.
    """

    category: str
    text: str
    block: tuple[Hashable, ...]
    place: tuple[Hashable, ...]
    values: int = 0
    low: float = math.inf
    high: float = -math.inf
    group: tuple[Hashable, ...] = ()
    limit: float = math.inf
    beside: int = 0
    name: str = ""


@dataclass
class _Group:
    """What is known of the findings of one group: hashes of blocks, numbers added up."""

    limit: float
    name: str
    always: bool
    blocks: set[int] = field(default_factory=set)
    values: int = 0
    beside: int = 0
    low: float = math.inf
    high: float = -math.inf

    def add(self, finding: Finding) -> None:
        if self.always or finding.values:
            self.blocks.add(hash(finding.block))
        self.values += finding.values
        self.beside += finding.beside
        self.low, self.high = min(self.low, finding.low), max(self.high, finding.high)

    @property
    def counts(self) -> bool:
        return self.always or (self.values > 0 and (self.low <= self.limit or self.values > self.beside))


@dataclass
class _Tally:
    """What is known of one sentence: hashes of places, and its groups of findings."""

    places: set[int] = field(default_factory=set)
    groups: dict[tuple[Hashable, ...], _Group] = field(default_factory=dict)

    def add(self, finding: Finding) -> None:
        place = hash(finding.place)
        if place not in self.places:
            self.places.add(place)
            new = _Group(finding.limit, finding.name, not finding.group)
            self.groups.setdefault(finding.group, new).add(finding)

    def sentence(self, text: str) -> str:
        """Fill in a sentence; "" where all that was found together is nothing to warn of."""
        groups = [group for group in self.groups.values() if group.counts]
        if not groups:
            return ""
        values, blocks = sum(group.values for group in groups), set().union(*(group.blocks for group in groups))
        low, high = f"{min(group.low for group in groups):.5g}", f"{max(group.high for group in groups):.5g}"
        counts = {
            "{values}": count_of(values, "value"),
            "{blocks}": count_of(len(blocks), "block"),
            "{range}": low if low == high else f"{low} to {high}",
            "{names}": ", ".join(sorted({group.name for group in groups})),
        }
        for key, count in counts.items():
            text = text.replace(key, count)
        return text


class _Collector:
    """What this process has collected, and whether somebody will issue it.

    running: computations of dask's local schedulers that go on. held: `collecting()` bodies that go on.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process = os.getpid()
        self.running = self.held = 0
        self.tallies: dict[tuple[str, str], _Tally] = {}

    def add(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self.tallies.setdefault((finding.category, finding.text), _Tally()).add(finding)

    def add_if_issued(self, findings: Sequence[Finding]) -> bool:
        """Add findings if somebody in this process will issue them; say whether."""
        with self.lock:
            if self.process != os.getpid() or not (self.running or self.held):
                return False
            self.add(findings)
            return True

    def change(self, *, running: int = 0, held: int = 0) -> dict[tuple[str, str], _Tally]:
        """Count what begins and ends; gives what is to be issued now, which is all once nothing goes on."""
        with self.lock:
            if self.process != os.getpid():  # after a fork: what the parent does is not done here
                self.process, self.running, self.held, self.tallies = os.getpid(), 0, 0, {}
            self.running, self.held = max(0, self.running + running), max(0, self.held + held)
            if self.running or self.held:
                return {}
            tallies, self.tallies = self.tallies, {}
            return tallies


_collector = _Collector()
_thread = threading.local()
_listening: weakref.WeakSet[Any] = weakref.WeakSet()
_waiting: set[Any] = set()


def note(findings: Sequence[Finding]) -> None:
    """Note what a task warns of; called inside of it. Outside of any computation it is issued at once."""
    if not findings or _sent_to_client(findings) or _collector.add_if_issued(findings):
        return
    if multiprocessing.parent_process() is not None:
        _leave_for_parent(findings)
        return
    alone = _Collector()
    alone.add(findings)
    _issue(alone.tallies)


def listen() -> None:
    """Make sure that findings of tasks arrive here, from dask's local schedulers and from the active cluster.

    Called whenever a graph is built or leaves this process: dask may lose callbacks where several threads compute.
    """
    from dask.callbacks import Callback

    Callback(start=_begun, finish=_ended).register()
    client = _active_client()
    if client is not None and client not in _listening:
        _listening.add(client)
        known = weakref.ref(client)
        client.subscribe_topic(TOPIC, lambda event: _hear(event, known))


@contextmanager
def collecting() -> Iterator[None]:
    """Collect what the tasks of all computations in the body note, and issue it, once, when the body ends."""
    listen()
    filters = list(warnings.filters)
    _collector.change(held=1)
    try:
        yield
    except BaseException:
        _issue(_collector.change(held=-1), filters, raising=False)
        raise
    _issue(_collector.change(held=-1), filters)


def _begun(_: Any) -> None:
    """Note, for dask, that a computation begins in this thread."""
    _begins().append(list(warnings.filters))
    if not _collector.running:
        _left_by_children()  # of a process that was killed, and had the same number
    _collector.change(running=1)


def _ended(_: Any, __: Any, failed: bool) -> None:
    """Issue, for dask, what a computation has collected."""
    filters = _begins().pop()
    ignore_filters_left_behind(filters)
    _collector.add_if_issued(_left_by_children())
    _issue(_collector.change(running=-1), filters, raising=not failed)


def _begins() -> list[list[WarningFilter]]:
    if not hasattr(_thread, "begins"):
        _thread.begins = []
    begins: list[list[WarningFilter]] = _thread.begins
    return begins


def _issue(
    tallies: dict[tuple[str, str], _Tally], filters: Sequence[WarningFilter] | None = None, *, raising: bool = True
) -> None:
    """Issue one warning for each sentence. raising: where filters turn it into an error, raise that; else show it."""
    for (category, text), tally in tallies.items():
        kind: type[Warning] = getattr(errors, category)
        message = tally.sentence(text)
        if not message:
            continue
        try:
            warn_caller(message, kind, filters=filters, beyond=_NOT_CALLERS)
        except XrSrWarning:
            if raising:
                raise
            warnings.showwarning(message, kind, __file__, 0)


def _active_client() -> Client | None:
    """Return the client of a cluster that is current here; None without."""
    if "distributed" not in sys.modules:
        return None
    from distributed import Client

    with contextlib.suppress(ValueError):
        current: Client = Client.current()
        return current
    return None


def _sent_to_client(findings: Sequence[Finding]) -> bool:
    """Send findings to the client of a cluster, if this is a task of one."""
    if "distributed" not in sys.modules:
        return False
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:
        return False
    worker.log_event(TOPIC, json.dumps([asdict(finding) for finding in findings]))
    return True


def _hear(event: tuple[float, str], client: weakref.ref[Any]) -> None:
    """Take findings from a worker, in the client's loop. They arrive before the futures of their tasks are done."""
    findings = _read(event[1])
    if _collector.add_if_issued(findings):
        return
    with _collector.lock:
        first = not _collector.tallies
        _collector.add(findings)
    if first:
        import asyncio

        task = asyncio.get_running_loop().create_task(_issue_when_done(client))
        _waiting.add(task)  # the loop itself holds no reference
        task.add_done_callback(_waiting.discard)


async def _issue_when_done(client: weakref.ref[Any]) -> None:
    """Issue what has come from a cluster when no future of the client is pending any more."""
    import asyncio

    while (alive := client()) is not None:
        pending = [state for state in list(alive.futures.values()) if state.status == "pending"]
        if not pending:
            break
        del alive
        await asyncio.wait([asyncio.ensure_future(state.wait()) for state in pending])
    _issue(_collector.change(), raising=False)


def _read(text: str) -> list[Finding]:
    def tupled(value: Any) -> Any:
        return tuple(map(tupled, value)) if isinstance(value, list) else value

    return [Finding(**{name: tupled(value) for name, value in each.items()}) for each in json.loads(text)]


def _box(process: int) -> Path:
    """Return the folder in which the children of a process leave their findings."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"xr_sr-warnings-{user}-{process}"


def _leave_for_parent(findings: Sequence[Finding]) -> None:
    """Leave findings of a task for the process that started this one, as dask's scheduler of processes does."""
    parent = multiprocessing.parent_process()
    assert parent is not None and parent.pid is not None
    box = _box(parent.pid)
    with contextlib.suppress(OSError):  # a full disk costs a warning, not the result
        box.mkdir(mode=0o700, exist_ok=True)
        new = box / f"{uuid4().hex}.part"
        new.write_text(json.dumps([asdict(finding) for finding in findings]), encoding="utf-8")
        new.rename(new.with_suffix(".json"))


def _left_by_children() -> list[Finding]:
    """Take what the children of this process have left, and clear it away."""
    box = _box(os.getpid())
    found: list[Finding] = []
    if not box.is_dir() or (hasattr(os, "getuid") and box.stat().st_uid != os.getuid()):
        return found
    with contextlib.suppress(OSError):
        for path in sorted(box.glob("*.json")):
            found += _read(path.read_text(encoding="utf-8"))
            path.unlink()
        box.rmdir()
    return found
