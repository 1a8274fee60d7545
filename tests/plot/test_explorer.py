"""The page to explore: its layers are the cubes, it asks nobody for anything, and a browser swipes and zooms it."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
from functools import partial
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from PIL import Image

import xr_sr
from tests.cubes import array, dataset, geobox_of, reflectance, times
from xr_sr.analytics.area import area_text
from xr_sr.analytics.classes import CLASS_COLORS
from xr_sr.errors import (
    CubeError,
    GeoreferenceWarning,
    GridError,
    MissingLibraryError,
    OptionError,
    ReferenceWarning,
    StoreError,
)
from xr_sr.plot import Explorer

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture
def lr() -> xr.Dataset:
    return dataset(reflectance(4, 24, 32))


@pytest.fixture
def sr(lr: xr.Dataset) -> xr.Dataset:
    return lr.sr.upscale("bicubic", constraint="none").compute()


def data_of(page: Explorer) -> dict[str, object]:
    """What the page was given, read as a browser reads it."""
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page.html, re.DOTALL)
    assert found
    return json.loads(found[1])


def image_of(page: Explorer, name: str) -> np.ndarray:
    """(y, x, red green blue alpha) of a layer, by the beginning of its name."""
    (src,) = [layer["src"] for layer in data_of(page)["layers"] if layer["name"].startswith(name)]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(src.partition(",")[2]))).convert("RGBA"))


def hexed(color: str) -> list[int]:
    return [int(color[place : place + 2], 16) for place in (1, 3, 5)]


def test_layers_are_those_of_the_cubes_each_in_its_own_pixels(lr, sr):
    page = sr.sr.explore(lr)

    assert page.layers == ("LR, 10 m", "bicubic, 2.5 m", "SR (bicubic), 2.5 m")
    assert image_of(page, "LR").shape == (24, 32, 4)
    assert image_of(page, "SR").shape == image_of(page, "bicubic").shape == (96, 128, 4)
    np.testing.assert_array_equal(image_of(page, "SR"), image_of(page, "bicubic"))


def test_the_method_is_one_of_sr_and_takes_lr_as_before_for_one_release(lr, sr):
    page = xr_sr.explore(lr, sr)
    for made in (sr.sr.explore(lr), sr.sr.explore(lr=lr), sr.sr.explore(lr, hr=sr)):
        assert made.layers[:3] == page.layers

    for old in (partial(lr.sr.explore, sr), partial(lr.sr.explore, sr=sr)):
        with pytest.warns(FutureWarning, match=r"sr\.sr\.explore\(lr\)"):
            assert old().html == page.html


def test_a_cube_alone_is_lr_unless_a_model_made_it(lr, sr):
    foreign = sr.assign({name: band.drop_attrs() for name, band in sr.data_vars.items()})
    foreign.attrs = {}

    assert [cube.sr.explore().layers for cube in (lr, sr, foreign)] == [
        ("LR, 10 m",),
        ("SR (bicubic), 2.5 m",),
        ("LR, 2.5 m",),
    ]
    with pytest.warns(ReferenceWarning):
        assert foreign.sr.explore(hr=sr).layers == ("SR (SR), 2.5 m", "HR, 2.5 m")


def test_one_stretch_holds_for_all_cubes(lr, sr):
    page = xr_sr.explore(lr, sr, limits=(0.0, 0.4))

    for name, cube in (("LR", lr), ("SR", sr)):
        shown = np.stack([cube[band].values for band in ("B04", "B03", "B02")], axis=-1)
        np.testing.assert_allclose(image_of(page, name)[..., :3], np.clip(shown / 0.4, 0, 1) * 255, atol=0.51)
    legends = {json.dumps(layer["legend"]) for layer in data_of(page)["layers"]}
    assert len(legends) == 1 and "B04 0.000 to 0.400" in legends.pop()


def test_what_was_not_measured_is_transparent(lr):
    lr["B04"][2, 3] = np.nan

    alpha = image_of(lr.sr.explore(), "LR")[..., 3]

    assert alpha[2, 3] == 0 and (alpha == 0).sum() == 1


def test_the_page_knows_where_it_lies(lr, sr):
    window = (600_080, 5_800_100, 600_200, 5_800_220)  # of a grid whose top lies at 5 800 300
    data = data_of(xr_sr.explore(lr, sr, window=window))

    assert (data["rows"], data["columns"]) == (48, 48)
    assert data["affine"] == [2.5, 0, 600_080, 0, -2.5, 5_800_220]
    assert data["crs"] == "EPSG:32633"
    np.testing.assert_allclose(data["pixelM"], 2.5, rtol=2e-3)


def test_south_up_grids_are_turned_over(lr, sr):
    flipped = [cube.isel(y=slice(None, None, -1)) for cube in (lr, sr)]
    page, other = xr_sr.explore(lr, sr), xr_sr.explore(*flipped)

    assert data_of(page)["affine"] == data_of(other)["affine"]
    np.testing.assert_array_equal(image_of(page, "LR"), image_of(other, "LR"))


def test_cubes_without_crs_have_a_scale_in_pixels():
    bare = xr.DataArray(reflectance(4, 24, 32), dims=("band", "y", "x"), coords={"band": ["B04", "B03", "B02", "B08"]})

    with pytest.warns(GeoreferenceWarning):
        data = data_of(bare.sr.explore())

    assert (data["pixelM"], data["crs"], data["rows"], data["columns"]) == (None, "", 24, 32)


def test_of_what_is_larger_the_middle_is_shown_and_the_page_says_so(lr, sr):
    page = xr_sr.explore(lr, sr, max_pixels=40)

    assert image_of(page, "SR").shape == (40, 40, 4) and image_of(page, "LR").shape == (10, 10, 4)
    assert data_of(page)["cut"] == "Shown: the middle 40 × 40 of 96 × 128 pixels."
    assert data_of(xr_sr.explore(lr, sr))["cut"] == ""


def test_of_a_large_lazy_cube_only_what_is_shown_is_read():
    read = []

    def noted(block: np.ndarray, block_id: tuple[int, ...]) -> np.ndarray:
        read.append(block_id)
        return block + np.float32(0.2)

    empty = da.zeros((3, 10_240, 10_240), chunks=(1, 256, 256), dtype="float32")
    values = empty.map_blocks(noted, dtype="float32", meta=np.empty((0, 0, 0), "float32"))
    page = array(values, ("B04", "B03", "B02"), geobox=geobox_of(10_240, 10_240)).sr.explore(max_pixels=256)

    assert len(set(read)) <= 3 * 4
    assert len(page.html) < 100_000


@pytest.fixture
def found() -> xr.Dataset:
    """A flood of two dates, on the grid of `sr`."""
    rng = np.random.default_rng(0)
    values = rng.choice([0.0, 1.0, np.nan], (2, 96, 128), p=[0.6, 0.3, 0.1])
    geobox = geobox_of(24, 32).zoom_to((96, 128))
    mask = xr.DataArray(values, dims=("time", "y", "x"), coords={**xr_coords(geobox), "time": times(2)})
    return xr_sr.flood(xr_sr.water(mask, None, 0.5), times(2)[0], times(2)[1]).compute()


def test_classes_have_their_colors_names_and_areas(lr, found):
    page = xr_sr.explore(lr, layers={"flood": found})

    flood, area = found["flood"], found["area"].isel(time=0)
    names = dict(zip(flood.attrs["flag_values"], flood.attrs["flag_meanings"].split(), strict=True))
    expected = np.array([[hexed(CLASS_COLORS[names[code]]) for code in row] for row in flood.values[0]])
    np.testing.assert_array_equal(image_of(page, "flood")[..., :3], expected)
    (legend,) = [layer["legend"] for layer in data_of(page)["layers"] if layer["name"].startswith("flood")]
    flooded = {"color": CLASS_COLORS["flooded"], "label": f"flooded, {area_text(float(area.sel(state='flooded')))}"}
    assert flooded in legend["entries"]
    assert legend["text"] == "2023-06-01 → 2023-06-06"


def test_uncertain_pixels_count_in_no_other_class(lr):
    index = lr.sr.index("NDWI").drop_attrs()
    found = xr.Dataset({"estimate": index, "std": xr.full_like(index, 0.2)}).sr.water(None, 0.0).compute()

    page = xr_sr.explore(lr, layers={"water": found})

    (legend,) = [layer["legend"] for layer in data_of(page)["layers"] if layer["name"].startswith("water")]
    each = found["water"].sr.areas().to_series()
    assert each["uncertain"] > 0
    labels = [entry["label"] for entry in legend["entries"]]
    titles = {"water": "water", "uncertain": "uncertain (probability of water 5 to 95 %)"}
    assert {f"{title}, {area_text(each[name])}" for name, title in titles.items()} <= set(labels)


def test_a_map_alone_is_enough(found):
    page = found.sr.explore()
    mask = xr_sr.explore(layers={"water": found["flood"].isel(time=0, drop=True) == 2})

    assert page.layers == ("flood, 2.5 m",) and data_of(page)["note"] == ""
    assert (image_of(mask, "water")[found["flood"].values[0] == 2][:, :3] == hexed(CLASS_COLORS["water"])).all()


def test_maps_of_one_quantity_share_their_colors(lr, sr):
    ndvi = {"coarse": lr.sr.index("NDVI"), "fine": sr.sr.index("NDVI"), "MNDWI?": lr.sr.index("NDWI")}
    layers = data_of(xr_sr.explore(lr, sr, layers=ndvi))["layers"]

    legends = {layer["name"].partition(",")[0]: layer["legend"] for layer in layers}
    assert legends["coarse"] == legends["fine"] != legends["MNDWI?"]
    assert legends["coarse"]["label"] == "NDVI" and legends["coarse"]["low"].replace("−", "").replace(".", "").isdigit()


def test_a_quantity_with_a_sign_is_white_at_zero(lr):
    off = (lr["B08"] - lr["B08"].mean()).rename("anomaly").assign_attrs(long_name="NDVI minus its mean", units="1")
    off[0, 0] = 0
    image = image_of(xr_sr.explore(layers={"off": off}), "off")

    assert image[0, 0, :3].min() > 240
    assert data_of(xr_sr.explore(layers={"off": off}))["layers"][0]["legend"]["low"].startswith("−")


def test_layers_follow_the_date(found):
    two = array(reflectance(2, 4, 24, 32))
    names = [data_of(two.sr.explore(date=date, layers={"flood": found}))["layers"][0]["legend"]["text"][:10]
             for date in (None, 1, "2023-06-05")]  # fmt: skip

    assert names == ["2023-06-01", "2023-06-06", "2023-06-06"]


def test_each_layer_tells_its_own_date():
    two = array(reflectance(2, 4, 24, 32))
    layers = data_of(two.sr.explore(date=1, layers={"before": two.isel(time=[0])}))["layers"]

    assert [layer["legend"]["text"][:10] for layer in layers] == ["2023-06-06", "2023-06-01"]


# -- what the page opens on
# ------------------------------------------------------------------------------------------------------------


def opened(page: Explorer) -> list[str]:
    """The left and the right layer, and the maps over them: names, with dates where there are several."""
    data = data_of(page)
    numbers = [data[key] for key in ("left", "right", "leftOver", "rightOver")]
    entries = [None if number < 0 else data["layers"][number] for number in numbers]
    return [
        "" if each is None else f"{each['name'].partition(',')[0]} {each['date'][8:10]}".strip() for each in entries
    ]


def of_dates(count: int) -> tuple[xr.Dataset, xr.Dataset]:
    lr = dataset(reflectance(count, 4, 24, 32))
    return lr, lr.sr.upscale("bicubic", constraint="none").compute()


def test_a_flood_lies_over_its_date_beside_the_date_before(found):
    lr, sr = of_dates(3)

    page = sr.sr.explore(lr, layers={"flood": found})

    assert opened(page) == ["SR (bicubic) 01", "SR (bicubic) 06", "", "flood 06"]
    dates = {layer["date"][:10] for layer in data_of(page)["layers"]}
    assert dates == {"2023-06-01", "2023-06-06"}  # what the flood is about, and no others


def test_a_map_of_one_date_lies_over_both_sides(lr, sr, found):
    flood = found.isel(time=0, drop=True)

    assert opened(sr.sr.explore(lr, layers={"flood": flood})) == ["LR", "SR (bicubic)", "flood", "flood"]
    ndvi = {"coarse": lr.sr.index("NDVI"), "fine": sr.sr.index("NDVI")}
    assert opened(sr.sr.explore(lr, layers=ndvi)) == ["LR", "SR (bicubic)", "coarse", "fine"]
    assert opened(sr.sr.explore(lr, layers=ndvi, show=("coarse", "SR"))) == ["coarse", "SR (bicubic)", "", ""]


def test_cubes_among_the_layers_stand_beside_each_other(lr, sr):
    layers = {"before": sr, "between": sr, "after": sr}

    assert opened(lr.sr.explore(layers=layers)) == ["before", "after", "", ""]
    assert opened(sr.sr.explore(lr, layers={"other": sr})) == ["SR (bicubic)", "other", "", ""]


def test_a_series_opens_on_its_first_and_last_date_and_holds_four():
    lr, _ = of_dates(6)

    page = lr.sr.explore()

    assert opened(page) == ["LR 01", "LR 26", "", ""]
    assert [layer["date"][8:10] for layer in data_of(page)["layers"]] == ["01", "11", "16", "26"]
    assert data_of(page)["cut"] == "Shown: 4 of 6 dates; others by date=[...]."
    assert page.layers == ("LR, 10 m",)
    some = lr.sr.explore(date=["2023-06-12", 0, "2023-06-11"])
    assert [layer["date"][8:10] for layer in data_of(some)["layers"]] == ["11", "01"][::-1]
    assert [layer["date"][8:10] for layer in data_of(lr.sr.explore(date=3))["layers"]] == ["16"]
    with pytest.raises(OptionError, match="date=\\[\\]"):
        lr.sr.explore(date=[])


def test_the_stretch_is_that_of_the_first_date_that_holds_anything():
    lr, _ = of_dates(3)
    lr["B04"][1] *= 2
    for band in lr.data_vars:
        lr[band][0] = np.nan

    page = lr.sr.explore()

    assert len({layer["legend"]["text"].partition(":")[2] for layer in data_of(page)["layers"]}) == 1
    assert data_of(page)["layers"][1:] == data_of(lr.isel(time=[1, 2]).sr.explore())["layers"]


def test_dry_ground_of_a_map_is_transparent(lr, found):
    image = image_of(lr.sr.explore(layers={"flood": found}), "flood")

    np.testing.assert_array_equal(image[..., 3] == 0, found["flood"].values[0] == 0)
    (layer,) = [each for each in data_of(lr.sr.explore(layers={"flood": found}))["layers"] if each["isMap"]]
    assert layer["ground"] == CLASS_COLORS["dry"]


def test_a_map_alone_has_its_dates():
    rng = np.random.default_rng(0)
    water = xr.DataArray(
        rng.random((3, 24, 32)) > 0.5,
        dims=("time", "y", "x"),
        coords={**xr_coords(geobox_of(24, 32)), "time": times(3)},
        name="water",
    )

    page = xr_sr.explore(layers={"water": water})

    assert opened(page) == ["water 01", "water 11", "", ""]
    assert len(data_of(page)["layers"]) == 3


def test_names_and_titles_cannot_break_the_page(lr):
    bad = "</script><script>alert(1)</script> __DATA__ &"
    page = xr_sr.explore(lr, layers={bad: lr}, title=bad)

    assert page.html.count("<script") == 2
    assert data_of(page)["title"] == bad and data_of(page)["layers"][1]["name"].startswith(bad)


def test_the_page_asks_nobody_for_anything(lr, sr):
    html = xr_sr.explore(lr, sr).html

    assert "default-src 'none'" in html
    assert not re.search(r"""(src|href)\s*=\s*["']?\s*(https?:)?//|@import|url\(|fetch\(|XMLHttpRequest""", html)


