"""Arguments of the wrong kind: each is one OptionError before anything is done, and words are no flags."""

from __future__ import annotations

import inspect
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import xr_sr
from tests.cubes import array, reflectance
from xr_sr.arguments import check_choice, check_flag, check_number, check_path, check_whole, renamed, shown
from xr_sr.errors import OptionError, StoreError, XrSrError

ROOMS = ("analytics", "metrics", "pairs", "plot", "registration", "simulate", "training")

LR = array(reflectance(4, 32, 32))
HR = array(reflectance(4, 128, 128), geobox=LR.odc.geobox.zoom_to((128, 128)))
IMAGE = reflectance(32, 32)
OBJECTS = xr.DataArray(np.eye(8, dtype=int), dims=("y", "x"))
SPEC = xr_sr.ModelSpec("flags", "", "torch.nn:Identity", bands=("B04",), scale=1)

CALLS = {
    "calibrate(equal)": lambda flag: xr_sr.calibrate(LR, HR, equal=flag),
    "calibrate(drawn)": lambda flag: xr_sr.calibrate(LR, HR, drawn=flag),
    "calibration_report(drawn)": lambda flag: xr_sr.calibration_report(LR, HR, drawn=flag),
    "calibration_report(calibrated)": lambda flag: xr_sr.calibration_report(LR, HR, calibrated=flag),
    "ensemble(allow_gsd)": lambda flag: LR.sr.ensemble(allow_gsd=flag),
    "ensemble(calibrated)": lambda flag: LR.sr.ensemble(calibrated=flag),
    "ensemble(members)": lambda flag: LR.sr.ensemble(members=flag),
    "ensemble(same_ground)": lambda flag: LR.sr.ensemble(same_ground=flag),
    "interval(allow_gsd)": lambda flag: LR.sr.interval(allow_gsd=flag),
    "interval(calibrated)": lambda flag: LR.sr.interval(calibrated=flag),
    "multiframe(allow_gsd)": lambda flag: DATED.sr.multiframe(allow_gsd=flag),
    "multiframe(calibrated)": lambda flag: DATED.sr.multiframe(calibrated=flag),
    "configure(keep_memory)": lambda flag: xr_sr.configure(None, keep_memory=flag),
    "configure(compile_networks)": lambda flag: xr_sr.configure(None, compile_networks=flag),
    "evaluate(align)": lambda flag: xr_sr.evaluate(LR, HR, HR, align=flag),
    "explain(fuse)": lambda flag: xr_sr.explain(LR, fuse=flag),
    "explain(allow_gsd)": lambda flag: LR.sr.explain("bicubic", allow_gsd=flag),
    "fuse(allow_gsd)": lambda flag: LR.sr.fuse("bicubic", allow_gsd=flag),
    "load(mask)": lambda flag: xr_sr.load([], mask=flag),
    "register_model(check)": lambda flag: xr_sr.register_model(SPEC, check=flag),
    "register_model(replace)": lambda flag: xr_sr.register_model(SPEC, replace=flag),
    "set_radiometry(reset)": lambda flag: LR.sr.set_radiometry(reset=flag),
    "to_cog(overwrite)": lambda flag: LR.sr.to_cog("never.tif", overwrite=flag),
    "to_cog(progress)": lambda flag: LR.sr.to_cog("never.tif", progress=flag),
    "to_stac(overwrite)": lambda flag: xr_sr.to_stac("never.zarr", overwrite=flag),
    "to_zarr(geozarr)": lambda flag: LR.sr.to_zarr("never.zarr", geozarr=flag),
    "to_zarr(overwrite)": lambda flag: LR.sr.to_zarr("never.zarr", overwrite=flag),
    "to_zarr(progress)": lambda flag: LR.sr.to_zarr("never.zarr", progress=flag),
    "to_zarr(pyramid)": lambda flag: LR.sr.to_zarr("never.zarr", pyramid=flag),
    "to_zarr(verify)": lambda flag: LR.sr.to_zarr("never.zarr", verify=flag),
    "verify(progress)": lambda flag: xr_sr.verify("never.zarr", progress=flag),
    "verify(quick)": lambda flag: xr_sr.verify("never.zarr", quick=flag),
    "verify(repair)": lambda flag: xr_sr.verify("never.zarr", repair=flag),
    "upscale(allow_gsd)": lambda flag: LR.sr.upscale("bicubic", allow_gsd=flag),
    "correctness(align)": lambda flag: xr_sr.metrics.correctness(LR, HR, HR, align=flag),
    "detection_rate(instances)": lambda flag: xr_sr.metrics.detection_rate(OBJECTS, OBJECTS * 0.5, instances=flag),
    "object_scores(instances)": lambda flag: xr_sr.metrics.object_scores(OBJECTS, OBJECTS * 0.5, instances=flag),
    "opensr_test(maps)": lambda flag: xr_sr.metrics.opensr_test(LR, HR, HR, maps=flag),
    "synthesis(align)": lambda flag: xr_sr.metrics.synthesis(LR, HR, HR, align=flag),
    "table(describe)": lambda flag: xr_sr.metrics.table(xr_sr.evaluate(LR, HR), describe=flag),
    "estimate_shift(window)": lambda flag: xr_sr.registration.estimate_shift(IMAGE, IMAGE, window=flag),
    "degrade_series(snap)": lambda flag: xr_sr.simulate.degrade_series(HR, 4, snap=flag),
    "degrade(snap)": lambda flag: xr_sr.simulate.degrade(HR, 4, snap=flag),
    "harmonize(now)": lambda flag: xr_sr.simulate.harmonize(LR, LR, now=flag),
}
"""One call for each flag of the public interface, right but for the flag."""


