"""Records of models: what they accept, what they refuse, and the digest that stores hold."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

import xr_sr
from xr_sr.catalog import records, registry
from xr_sr.catalog.generative import Diffusion
from xr_sr.catalog.models import Cascade, Interpolation, Kriging, ModelSpec, Network, Pansharpening
from xr_sr.errors import ModelError, OptionError
from xr_sr.spec import LowPass, Normalization, RadialSigmoid

MINE = ModelSpec("mine", "A network", "my_nets:Small", bands=("B08", "B04"), scale=2, halo=3, config=(("depth", 3),))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"name": "my model"}, ["name='my model'"]),
        ({"architecture": "Plain"}, ["architecture='Plain'", "module:attribute"]),
        ({"architecture": ""}, ["architecture=''"]),
        ({"config": (("depth", [3]),)}, ["config=", "tuple"]),
        ({"config": 5}, ["config=5", "pairs"]),
        ({"bands": ()}, ["bands=()"]),
        ({"bands": "B04"}, ["bands='B04'"]),
        ({"bands": None}, ["bands=None"]),
        ({"bands": (4, 8)}, ["bands=(4, 8)"]),
        ({"bands": ("B04", "red")}, ["bands=('B04', 'red')", "twice"]),
        ({"bands_out": ("B02",)}, ["bands_out=", "'B02'"]),
        ({"bands_out": 3}, ["bands_out=3"]),
        ({"scale": 2.0}, ["scale=2.0"]),
        ({"scale": 17}, ["scale=17", "16"]),
        ({"scale": 0}, ["scale=0"]),
        ({"halo": -1}, ["halo=-1"]),
        ({"window": 64}, ["halo=3", "window=64"]),
        ({"halo": 0, "window": 64, "overlap": 40}, ["overlap=40", "window=64", "16"]),
        ({"overlap": 2}, ["overlap=2", "without a window"]),
        ({"coarse": ("B08",)}, ["coarse=['B08']", "last of bands="]),
        ({"selects": True, "bands_out": ("B04", "B08")}, ["selects=True", "bands_out=['B04', 'B08']"]),
        ({"fine_alone": True}, ["fine_alone=True", "coarse=", "selects=True"]),
        ({"selects": "no"}, ["selects"]),
        ({"low_pass": 2.0}, ["low_pass=2.0", "xr_sr.LowPass"]),
        ({"normalization": (0.1, 0.2)}, ["normalization=(0.1, 0.2)", "xr_sr.Normalization"]),
        ({"normalization": Normalization((0.1, 0.2, 0.3), 1.0)}, ["normalization", "3 values of shift", "2 bands"]),
        ({"gsd_m": "10"}, ["gsd_m='10'"]),
        ({"gsd_m": -10}, ["gsd_m=-10"]),
        ({"dates": 1}, ["dates=1", "2 or more"]),
        ({"dates": -2}, ["dates=-2"]),
        ({"dates": 2.0}, ["dates=2.0"]),
        ({"dates": True}, ["dates=True"]),
        ({"dates": 4, "halo": 0, "window": 64}, ["dates=4 with window=64", "halo"]),
        ({"dates": 4, "coarse": ("B04",)}, ["dates=4", "coarse=('B04',)"]),
        ({"dates": 4, "low_pass": LowPass(1.5, 4)}, ["dates=4", "low_pass="]),
        ({"dates": 4, "constrained": True, "selects": True}, ["dates=4", "constrained=True, selects=True"]),
        ({"dates": 4, "error_scale": True}, ["dates=4", "error_scale=True"]),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(change, names):
    with pytest.raises(ModelError) as caught:
        replace(MINE, **change)

    assert [name for name in names if name not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: LowPass(0.0, 5), ["sigma"]),
        (lambda: LowPass("3", 4), ["sigma"]),
        (lambda: LowPass(1.0, 2.5), ["radius"]),
        (lambda: RadialSigmoid(0.1, 0.01, -3, 2), ["radius", "1"]),
        (lambda: RadialSigmoid(0.1, 0.0, 3, 2), ["sharpness"]),
        (lambda: Normalization("0.1", 1.0), ["shift='0.1'"]),
        (lambda: Normalization(0.1, float("nan")), ["scale=nan"]),
        (lambda: Normalization(0.0, (1.0, 0.0)), ["scale=(1.0, 0.0)", "0"]),
        (lambda: Interpolation("x", "", scale=0), ["scale=0"]),
        (lambda: Pansharpening("x", "", halo=-2), ["halo=-2"]),
        (lambda: replace(records.SEN2SR_LITE_MAIN, parts=()), ["parts=[]", "'x2', 'fine', 'x4'"]),
    ],
)
def test_filters_normalizations_and_other_kinds_are_checked_too(make, names):
    with pytest.raises(ModelError) as caught:
        make()

    assert [name for name in names if name not in str(caught.value)] == []


def test_lists_and_aliases_become_tuples_of_canonical_names():
    spec = replace(MINE, bands=["nir", "red"], config={"depth": 3}, normalization=Normalization([0.1, 0.2], 1))

    assert (spec.bands, spec.config) == (("B08", "B04"), (("depth", 3),))
    assert spec.normalization == Normalization((0.1, 0.2), 1.0)


def test_old_spellings_are_accepted_with_a_warning():
    with pytest.warns(FutureWarning, match="licence= .* license="):
        assert xr_sr.ModelSpec("a", "", "b:c", ("B04",), licence="MIT").license == "MIT"
    with pytest.warns(FutureWarning, match="normalisation= .* normalization="):
        spec = xr_sr.ModelSpec("a", "", "b:c", ("B04",), normalisation=Normalization(0.1))
    assert spec.normalization.shift == 0.1
    with pytest.warns(FutureWarning, match="licence .*license"):
        assert registry.get("sen2sr-lite").licence == registry.get("sen2sr-lite").license
    with pytest.warns(FutureWarning, match="normalisation .*normalization"):
        assert spec.normalisation == spec.normalization
    with pytest.warns(FutureWarning, match="xr_sr.Normalization"):
        assert xr_sr.Normalisation is Normalization


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"name": "a", "summary": "", "options": (("scale", 2),)}, ("xr_sr.ModelSpec", "'options'", "architecture")),
        ({"name": "a", "summary": "", "kind": "network"}, ("xr_sr.ModelSpec", "'kind'", "normalization")),
        ({"summary": ""}, ("xr_sr.ModelSpec", "'name'")),
    ],
)
def test_fields_that_are_unknown_or_missing_are_one_error_that_lists_the_fields(fields, names):
    with pytest.raises(OptionError) as caught:
        xr_sr.ModelSpec(**fields)
    assert [name for name in names if name not in str(caught.value)] == []
    with pytest.raises(OptionError, match="options"):
        replace(MINE, options=())


@pytest.mark.parametrize(
    ("spec", "digest"),
    [
        (MINE, "1e6b03758e0a"),
        (replace(MINE, normalization=Normalization((0.1, 0.2), 2)), "d0501b400898"),
        (replace(MINE, halo=0, window=16, overlap=4, low_pass=LowPass(1.5, 4)), "030fa64319c2"),
        (records.SEN2SR_LITE_RGBN, "ef84732496c8"),
    ],
)
def test_digests_are_those_that_stores_hold(spec, digest):
    """Values of the release that wrote the first stores; another spelling of a field must not change them."""
    assert spec.digest() == digest


def test_the_number_of_dates_is_a_part_of_the_digest_only_where_there_are_several():
    several = [replace(MINE, dates=dates).digest() for dates in (0, 2, 3)]

    assert several[0] == "1e6b03758e0a"
    assert len(set(several)) == 3


def test_every_kind_of_model_is_in_the_registry_and_survives_pickling():
    models = [registry.get(name) for name in registry.names()]

    assert {type(model) for model in models} == {Interpolation, Kriging, Network, Cascade, Pansharpening, Diffusion}
    for model in models:
        copy = pickle.loads(pickle.dumps(model))
        assert copy == model and hash(copy) == hash(model)


def test_a_registry_is_a_value():
    before = registry.current
    after = before.add(MINE, own=True)

    assert "mine" in after.models and "mine" not in before.models and "mine" not in registry.names()
    assert after.own == {"mine"} and after.variants("mine") == (MINE,)
    with pytest.raises(ModelError, match="'mine'.*replace=True"):
        after.add(MINE)
    with pytest.raises(TypeError):
        after.models["other"] = MINE
    with pytest.raises(ModelError, match="'both'.*'nothing'"):
        replace(after, families={"both": ("nothing",)})