def test_the_page_is_kept_whole_or_not_at_all(lr, tmp_path):
    page = lr.sr.explore(title="Two & three")

    path = page.save(tmp_path / "page.html")

    assert path.read_text(encoding="utf-8") == page.html and [*tmp_path.iterdir()] == [path]
    assert "<title>Two &amp; three</title>" in page.html
    with pytest.raises(StoreError, match="path=.*nowhere"):
        page.save(tmp_path / "nowhere" / "page.html")


def test_a_notebook_gets_the_page_in_a_frame(lr):
    page = lr.sr.explore()

    inner = re.search(r'srcdoc="([^"]*)"', page._repr_html_())
    assert inner and unescape(inner[1]) == page.html
    assert len(repr(page)) < 200


def test_what_cannot_be_laid_together_is_refused(lr, sr, monkeypatch):
    with pytest.raises(OptionError, match="layers="):
        xr_sr.explore()
    with pytest.raises(OptionError, match="layers="):
        xr_sr.explore(lr, layers={"LR": sr})
    with pytest.raises(OptionError, match="show="):
        xr_sr.explore(lr, sr, show=("LR", "SAR"))
    with pytest.raises(GridError, match="LR|SR"):
        xr_sr.explore(lr, sr.isel(x=slice(1, None)).assign_coords(x=sr.x.values[1:] + 1.0))
    with pytest.raises(CubeError, match="window="):
        xr_sr.explore(lr * np.nan)
    with pytest.raises(CubeError):
        xr_sr.explore(layers={"numbers": xr.Dataset({"a": ("n", [1.0])})})
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(MissingLibraryError, match="viz"):
        xr_sr.explore(lr)