DATED = xr.concat([LR, LR], "time").assign_coords(time=np.array(["2023-06-01", "2023-07-01"], "datetime64[ns]"))
MAPPED = LR.sr.ensemble(2, members=True).sr.water("NDWI", 0.1)
FLOODED = xr_sr.flood_between(LR, LR, index="NDWI", threshold=0.1)

NUMBERS = {
    "calibrate": lambda **number: xr_sr.calibrate(LR, HR, **number),
    "calibration_report": lambda **number: xr_sr.calibration_report(LR, HR, **number),
    "ensemble": lambda **number: LR.sr.ensemble(**number),
    "interval": lambda **number: LR.sr.interval(**number),
    "multiframe": lambda **number: DATED.sr.multiframe(**number),
    "areas": lambda **number: MAPPED.sr.areas(**number),
    "align": lambda **number: xr_sr.align(DATED, **number),
    "animate": lambda **number: xr_sr.plot.animate(DATED, **number),
    "compare": lambda **number: xr_sr.compare(sr=LR, **number),
    "configure": lambda **number: xr_sr.configure(None, **number),
    "consistency": lambda **number: xr_sr.metrics.consistency(LR, HR, **number),
    "correctness": lambda **number: xr_sr.metrics.correctness(LR, HR, HR, **number),
    "degrade": lambda **number: xr_sr.simulate.degrade(
        HR, **({} if {"factor", "gsd"} & set(number) else {"factor": 4}) | number
    ),
    "degrade_series": lambda **number: xr_sr.simulate.degrade_series(
        HR, **({} if {"factor", "gsd"} & set(number) else {"factor": 4}) | number
    ),
    "detection_rate": lambda **number: xr_sr.metrics.detection_rate(OBJECTS, OBJECTS * 0.5, **number),
    "edge_response": lambda **number: xr_sr.metrics.edge_response(HR, **number),
    "explain": lambda **number: xr_sr.explain(LR, fuse=True, **number),
    "ergas": lambda **number: xr_sr.metrics.ergas(HR, HR, **number),
    "estimate_shift": lambda **number: xr_sr.registration.estimate_shift(IMAGE, IMAGE, **number),
    "evaluate": lambda **number: xr_sr.evaluate(LR, HR, HR, **number),
    "explore": lambda **number: xr_sr.explore(LR, **number),
    "flood": lambda **number: DATED.sr.flood("2023-06", "2023-07", index="NDWI", **number),
    "flood_between": lambda **number: xr_sr.flood_between(LR, LR, index="NDWI", **number),
    "flood_map": lambda **number: xr_sr.plot.flood_map(FLOODED, **number),
    "frequency_map": lambda **number: xr_sr.plot.frequency_map(
        xr_sr.analytics.water_history(DATED.sr.water("NDWI", 0.1)), **number
    ),
    "fuse": lambda **number: LR.sr.fuse("bicubic", **number),
    "hybrid": lambda **number: xr_sr.simulate.hybrid(HR, HR, **number),
    "index": lambda **number: LR.sr.index("NDVI", **number),
    "linear_schedule": lambda **number: xr_sr.training.linear_schedule(**number),
    "list_models": lambda **number: xr_sr.list_models(**number),
    "load": lambda **number: xr_sr.load([], bbox=(8, 50, 8.1, 50.1), **number),
    "make_pairs": lambda **number: xr_sr.make_pairs(LR, HR, "never", **number),
    "mtf": lambda **number: xr_sr.metrics.mtf(HR, HR, **number),
    "object_scores": lambda **number: xr_sr.metrics.object_scores(OBJECTS, OBJECTS * 0.5, **number),
    "open_zarr": lambda **number: xr_sr.open_zarr(STORE, **number),
    "phase_correlation_shift": lambda **number: xr_sr.registration.phase_correlation_shift(IMAGE, IMAGE, **number),
    "psnr": lambda **number: xr_sr.metrics.psnr(HR, HR, **number),
    "reflectance": lambda **number: LR.sr.reflectance(**number),
    "scenes_of": lambda **number: xr_sr.training.scenes_of(LR, **number),
    "simulate_scene": lambda **number: xr_sr.simulate_scene(**number),
    "snap_geobox": lambda **number: xr_sr.snap_geobox(LR.odc.geobox, **number),
    "ssim": lambda **number: xr_sr.metrics.ssim(HR, HR, **number),
    "synthesis": lambda **number: xr_sr.metrics.synthesis(LR, HR, HR, **number),
    "to_cog": lambda **number: LR.sr.to_cog("never.tif", **number),
    "to_zarr": lambda **number: LR.sr.to_zarr("never.zarr", **number),
    "trust_maps": lambda **number: xr_sr.plot.trust_maps(xr_sr.metrics.opensr_test(LR, HR, HR, maps=True), **number),
    "upscale": lambda **number: LR.sr.upscale("bicubic", **number),
    "warp": lambda **number: xr_sr.registration.warp(IMAGE, **{"dy": 0.5, "dx": 0.5} | number),
    "water": lambda **number: LR.sr.water("NDWI", 0.1, **number),
}
"""One call for each public function with numbers among its arguments, right but for the number that is passed."""

