"""Who writes to a store: a process on a machine; and whether such a process is known to be gone.

Knows the operating system, and nothing of stores.
"""

from __future__ import annotations

import os
import platform
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_PROC = Path("/proc")


@dataclass(frozen=True)
class Owner:
    """One call that writes.

    id: random. host: name of the machine, for people. machine: which processes can see each other; two containers
    differ. pid, started: the process. tasks_inside: all tasks run inside that process and end with it. since: when the
    call began, UTC, for people.
    """

    id: str
    host: str
    machine: str
    pid: int
    started: str
    tasks_inside: bool
    since: str

    @classmethod
    def this_call(cls, *, tasks_inside: bool) -> Owner:
        """Describe a call of this process that begins now."""
        return cls(
            id=uuid.uuid4().hex,
            host=platform.node(),
            machine=_machine(),
            pid=os.getpid(),
            started=_started(os.getpid()) or "",
            tasks_inside=tasks_inside,
            since=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Owner:
        """Read an owner; what is missing or of another type is unknown, so an unreadable document has no owner."""
        known: dict[str, Any] = {
            name: value if isinstance(value := document.get(name), type(default)) else default
            for name, default in asdict(_UNKNOWN).items()
        }
        return cls(**known)

    @property
    def label(self) -> str:
        """The owner as a message names it."""
        if not self.pid:
            return "an unknown process"
        since = self.since.replace("T", " ").replace("+00:00", " UTC")
        return f"process {self.pid} on {self.host}, since {since}"

    @property
    def is_here(self) -> bool:
        """Whether the process runs, or ran, where this one can see it."""
        return bool(self.machine) and self.machine == _machine()

    @property
    def is_this_process(self) -> bool:
        """Whether it is this very process."""
        return self.is_here and self.pid == os.getpid() and self.started == (_started(self.pid) or "")

    @property
    def is_running(self) -> bool:
        """Whether a process that `is_here` still runs; another process with its number does not count."""
        import psutil

        if not psutil.pid_exists(self.pid):
            return False
        started = _started(self.pid)
        return started is None or started == self.started


_UNKNOWN = Owner(id="", host="", machine="", pid=0, started="", tasks_inside=False, since="")


def _machine() -> str:
    """Identify the running kernel and, on Linux, the PID namespace: equal numbers then mean equal processes."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return f"{platform.node()} {uuid.getnode():x}"


def _started(pid: int) -> str | None:
    """Return when a process started, in ticks since boot; "" for one that has ended, None where that is unknown."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return "" if fields[0] in "ZX" else fields[19]  # Z: killed, and not yet waited for by its parent
