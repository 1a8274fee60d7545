"""Several processes write to one store at once, half of them are killed; count the dates that are lost or mixed.

    python -m benchmarks.writers [--write] [--rounds 100] [--seed 1]

Two, three and five writers, each in as many rounds. Each writer adds two dates of its own and one of its neighbor;
about half of them are killed at a random operation on the store (SIGKILL), some wait for each other, some are refused,
and a fifth count as machines of their own, whose claims expire. Those that did not succeed run again until nobody is
left. After each attempt every date that any process reported as written is compared with its pixels, and at the end of
a round all dates. The rounds are those of `tests/io/zarr/many_writers.py`, with claims that are renewed every 0.4 s and
expire after 4 s instead of 10 and 60.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.harness.report import Report
from benchmarks.harness.runs import parser

ROOT = Path(__file__).resolve().parents[1]
WRITERS = (2, 3, 5)
PARTS = 4
COLUMNS = ("written", "refused", "killed", "lost its claim", "failed otherwise", "wrong checks")


def main() -> int:
    """Run all rounds; exit code 1 if a date was lost or mixed, or a process ended otherwise."""
    arguments = parser(__doc__, repeat=1)
    arguments.add_argument("--rounds", type=int, default=100, help="of each number of writers (default: %(default)s)")
    arguments.add_argument("--seed", type=int, default=1, help="of what is killed when (default: %(default)s)")
    given = arguments.parse_args()
    given.no_calibration = True
    with Report("writers", "Several writers and one store", given) as report:
        report.text(f"Processes of all attempts of {given.rounds} rounds, by how they ended; seed {given.seed}.")
        parts = [(writers, rounds, part) for writers in WRITERS for part, rounds in enumerate(_parts(given.rounds))]
        with ThreadPoolExecutor(2 * PARTS) as pool:  # much of a round is waiting for claims to expire
            played = list(pool.map(lambda part: _played(*part, seed=given.seed), parts))
        seen = [_sum([each for each in played if each["writers"] == writers]) for writers in WRITERS]
        rows = [(each["writers"], *(each[name] for name in COLUMNS)) for each in seen]
        report.table(("writers", *COLUMNS[:-1], "checks that found a date lost or mixed"), rows)
        report.target("no date is lost or mixed", not any(each["wrong checks"] for each in seen))
        report.target(
            "each process wrote, was killed, or ended with the sentence and a non-zero exit code",
            not any(each["failed otherwise"] for each in seen),
        )
    return report.exit_code


def _parts(rounds: int) -> list[int]:
    """Split rounds into parts that run beside each other."""
    return [rounds // PARTS + (number < rounds % PARTS) for number in range(PARTS)]


def _sum(played: list[dict[str, int]]) -> dict[str, int]:
    return {"writers": played[0]["writers"]} | {name: sum(each[name] for each in played) for name in COLUMNS}


def _played(writers: int, rounds: int, part: int, *, seed: int) -> dict[str, int]:
    with tempfile.TemporaryDirectory(prefix="xr-sr-writers-") as folder:
        program = [sys.executable, "-W", "ignore", str(ROOT / "tests/io/zarr/many_writers.py")]
        ran = subprocess.run(
            [*program, folder, str(writers), str(rounds), f"{seed}-{part}"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    found: dict[str, int] = json.loads(ran.stdout)
    return found


if __name__ == "__main__":
    sys.exit(main())