STORE: dict = {}
LR.sr.to_zarr(STORE, progress=False)

OF_TRAINING = {
    *("distil", "fit", "fit_residual", "fit_flow", "fit_autoencoder", "fit_denoiser"),
    *("draw_images", "measure_halo", "residual_of"),
}
"""Calls of these need networks and scenes: tests/training and tests/kernels/test_register.py test their numbers."""


def numbers_of_the_interface() -> set[tuple[str, str]]:
    """Name every parameter of a public function whose annotation is a number, with None and words beside it or not."""
    found = set()
    for module in (xr_sr, *(getattr(xr_sr, room) for room in ROOMS)):
        for name in module.__all__:
            function = getattr(module, name)
            if not inspect.isfunction(function) or name in OF_TRAINING:
                continue
            for parameter in inspect.signature(function).parameters.values():
                is_number = re.fullmatch(r"(float|int)( \| None)?( \| Literal\[.*\])?", str(parameter.annotation))
                if is_number and parameter.kind is not parameter.VAR_KEYWORD:
                    found.add((name, parameter.name))
    return found


def flags_of_the_interface() -> set[str]:
    """Name every parameter of a public function whose annotation has `bool` in it."""
    found = set()
    for module in (xr_sr, *(getattr(xr_sr, room) for room in ROOMS)):
        for name in module.__all__:
            function = getattr(module, name)
            if not inspect.isfunction(function):
                continue
            for parameter in inspect.signature(function).parameters.values():
                if "bool" in str(parameter.annotation):
                    found.add(f"{name}({parameter.name})")
    return found


def test_each_flag_of_the_interface_has_a_call_here():
    assert flags_of_the_interface() == set(CALLS)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("word", ["no", "False", b"yes"])
