"""Studies of quality. Run from the root of the repository: `python -m studies.NAME --help`."""