class Browser:
    """A headless Chromium that reaches no host, with a profile of its own."""

    def __init__(self, command: str, folder: Path) -> None:
        self.folder = folder
        self.command = [command, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                        "--force-device-scale-factor=1",
                        # A frame in a process of its own is not waited for.
                        "--disable-features=IsolateSandboxedIframes", "--host-resolver-rules=MAP * ~NOTFOUND",
                        f"--user-data-dir={folder / 'profile'}", "--window-size=800,600"]  # fmt: skip

    def page(self, html: str, script: str = "") -> str:
        """Write a page, with a script of the test in it that runs when the layers are there; give its address."""
        late = f"""<script>new MutationObserver((_, seen) => {{ seen.disconnect(); {script} }})
            .observe(document.documentElement, {{attributeFilter: ["data-ready"]}});</script>"""
        path = self.folder / "page.html"
        path.write_text(html.replace("</body>", late + "</body>") if script else html, encoding="utf-8")
        return path.as_uri()

    def run(self, *options: str) -> str:
        """Return what the browser writes to its output."""
        done = subprocess.run([*self.command, *options], capture_output=True, text=True, timeout=120, check=True)
        return done.stdout

    def picture(self, address: str) -> np.ndarray:
        """(y, x, red green blue) of the window."""
        target = self.folder / "shot.png"
        self.run("--virtual-time-budget=30000", f"--screenshot={target}", address)
        return np.asarray(Image.open(target).convert("RGB")).astype(int)

    def text(self, address: str) -> str:
        """The document after all scripts."""
        return self.run("--virtual-time-budget=30000", "--dump-dom", address)


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    command = next(filter(None, map(shutil.which, BROWSERS)), None)
    if command is None:
        pytest.skip(f"no browser to look with: none of {', '.join(BROWSERS)} is on PATH")
    return Browser(command, tmp_path)