def test_a_word_is_no_flag(call, word, tmp_path, monkeypatch):
    """In Python the text "no" is true: `overwrite="no"` would replace a store."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(OptionError, match=call.split("(")[1][:-1] + r"=|classes of SCL"):
        CALLS[call](word)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", sorted(set(CALLS) - {"to_zarr(pyramid)"}))
@pytest.mark.parametrize("flag", [0, 1, 0.0, np.array([True]), [True]], ids=repr)
def test_a_number_or_a_list_is_no_flag(call, flag, tmp_path, monkeypatch):
    if call == "load(mask)" and isinstance(flag, list | np.ndarray):
        flag = [[True]]  # a list names classes there, and a truth value is no class
    monkeypatch.chdir(tmp_path)

    with pytest.raises(OptionError):
        CALLS[call](flag)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("function", "name"), sorted(numbers_of_the_interface()))
@pytest.mark.parametrize("odd", [True, "2", np.nan, [2], np.zeros(3), (2, 2)], ids=repr)
def test_a_truth_value_a_word_or_a_list_is_no_number(function, name, odd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(XrSrError, match=name):
        NUMBERS[function](**{name: odd})

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flag", ["non_negative", "constrained", "selects", "fine_alone"])
def test_flags_of_a_record_are_no_words(flag):
    with pytest.raises(OptionError, match=f"{flag}='no': .*True"):
        xr_sr.register_model(replace(SPEC, **{flag: "no"}))


def test_a_store_is_kept_where_overwrite_is_a_word(tmp_path):
    LR.sr.to_zarr(tmp_path / "a.zarr", progress=False)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a.zarr").rglob("*")}

    with pytest.raises(OptionError, match="overwrite='no': .*True .*str"):
        (LR * 2).sr.to_zarr(tmp_path / "a.zarr", overwrite="no", progress=False)

    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "a.zarr").rglob("*")} == before


def test_flags_of_numpy_are_flags(tmp_path):
    assert LR.sr.to_zarr(tmp_path / "a.zarr", overwrite=np.True_, progress=np.False_) > 0


def test_checks_return_what_passes_and_say_what_does_not():
    assert check_flag("a", np.False_) is None
    assert check_flag("a", None, optional=True) is None
    assert check_whole("a", np.int16(3), least=3) == 3
    assert check_number("a", np.float32(0.5), above=0, most=1) == 0.5
    assert check_choice("a", "x", ("x", None)) is None
    for wrong in (2, 3.0, "3", True, None, np.array(3), [3]):
        with pytest.raises(OptionError, match=r"^a=.*: .*whole number, .*3; "):
            check_whole("a", wrong, least=3)
    for wrong in (0, np.nan, np.inf, "1", True, None, np.array(1.0), 2, 10**400):
        with pytest.raises(OptionError, match=r"^a=.*: .*above 0 .*at most 1; "):
            check_number("a", wrong, above=0, most=1)
    for wrong in ("y", 2.0, True, np.array(["x"]), xr.DataArray("x")):
        with pytest.raises(OptionError, match=r"^a=.*: expected one of 'x', 2, None\."):
            check_choice("a", wrong, ("x", 2, None))


@pytest.mark.parametrize("path", ["x" * 300, "a\0b", 3, None, b"bytes"], ids=["long", "null", "int", "none", "bytes"])
def test_what_is_no_path_is_one_sentence(path):
    with pytest.raises(StoreError, match="^path="):
        check_path("path", path, StoreError)


def test_a_path_may_name_what_is_not_there(tmp_path):
    assert check_path("path", str(tmp_path / "new"), StoreError) == tmp_path / "new"


def test_arguments_in_messages_are_one_short_line():
    assert shown(np.arange(1000).reshape(10, 100)).count("\n") == 0
    assert len(shown("x" * 1000)) == 80


def test_a_number_that_is_out_of_bounds_is_said_with_its_value():
    with pytest.raises(OptionError, match="^a=2: .*whole number, .*3; "):
        check_whole("a", 2, least=3)
    with pytest.raises(OptionError, match="^a=nan: .*finite number; "):
        check_number("a", math.nan)
    with pytest.raises(OptionError, match="^a='2': .*whole number, .*3; .*str"):
        check_whole("a", "2", least=3)


def test_an_old_name_of_a_keyword_is_accepted_with_a_warning():
    @renamed(colour="color")
    def paint(wall, *, color="white"):
        return wall, color

    with pytest.warns(FutureWarning, match="colour= is now spelled color=") as caught:
        assert paint("south", colour="red") == ("south", "red")
    assert caught[0].filename == __file__
    assert list(inspect.signature(paint).parameters) == ["wall", "color"]
    with pytest.raises(OptionError, match="Pass color= only"):
        paint("south", colour="red", color="blue")
