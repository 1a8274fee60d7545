"""Choose the tests that are slow, from measured durations, so that the others take about a minute.

    pytest --durations=0 -q > durations.txt
    python -m tests.slow durations.txt [SECONDS]

writes `slow.txt`, which `conftest` reads: the tests that take longest, until the rest takes SECONDS (40 by default).
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

LIST = Path(__file__).with_name("slow.txt")
_LINE = re.compile(r"\s*([\d.]+)s (?:call|setup|teardown)\s+(tests/\S+?\.py(?:::\w+)+)")


def listed() -> frozenset[str]:
    """Return the slow tests, "path::function", each with all of its parameters."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def slowest(durations: str, seconds: float) -> list[str]:
    """Return the tests to leave out, so that the others take at most some seconds together."""
    total: Counter[str] = Counter()
    for line in durations.splitlines():
        if found := _LINE.match(line):
            total[found[2]] += float(found[1])
    rest, chosen = sum(total.values()), []
    for name, took in total.most_common():
        if rest <= seconds:
            break
        chosen.append(name)
        rest -= took
    return sorted(chosen)


if __name__ == "__main__":
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    names = slowest(text, float(sys.argv[2]) if len(sys.argv) > 2 else 40.0)
    LIST.write_text(
        "# Tests with the mark `slow`, chosen by tests/slow.py.\n" + "\n".join(names) + "\n", encoding="utf-8"
    )