@pytest.fixture
def plain(lr: xr.Dataset) -> Explorer:
    """Two layers of one color each: red on the left, green on the right."""
    red, green = lr.copy(deep=True), lr.copy(deep=True)
    for cube, lit in ((red, "B04"), (green, "B03")):
        for band in cube.data_vars:
            cube[band][:] = 0.4 if band == lit else 0.0
    return xr_sr.explore(layers={"red": red, "green": green}, limits=(0.0, 0.4))


def is_red(picture: np.ndarray) -> np.ndarray:
    return (picture == [255, 0, 0]).all(axis=-1)


def is_green(picture: np.ndarray) -> np.ndarray:
    return (picture == [0, 255, 0]).all(axis=-1)


@pytest.mark.browser
@pytest.mark.parametrize("swipe", [0.35, 0.5, 0.65])
def test_a_browser_shows_one_layer_on_either_side_of_the_swipe(browser, plain, swipe):
    picture = browser.picture(browser.page(plain.html) + f"#left=0&right=1&swipe={swipe}")

    red, green = (np.flatnonzero(lit(picture).any(axis=0)) for lit in (is_red, is_green))
    assert abs(red.max() - swipe * 800) < 20 and abs(green.min() - swipe * 800) < 20
    # All of the 24 x 32 pixels, as large as the window lets them be.
    rows = np.flatnonzero((is_red(picture) | is_green(picture)).any(axis=1))
    width, height = green.max() - red.min() + 1, rows.max() - rows.min() + 1
    assert width / height == pytest.approx(32 / 24, rel=0.02) and height > 350


