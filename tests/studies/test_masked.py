"""The study of hidden input: what is hidden, errors of rows, and a run of a few steps."""

from __future__ import annotations

import argparse

import numpy as np
import pytest
import torch

from benchmarks.harness.report import Report
from studies import masked


def row(trained: str, used: str, mean: float, place: str = "one") -> masked.Row:
    return masked.Row(trained, used, place, mean, 4 * mean, 9 * mean)


def test_pixels_are_hidden_in_all_bands_and_a_band_everywhere():
    image = torch.ones(1, 4, 60, 60)

    some = masked.hidden(image, 0.3, -1, np.random.default_rng(0))
    band = masked.hidden(image, 0.0, 2, np.random.default_rng(0))

    assert float(some.mean()) == pytest.approx(0.7, abs=0.03) and torch.equal(some[:, 0], some[:, 3])
    assert band.mean((0, 2, 3)).tolist() == [1, 1, 0, 1]
    assert bool((image == 1).all())


def test_errors_are_roots_of_means():
    rows = [row("a", "b", 1e-6), row("a", "b", 3e-6)]

    assert masked.rms(rows, "mean") == pytest.approx(2**0.5)
    assert masked.rms(rows, "single") == pytest.approx(8**0.5)


def test_the_page_compares_what_was_seen_in_training():
    given = argparse.Namespace(write=False, no_calibration=True)
    report = Report("masked", "", given)
    rows = [row(masked.INTERPOLATED, "nothing", 1e-4)]
    for used in masked.USED:
        rows += [row("all of the input", used, 4e-4), row("some hidden", used, 1e-4)]

    masked.show(report, rows, 5)

    table = [line for line in report.lines if line.startswith("|")]
    assert len(table) == 2 + 1 + 2 * len(masked.USED)
    assert "| all of the input | one of four bands | 20.0 | 40.0 | 60.0 |" in table
    assert sum("-50%" in line for line in report.lines) == len(masked.USED)


def test_networks_differ_by_what_they_saw():
    """From the same random numbers and batches, with other masks."""
    one, other = (masked.learned(1, *shares, pool=2).state_dict() for shares in masked.TRAINED.values())

    assert one.keys() == other.keys()
    assert any(not torch.equal(one[key], other[key]) for key in one)
