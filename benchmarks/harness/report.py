"""Write the result page of a script: machine, versions, date, load, calibration before and after, tables, targets.

The page is always printed; with --write it is saved as `results/NAME.md` beside the script.
"""

from __future__ import annotations

import argparse
import datetime as dt
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from benchmarks.harness import machine, runs

QUIET_LOAD = 0.3
"""A load average above this is mentioned, and is a warning where processors are busy now as well."""

QUIET_SHARE = 0.05
"""A share of processor time above this, taken by others, is a warning."""

VERDICTS = ("- met:", "- **MISSED**:")
"""How a line begins that says whether something holds."""

DRIFT = 0.1
"""A change of the best convolution above this, from before to after, is a warning."""


class Report:
    """Collect the lines of a page; as a context it calibrates before and after, and prints or writes at the end."""

    def __init__(self, name: str, title: str, given: argparse.Namespace, *, threads: Sequence[int] = (1, 2)) -> None:
        self.name = name
        self.title = title
        self.write = bool(given.write)
        self.threads = () if given.no_calibration else tuple(threads)
        self.lines: list[str] = []
        self.warnings: list[str] = []
        self.failed = False
        self.others = 0.0
        self.before: dict[int, dict[str, float]] = {}
        self.after: dict[int, dict[str, float]] = {}

    def __enter__(self) -> Report:
        self.load, self.busy = machine.load_average(), machine.busy_share()
        self.started = dt.datetime.now(dt.UTC)
        self.touch = machine.first_touch()
        if self.busy is not None and self.busy > QUIET_SHARE:
            self.warnings.append(f"the processors were {self.busy:.0%} busy before the start.")
        elif self.busy is None and self.load is not None and self.load > QUIET_LOAD:
            self.warnings.append(f"the load average was {self.load:.2f} before the start.")
        self.before = {threads: runs.calibrate(threads) for threads in self.threads}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            return
        self.after = {threads: runs.calibrate(threads) for threads in self.threads}
        for threads, rates in self.before.items():
            drift = max(self.after[threads].values()) / max(rates.values()) - 1
            if abs(drift) > DRIFT:
                self.warnings.append(
                    f"the best convolution on {threads} threads changed by {drift:+.0%} from before to after."
                )
        if self.others > QUIET_SHARE:
            self.warnings.append(f"other processes took up to {self.others:.0%} of the processors during a run.")
        page = "\n".join(self._page()) + "\n"
        print(page)
        if self.write:
            results = Path(sys.argv[0]).resolve().parent / "results"
            results.mkdir(exist_ok=True)
            (results / f"{self.name}.md").write_text(page, encoding="utf-8")

    @property
    def exit_code(self) -> int:
        """0 if every target was met."""
        return int(self.failed)

    def best_gflops(self, threads: int) -> float | None:
        """Return the best rate of a convolution seen before the runs; None without calibration."""
        rates = self.before.get(threads)
        return max(rates.values()) if rates else None

    def saw(self, seen: Mapping[str, Sequence[runs.Values]]) -> None:
        """Record the load of other processes during runs."""
        self.others = max([self.others, *(values.get("others", 0.0) for side in seen.values() for values in side)])

    def text(self, *lines: str) -> None:
        """Add a paragraph."""
        self.lines += [*lines, ""]

    def table(self, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Add a table."""
        self.lines += [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
        self.lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
        self.lines.append("")

    def target(self, claim: str, met: bool) -> None:
        """Add a line on whether a target was met."""
        self.failed |= not met
        if len(self.lines) > 1 and self.lines[-1] == "" and self.lines[-2].startswith(VERDICTS):
            self.lines.pop()  # one list
        self.lines += [f"{VERDICTS[0 if met else 1]} {claim}", ""]

    def _page(self) -> Iterable[str]:
        yield f"# {self.title}"
        yield ""
        script = Path(sys.argv[0]).resolve()
        command = " ".join([f"{script.parent.name}.{script.stem}", *map(_without_folder, sys.argv[1:])])
        yield f"`python -m {command}`, {self.started:%Y-%m-%d %H:%M} UTC, {_commit()}"
        yield ""
        yield from (f"- {line}" for line in machine.describe())
        load = "unknown" if self.load is None else f"{self.load:.2f}"
        busy = "unknown" if self.busy is None else f"{self.busy:.1%}"
        yield f"- Before the start: load average {load} (what ran before counts), processors {busy} busy over 3 s;"
        yield f"  during the runs others took at most {self.others:.1%} of the processors"
        first, again = self.touch["first"], self.touch["again"]
        yield f"- Memory, first touch: {first:.2f} s per GiB where the machine had to get it, {again:.2f} touched again"
        for threads in self.threads:
            before, after = self.before[threads], self.after[threads]
            best = max(before, key=lambda key: before[key])
            rates = f"{before[best]:.0f} GFLOP/s ({best} px) before, {max(after.values()):.0f} after"
            yield f"- Best 3x3 float32 convolution, threads: {threads}: {rates}"
        yield from (f"- **Warning**: {warning}" for warning in self.warnings)
        yield ""
        yield from self.lines


def _commit() -> str:
    """Name the commit that was measured, and say so if files differ from it."""
    try:
        head, changed = _git("rev-parse", "--short", "HEAD"), _git("status", "--porcelain", "xr_sr")
    except (OSError, subprocess.CalledProcessError):
        return "no commit"
    return f"commit {head}{' with changes' if changed else ''}"


def _git(*args: str) -> str:
    return subprocess.run(["git", *args], cwd=runs.ROOT, capture_output=True, text=True, check=True).stdout.strip()


def _without_folder(word: str) -> str:
    """Leave out where on this machine a file or folder lies: "name=/a/b" becomes "name=b"."""
    name, mark, path = word.rpartition("=")
    return f"{name}{mark}{Path(path).name}" if path.startswith("/") else word