@pytest.mark.browser
def test_a_browser_offline_shows_the_colors_of_the_cubes(browser, lr, sr):
    page = xr_sr.explore(lr, sr)
    picture = browser.picture(browser.page(page.html) + "#left=0&right=2&swipe=1&zoom=8&x=64&y=48")

    seen = {tuple(color) for color in picture[120:480, 200:600].reshape(-1, 3).tolist()}
    own = {tuple(color) for color in image_of(page, "LR")[..., :3].reshape(-1, 3).tolist()}
    assert len(seen) > 100
    assert seen <= own  # no pixel was blended with its neighbor
    assert 'data-ready="yes"' in browser.text(browser.page(page.html))


@pytest.mark.browser
def test_a_browser_lets_itself_be_dragged_zoomed_and_swiped(browser, plain):
    script = """
    const stage = document.getElementById("stage"), handle = document.getElementById("handle");
    const box = stage.getBoundingClientRect();
    const send = (element, kind, x, y) => element.dispatchEvent(new PointerEvent(kind,
      { bubbles: true, pointerId: 1, isPrimary: true, clientX: box.left + x, clientY: box.top + y }));
    const middle = [box.width / 2, box.height / 2];
    stage.dispatchEvent(new WheelEvent("wheel",
      { deltaY: -240, clientX: box.left + middle[0], clientY: box.top + middle[1], cancelable: true }));
    send(stage, "pointerdown", ...middle); send(stage, "pointermove", middle[0] + 50, middle[1] - 30);
    send(stage, "pointerup", middle[0] + 50, middle[1] - 30);
    send(handle, "pointerdown", ...middle); send(handle, "pointermove", box.width * 0.3, middle[1]);
    send(handle, "pointerup", box.width * 0.3, middle[1]);
    handle.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
    const right = document.getElementById("right");
    right.value = "0"; right.dispatchEvent(new Event("change"));
    document.documentElement.dataset.fit = Math.min(box.width / 32, box.height / 24);
    setTimeout(() => { document.documentElement.dataset.view = location.hash; }, 1000);
    """
    text = browser.text(browser.page(plain.html, script))

    found = parse_qs(unescape(re.search(r'data-view="#([^"]*)"', text)[1]))
    view = {key: float(value[0]) for key, value in found.items()}
    zoom = float(re.search(r'data-fit="([\d.]+)"', text)[1]) * np.exp(0.48)
    assert view["zoom"] == pytest.approx(zoom, rel=1e-3)
    assert view["x"] == pytest.approx(16 - 50 / zoom, abs=0.01) and view["y"] == pytest.approx(12 + 30 / zoom, abs=0.01)
    assert view["swipe"] == pytest.approx(0.32, abs=1e-3)
    assert (view["left"], view["right"]) == (0, 0)
    place = re.search(r'id="place"[^>]*>EPSG:32633  x ([\d.]+), y ([\d.]+)<', text)
    column = view["x"] - 0.2 * 800 / zoom  # where the pointer was last
    np.testing.assert_allclose([float(each) for each in place.groups()],
                               [600_000 + 10 * column, 5_800_300 - 10 * view["y"]], atol=0.11)  # fmt: skip


