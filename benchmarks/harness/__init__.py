"""Shared parts of benchmarks and studies: the machine, processes that take turns, the result page, real scenes."""
