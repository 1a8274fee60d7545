"""A report is one file that stands alone, holds the numbers that it was given, and shows what they mean."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from tests.cubes import array
from xr_sr import errors
from xr_sr.cube.coordinates import coords
from xr_sr.metrics import METRICS, evaluate
from xr_sr.plot import document, report
from xr_sr.plot.document import number_text
from xr_sr.plot.ternary_plot import QUANTITIES

RGB = ("B04", "B03", "B02")
VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Collects tags, checks that they close, and reads the cells of tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.links += [found[name] for name in ("src", "href") if name in found]
        if tag == "img":
            self.images.append(found)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def row(self, label: str) -> list[str]:
        return next(row for row in self.rows if row and row[0].startswith(label))


def evaluation() -> xr.Dataset:
    """Two models, three dates, two bands."""
    rng = np.random.default_rng(1)
    three = rng.dirichlet((4, 2, 1), (2, 3))
    made = xr.Dataset(
        {
            "rmse": (("model", "time", "band"), 0.02 + 0.01 * rng.random((2, 3, 2))),
            "psnr": (("model", "time", "band"), 30 + 5 * rng.random((2, 3, 2))),
            "reflectance": (("model", "time"), 0.003 * rng.random((2, 3))),
            **{name: (("model", "time"), three[..., n]) for n, name in enumerate(QUANTITIES)},
        },
        {
            "model": ["bicubic", "sen2sr-lite"],
            "time": np.array(["2023-06-01", "2023-06-06", "2023-07-01"], "datetime64[ns]"),
            "band": ["B04", "B08"],
        },
        {"profile": "default", "scale": 4, "distances": {"correctness": "nd"}, "versions": "xr_sr 1, NumPy 2"},
    )
    made["psnr"][1] += 9
    return made


def cubes() -> tuple[xr.DataArray, dict[str, xr.DataArray], xr.DataArray, xr.Dataset]:
    """LR, SR of two models, HR, and maps on the grid of SR."""
    rng = np.random.default_rng(3)

    def on(side: int, pixel: float) -> GeoBox:
        return GeoBox((side, side), Affine(pixel, 0, 500_000, 0, -pixel, 5_000_000), "EPSG:32633")

    hr = array(0.1 + 0.1 * rng.random((3, 48, 48)).astype("float32"), RGB, geobox=on(48, 2.5))
    lr = array(0.1 + 0.1 * rng.random((3, 12, 12)).astype("float32"), RGB, geobox=on(12, 10.0))
    sr = {name: hr * level for name, level in (("bicubic", 0.9), ("sen2sr-lite", 1.1))}
    sr["bicubic"].attrs["xr_sr:model"] = "bicubic"
    three = rng.dirichlet((4, 2, 1), (2, 48, 48))
    maps = xr.Dataset({name: (("model", "y", "x"), three[..., n]) for n, name in enumerate(QUANTITIES)})
    return lr, sr, hr, maps.assign_coords(coords(on(48, 2.5))).assign_coords(model=list(sr))


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Reader:
    lr, sr, hr, maps = cubes()
    path = tmp_path_factory.mktemp("report") / "report.html"
    found = report(
        evaluation(), path, lr=lr, sr=sr, hr=hr, maps=maps, title="Trust & <measure>", notes=["Made data; licence CC0."]
    )
    assert found == path
    text = path.read_text(encoding="utf-8")
    assert "Trust &amp; &lt;measure&gt;" in text and "Made data; licence CC0." in text
    return Reader(text)


def test_the_file_stands_alone(full):
    assert len(full.images) == 5  # two comparisons, two triangles, the maps
    assert all(re.match("data:image/(png|jpeg);base64,", link) for link in full.links)
    assert sum(link.startswith("data:image/jpeg") for link in full.links) == 3  # those that show ground
    assert all(image["alt"] and int(image["width"]) > 100 for image in full.images)


def test_numbers_are_means_and_spreads_over_dates(full):
    given = evaluation()
    row = full.row("RMSE")
    for text, model in zip(row[1:], given.model.values, strict=True):
        value, spread = (float(part) for part in text.split("±"))
        per_date = given.rmse.sel(model=model).mean("band")
        assert value == pytest.approx(float(per_date.mean()), rel=3e-2)
        assert spread == pytest.approx(float(per_date.std(ddof=1)), rel=5e-2)


def test_facts_say_models_data_dates_and_version(full):
    assert full.row("Models")[1] == "bicubic, sen2sr-lite"
    assert full.row("LR")[1] == "12 × 12 pixels, 10 m, EPSG:32633"
    assert full.row("Acquired")[1] == "2023-06-01 to 2023-07-01, 3 dates"
    assert full.row("Bands")[1] == "B04, B08"
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d UTC, by xr_sr \S+", full.row("Written")[1])
    assert full.row("distances")[1] == "correctness nd"
    assert full.row("versions")[1] == "xr_sr 1, NumPy 2"


def test_what_is_shown_is_defined_and_nothing_else(full):
    labels = {row[0] for row in full.rows}
    texts = {row[1] for row in full.rows if len(row) == 2}

    assert {METRICS[name].meaning for name in ("rmse", "improvement", "reflectance")} <= texts
    assert METRICS["ergas"].meaning not in texts
    assert {"2023-06-06", "B08"} <= labels


def test_the_best_is_bold(tmp_path):
    text = report(evaluation(), tmp_path / "report.html").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("<tr><td>PSNR"))

    cells = re.findall(r'<td class="value">(.*?)</td>', line)
    assert "best" not in cells[0] and "best" in cells[1]


def test_of_equal_numbers_none_is_bold(tmp_path):
    numbers = evaluation()
    numbers["psnr"] = numbers["psnr"] * 0 + 30

    text = report(numbers, tmp_path / "report.html").read_text(encoding="utf-8")

    line = next(line for line in text.splitlines() if line.startswith("<tr><td>PSNR"))
    assert "30" in line and "best" not in line


def test_numbers_alone_make_a_report(tmp_path):
    numbers = evaluation().isel(time=0, drop=True).mean("band").isel(model=0, drop=True)
    read = Reader(report(numbers, tmp_path / "report.html").read_text(encoding="utf-8"))

    assert len(read.images) == 1
    assert read.row("RMSE")[1:] == [number_text(float(numbers.rmse))]
    assert read.row("Models")[1] == "SR"


def test_a_missing_number_is_a_dash(tmp_path):
    numbers = evaluation()
    numbers["reflectance"][0] = np.nan
    read = Reader(report(numbers, tmp_path / "report.html").read_text(encoding="utf-8"))

    assert read.row("Reflectance")[1] == "–"


def test_an_unknown_metric_goes_by_its_name(tmp_path):
    numbers = evaluation().assign(dice=("model", [0.5, 0.6]))
    read = Reader(report(numbers, tmp_path / "report.html").read_text(encoding="utf-8"))

    assert read.row("dice")[1:] == ["0.5000", "0.6000"]


def test_a_file_is_replaced_as_a_whole(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    with pytest.raises(errors.CubeError, match="evaluation="):
        report(xr.Dataset(), path)
    assert path.read_text() == "old"
    report(evaluation(), path)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_a_cube_that_was_not_evaluated_is_refused(tmp_path):
    _, sr, _, _ = cubes()

    with pytest.raises(errors.OptionError, match="sharper"):
        report(evaluation(), tmp_path / "report.html", sr={"sharper": sr["bicubic"]})


def test_panels_are_titled_by_model_and_bicubic_stands_once(tmp_path, monkeypatch):
    lr, sr, hr, _ = cubes()
    titles = []

    def noted(figure, *_, image=False, **__):
        titles.extend([[axes.get_title(loc="left").split(",")[0] for axes in figure.axes]] if image else [])
        return ""

    monkeypatch.setattr(document, "embedded", noted)
    sr["bicubic"].attrs.clear()
    report(evaluation(), tmp_path / "report.html", lr=lr, sr=sr, hr=hr)
    first, second = ([title for title in row if title and ":" not in title] for row in titles)
    assert first == ["LR", "bicubic", "HR"]
    assert second == ["LR", "bicubic", "sen2sr-lite", "HR"]


def test_a_path_without_a_folder_is_refused(tmp_path):
    with pytest.raises(errors.StoreError, match="path=.*report.html"):
        report(evaluation(), tmp_path / "sub" / "report.html")
    with pytest.raises(errors.StoreError, match="path="):
        report(evaluation(), tmp_path)


def test_maps_of_one_beside_several_cubes_are_refused(tmp_path):
    lr, sr, hr, maps = cubes()
    path = tmp_path / "report.html"

    with pytest.raises(errors.OptionError, match="model"):
        report(evaluation(), path, lr=lr, sr=sr, hr=hr, maps=maps.isel(model=0, drop=True))
    assert not path.exists()


def test_all_that_evaluate_gives_is_shown_and_defined(tmp_path):
    lr, sr, hr, _ = cubes()
    numbers = evaluate(lr, sr, hr, border=0).compute()
    read = Reader(report(numbers, tmp_path / "report.html", lr=lr, sr=sr, hr=hr).read_text(encoding="utf-8"))

    assert set(numbers.data_vars) <= set(METRICS)
    for name in numbers.data_vars:
        assert len(read.row(METRICS[name].label)) == 3
    assert read.row("Models")[1] == "bicubic, sen2sr-lite"


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [
        (0.012345, np.nan, "0.01235"),
        (31.41592, np.nan, "31.42"),
        (31.41592, 2.0, "31.4"),
        (12345.6, np.nan, "12346"),
        (-0.5, np.nan, "−0.5000"),
        (0.0, np.nan, "0.000"),
        (np.nan, np.nan, "–"),
        (np.inf, np.nan, "∞"),
    ],
)
def test_numbers_have_about_four_digits(value, spread, text):
    assert number_text(value, spread) == text