@pytest.mark.browser
def test_a_browser_draws_pixels_in_degrees_as_high_as_they_are(browser, lr):
    geobox = GeoBox.from_bbox((13.0, 59.9, 13.0032, 59.9024), "EPSG:4326", resolution=0.0001)
    page = xr_sr.explore(dataset(np.full((4, 24, 32), 0.2, "float32"), geobox=geobox), limits=(0.2, 0.3))
    picture = browser.picture(browser.page(page.html))

    black = (picture == 0).all(axis=-1)
    rows, columns = (np.flatnonzero(black.sum(axis=axis) > 100) for axis in (1, 0))
    aspect = (columns.max() - columns.min()) / (rows.max() - rows.min())
    assert aspect == pytest.approx(32 / 24 * np.cos(np.deg2rad(59.9)), rel=0.02)


@pytest.mark.browser
def test_a_browser_shows_the_frame_of_a_notebook(browser, plain):
    notebook = f"<!doctype html><html><body>{plain._repr_html_()}</body></html>"
    picture = browser.picture(browser.page(notebook))

    assert is_red(picture).sum() > 20_000 and is_green(picture).sum() > 20_000


@pytest.mark.browser
def test_a_browser_opens_on_the_flood_over_the_scene(browser, found):
    lr = dataset(np.zeros((2, 4, 24, 32), "float32"))
    page = lr.sr.explore(layers={"flood": found}, limits=(0.0, 0.4))
    picture = browser.picture(browser.page(page.html))

    left, right = picture[150:450, 210:375], picture[150:450, 425:590]
    assert (left == 0).all()  # black ground before the flood
    colors = {tuple(color) for color in right.reshape(-1, 3).tolist()}
    for name in ("flooded", "permanent", "unknown"):
        wanted = np.array(hexed(CLASS_COLORS[name])) * 0.65
        assert any(np.abs(np.array(color) - wanted).max() <= 1.5 for color in colors), name
    assert (0, 0, 0) in colors  # dry ground shows what lies below


