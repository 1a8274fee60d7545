"""Benchmarks of speed and scale. Run from the root of the repository: `python -m benchmarks.NAME --help`."""
