"""Print constraints that pin each library of the core to the oldest version that pyproject.toml admits.

    python .ci/lowest.py > constraints-lowest.txt

The extras of `all` are taken too, since tests use them; the tools of `dev` and `docs` stay at their newest.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

FLOOR = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[^]]*\])?>=(?P<version>[0-9.]+)")


def main() -> None:
    """Read the floors and print them; a dependency without one, or with more than one, is an error."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    named = extras["all"][0].partition("[")[2].rstrip("]").split(",")
    for line in [*project["dependencies"], *(line for name in named for line in extras[name])]:
        floor = FLOOR.fullmatch(line)
        if floor is None:
            raise SystemExit(f"pyproject.toml: {line!r} should be a name and one lower bound, such as 'numpy>=2.1'.")
        print(f"{floor['name']}=={floor['version']}")


if __name__ == "__main__":
    main()