@pytest.mark.browser
def test_a_browser_lets_dates_maps_and_opacity_be_chosen(browser, found):
    lr = dataset(reflectance(2, 4, 24, 32))
    script = """
    const set = (id, value, kind) => {
      const element = document.getElementById(id);
      element.value = value;
      element.dispatchEvent(new Event(kind));
    };
    const texts = (id) => [...document.getElementById(id).options].map((option) => option.text).join("|");
    document.documentElement.dataset.dates = texts("leftDate") + ";" + texts("leftOver");
    set("left", "0", "change"); set("leftDate", "1", "change"); set("leftOver", "2", "change");
    set("opacity", "40", "input"); set("rightOver", "-1", "change");
    setTimeout(() => {
      const seen = ["leftName", "rightName", "leftLegend"].map((id) => document.getElementById(id).textContent);
      document.documentElement.dataset.view = location.hash;
      document.documentElement.dataset.seen = seen.join(";");
    }, 1000);
    """
    text = unescape(browser.text(browser.page(lr.sr.explore(layers={"flood": found}).html, script)))

    assert 'data-dates="2023-06-01|2023-06-06;none|flood, 2.5 m"' in text
    assert "left=1&right=1&swipe=0.500&leftOver=2&rightOver=-1&opacity=0.40" in text
    seen = re.search(r'data-seen="([^"]*)"', text)[1].split(";")
    assert seen[:2] == ["LR, 10 m · 2023-06-06 · flood, 2.5 m", "LR, 10 m · 2023-06-06"]
    assert "flooded" in seen[2]
