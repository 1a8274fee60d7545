"""One record makes a metric: it is computed, tabulated and reported as the record says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.metrics.scenes import triple
from xr_sr import metrics
from xr_sr.errors import OptionError
from xr_sr.metrics import METRICS, Formula, Metric, evaluate, table
from xr_sr.metrics.records import mean, record_of
from xr_sr.plot import report


def _ratio(sr, hr):
    """Return SR divided by HR for each pixel: (field, band, y, x)."""
    return (sr / hr)[None]


BIAS_RATIO = Metric(
    name="bias_ratio",
    label="Bias ratio",
    unit="1",
    direction=1.0,  # the nearer to 1, the better; or "higher", "lower", None
    meaning="Mean of SR divided by HR; 1 without bias.",
    source="Definition",
    group="Fidelity to HR",
    needs=("sr", "hr"),
    formula=Formula(_ratio, mean),
)


@pytest.fixture(scope="module")
def scenes():
    return triple(64, 64)


def test_a_metric_is_one_record(monkeypatch, scenes, tmp_path):
    monkeypatch.setitem(METRICS, "bias_ratio", BIAS_RATIO)
    lr, sr, hr = scenes

    found = evaluate(lr, {"ours": sr, "double": 2 * hr}, hr, border=0)
    row = table(found, describe=True).loc["bias_ratio"]
    page = report(found, tmp_path / "report.html").read_text(encoding="utf-8")

    np.testing.assert_allclose(found.bias_ratio.sel(model="ours"), (sr / hr).mean(["y", "x"]), rtol=1e-6)
    assert found.bias_ratio.attrs["long_name"] == "Bias ratio"
    assert found.bias_ratio.attrs["xr_sr:better"] == "nearest 1"
    assert list(row[["label", "unit", "better"]]) == ["Bias ratio", "1", "nearest 1"]
    assert row["double"] == pytest.approx(2)
    assert 'Bias ratio <span class="unit">→ 1</span>' in page
    assert '<td class="value"><span class="best">' in page.split("Bias ratio")[1].split("</td>")[1]  # ours, near 1
    assert BIAS_RATIO.meaning in page


def test_a_formula_may_need_one_cube_or_lr_and_sr(monkeypatch, scenes):
    lr, sr, _ = scenes
    level = Formula(lambda sr: sr[None].astype("float64"), mean)
    difference = Formula(lambda lr, sr: (sr - lr)[None], mean)
    for name, needs, formula in (("level", ("sr",), level), ("offset", ("lr", "sr"), difference)):
        monkeypatch.setitem(METRICS, name, Metric(name, name, "1", None, "", "", "Other", needs, formula))

    found = evaluate(lr, sr, border=0)

    np.testing.assert_allclose(found.level, sr.mean(["y", "x"]), rtol=1e-6)
    assert found.offset.dims == ("band",) and abs(found.offset).max() < 0.05
    assert "rmse" not in found
    assert not {"level", "offset"} & set(metrics.consistency(lr, sr))


def test_all_that_evaluate_computes_has_a_record_and_its_attributes(scenes):
    found = evaluate(*scenes)

    assert set(found.data_vars) <= set(METRICS)
    for name, array in found.data_vars.items():
        assert array.attrs["long_name"] == METRICS[name].label
        assert array.attrs["units"] == METRICS[name].unit
    assert set(metrics.opensr_test(*scenes)) <= set(METRICS)


def test_records_are_complete_and_ordered_by_group():
    groups = [metric.group for metric in METRICS.values()]

    assert all(
        metric.label and metric.meaning.endswith((".", "images.")) and metric.source for metric in METRICS.values()
    )
    assert sorted(set(groups), key=groups.index) == [
        group for place, group in enumerate(groups) if place == 0 or groups[place - 1] != group
    ]
    assert all(callable(getattr(metrics, m.formula)) for m in METRICS.values() if isinstance(m.formula, str))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"formula": "rms"}, ("'bias_ratio'", "formula='rms'", "consistency", "correctness", "lpips")),
        ({"formula": "evaluate"}, ("formula='evaluate'", "clip_distance")),
        ({"needs": ("lr", "sr", "hr")}, ("'bias_ratio'", "needs=", "('sr', 'hr')")),
        ({"needs": ("lr", "hr")}, ("needs=('lr', 'hr')", "('lr', 'sr')")),
        ({"direction": "lowest"}, ("direction='lowest'", "'lower'")),
    ],
)
def test_a_record_that_evaluate_could_not_compute_is_refused(change, names):
    """Before: a name that evaluate does not know was passed over, and the metric was missing without a word."""
    with pytest.raises(OptionError) as caught:
        replace(BIAS_RATIO, **change)
    assert [name for name in names if name not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("change", "name"), [({"options": ("border",)}, "'border'"), ({"bands": "all"}, "bands='all'")]
)
def test_a_formula_with_other_options_is_refused(change, name):
    with pytest.raises(OptionError, match=name):
        Formula(_ratio, mean, **change)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"at": "pixel"}, ("at=", "rmse", "correctness")),
        ({"border_mask": 4}, ("border_mask=", "opensr-test")),
        ({"metrics": ["rmse"]}, ("metrics=", "distance", "objects")),
    ],
)
def test_an_option_that_evaluate_lacks_has_advice_that_fits(scenes, options, names):
    with pytest.raises(OptionError) as caught:
        evaluate(*scenes, **options)
    assert [name for name in names if name not in str(caught.value)] == []
    assert ("opensr-test" in str(caught.value)) == ("border_mask" in options)


def test_values_per_object_and_unknown_names_have_records_too():
    assert record_of("rmse_per_object").label == "RMSE per object"
    assert record_of("rmse_per_object").direction == "lower"
    assert record_of("mine").label == "mine"


def _with_the_halo(sr, hr):
    return np.abs(sr - hr)[None]


@pytest.mark.parametrize("formula", [Formula(_with_the_halo, mean, halo=2), Formula(_with_the_halo, mean, fields=2)])
def test_a_formula_that_keeps_the_halo_or_has_other_fields_is_refused(formula):
    blocks = np.zeros((2, 3, 12, 12))

    with pytest.raises(ValueError, match="_with_the_halo"):
        formula.on_block(*blocks)
    assert Formula(_with_the_halo, mean).on_block(*blocks).shape == (1, 3, 12, 12)
