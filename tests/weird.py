"""Strategies for objects that are nearly cubes: odd names, types, sizes, coordinates, CRSs, attributes, trees.

Nothing here is large, and nothing is known to crash or to hang other software.
"""

from __future__ import annotations

import datetime
from typing import Any

import cftime
import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from hypothesis import reject
from hypothesis import strategies as st
from odc.geo.crs import CRS

RGBN = ["B02", "B03", "B04", "B08"]
TEN = [*RGBN, "B05", "B06", "B07", "B8A", "B11", "B12"]

NAMES: tuple[Any, ...] = (
    "spatial_ref",
    "SCL",
    "mask",
    "B04",
    "red",
    "",
    " ",
    "x",
    "é",
    0,
    1,
    2.5,
    None,
    ("a", 1),
    True,
)
"""Names of variables, coordinates, attributes: text and what xarray takes beside it."""

ODD: tuple[Any, ...] = (
    *(None, True, False, np.True_, 0, 1, -1, 2, 3, 7, 1.5, -0.0, 1e-9, 1e300, 10**30, np.float32(0.5), np.int8(4)),
    *(3 + 4j, np.nan, np.inf, -np.inf, "", "no", "auto", "B04", "nir", "NDVI", "EPSG:32633", "2023-06-01", "x", "\0"),
    *(b"B04", (), [], {}, set(), [None], ["B04"], ["B04", "B04"], ("B08", "B02"), [0, 1], (1, 2), [1.5], {"a": 1}),
    *({"time": 0}, {0: 1}, slice(None), slice("2023", 5), np.datetime64("2023-06-01"), np.datetime64("NaT")),
    *(datetime.date(2023, 6, 1), np.zeros(3), np.array("B04"), np.array([]), xr.DataArray(1.0), xr.Dataset()),
    *(xr.DataArray([0, -1000], dims="time"), xr.DataTree(), Ellipsis, len, int),
)
"""Values that an argument or an attribute may have by mistake."""

odd = st.sampled_from(ODD)


PLACES = "none degrees south small whole uneven equal nan text dates float32 large half pole"
STAMPS = "none years far nat twice falling noleap 360 julian zone numbers floats text python mixed durations seconds"
DTYPES = "float64 float16 int16 uint8 int8 int64 uint64 bool complex64 object U3 datetime64[ns] timedelta64[ns] S2"
AXES = "latitude,longitude lat,lon northing,easting Y,X x,y i,j row,col"
ATTRIBUTES = (
    "nodata _FillValue missing_value scale_factor add_offset units long_name description raster:bands transform res "
    "spec s2:processing_baseline earthsearch:boa_offset_applied platform xr_sr:radiometry xr_sr:model xr_sr:classes "
    "xr_sr:index xr_sr:bounds xr_sr:threshold flag_values flag_meanings grid_mapping other_metadata stac_discovery"
)
COORDINATES = (
    "s2:processing_baseline boa_add_offset earthsearch:boa_offset_applied common_name title id platform threshold xc"
)


def some(*values: Any) -> st.SearchStrategy[Any]:
    """Choose one of some values; the first is what is usual, and what failing inputs shrink to."""
    return st.sampled_from(values)


@st.composite
def places(draw: st.DrawFn, size: int, along: str) -> Any:
    """Make a coordinate along y or x, usually in meters of UTM; None for no coordinate."""
    kind = draw(some(*["meters"] * 6, *PLACES.split()))
    steps = np.arange(size)
    start, sign = (5_800_000.0, -1) if along == "y" else (600_000.0, 1)
    with np.errstate(all="ignore"):
        made: Any = {
            "none": None,
            "degrees": 52.0 + sign * steps * 1e-4,
            "south": start + 10.0 * steps,
            "small": sign * steps * 1e-9,
            "whole": int(start) + sign * 10 * steps,
            "uneven": start + sign * 10.0 * steps**2,
            "equal": np.full(size, start),
            "nan": np.where(steps == 0, np.nan, start + sign * 10.0 * steps),
            "text": [f"p{step}" for step in steps],
            "dates": np.datetime64("2023-01-01", "ns") + steps.astype("timedelta64[D]"),
            "float32": (start + sign * 10.0 * steps).astype("float32"),
            "large": sign * steps * 1e300,
            "half": start + sign * (10.0 * steps + 5),
            "pole": 90.0 + sign * steps * 1e-4,
            "meters": start + sign * 10.0 * steps,
        }[kind]
    return made


@st.composite
def stamps(draw: st.DrawFn, size: int) -> Any:
    """Make a coordinate along time, in any calendar and type; None for no coordinate."""
    kind = draw(some(*["days"] * 4, *STAMPS.split()))
    steps = np.arange(size)
    days = np.datetime64("2023-06-01T10:00", "ns") + steps * np.timedelta64(5, "D")
    calendars = {"noleap": cftime.DatetimeNoLeap, "360": cftime.Datetime360Day, "julian": cftime.DatetimeJulian}
    if kind in calendars:
        return np.array(
            [calendars[kind](2023, 2, 28 + (kind == "360") * step % 3) for step in steps] or [], dtype=object
        )
    made: Any = {
        "days": days,
        "none": None,
        "years": (2020 + steps).astype(str).astype("datetime64[Y]").astype("datetime64[s]"),
        "far": np.datetime64("3000-01-01", "s") + steps,
        "nat": np.where(steps == 0, np.datetime64("NaT"), days),
        "twice": np.full(size, days[0] if size else 0, "datetime64[ns]"),
        "falling": days[::-1],
        "zone": pd.DatetimeIndex(days, tz="Europe/Berlin"),
        "numbers": steps[::-1],
        "floats": steps + 0.5,
        "text": [f"2023-06-{step + 1:02}" for step in steps],
        "python": np.array(
            [datetime.datetime(1, 1, 1) + datetime.timedelta(int(step)) for step in steps], dtype=object
        ),
        "mixed": np.array([days[0] if step else "2023" for step in steps], dtype=object),
        "durations": steps.astype("timedelta64[ns]"),
        "seconds": days.astype("datetime64[s]"),
    }[kind]
    return made


@st.composite
def pixels(draw: st.DrawFn, shape: tuple[int, ...]) -> Any:
    """Make values, usually reflectance or DN, as NumPy or dask arrays of any type."""
    kind = draw(some(*["float32"] * 5, *["uint16"] * 4, *DTYPES.split()))
    dtype = np.dtype(kind)
    rng = np.random.default_rng(draw(st.integers(0, 3)))
    values = 0.05 + 0.3 * rng.random(shape)
    if dtype.kind in "iu" and dtype.itemsize > 1:
        values = np.round(values * 10_000 + 1000)
    with np.errstate(all="ignore"):
        array = (
            (values * 50).astype("int64").astype(dtype)
            if dtype.kind in "mMUS" or dtype.itemsize == 1
            else values.astype(dtype)
        )
    if array.size:
        spoiled = draw(some(None, None, None, "nan", "all", "fill", "zero", "inf", "big", "huge"))
        if spoiled is not None and dtype.kind in "fiu":
            fill = {"nan": np.nan, "all": np.nan, "fill": -9999, "zero": 0, "inf": np.inf, "big": 30_000, "huge": 3e38}[
                spoiled
            ]
            where = ... if spoiled in ("all", "zero") else (array.ndim * (slice(0, 1),))
            with np.errstate(all="ignore"):
                if dtype.kind == "f" or np.isfinite(fill):
                    info = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
                    array[where] = fill if dtype.kind == "f" else min(max(fill, int(info.min)), int(info.max) // 2)
    if draw(st.booleans()):
        return array
    return da.from_array(array, chunks=tuple(draw(some(-1, 1, 2, 3)) if size else -1 for size in shape))


@st.composite
def georeferenced(draw: st.DrawFn, obj: Any) -> Any:
    """Add a georeference in one of the known ways, usually a valid one."""
    way = draw(
        some(*["crs_wkt"] * 4, "none", "attribute", "proj", "coordinate", "transform", "wrong", "mapping", "variable")
    )
    code = draw(
        some(*["EPSG:32633"] * 4, "EPSG:4326", "EPSG:3857", "EPSG:32733", "EPSG:5776", "EPSG:4978", "nonsense", "")
    )
    if way == "crs_wkt":
        wkt = CRS(code).to_wkt() if code.startswith("EPSG") else code
        return obj.assign_coords(spatial_ref=xr.DataArray(0, attrs={"crs_wkt": wkt}))
    if way == "transform":
        text = draw(
            some(
                "599995 10 0 5800005 0 -10",
                "0 0 0 0 0 0",
                "nan 10 0 0 0 -10",
                "1 2",
                "599995 9 4 5800005 4 -9",
                7,
                None,
            )
        )
        return obj.assign_coords(spatial_ref=xr.DataArray(0, attrs={"crs_wkt": code, "GeoTransform": text}))
    if way == "attribute":
        return obj.assign_attrs({"crs": draw(st.one_of(some(code, 32633), odd))})
    if way == "proj":
        return obj.assign_attrs({draw(some("proj:epsg", "proj:code", "epsg")): draw(st.one_of(some(32633, code), odd))})
    if way == "coordinate":
        value = draw(some(32633, np.float64(32633), code, np.nan, "x"))
        return obj.assign_coords({draw(some("epsg", "proj:epsg", "proj:code", "crs")): xr.DataArray(value)})
    if way == "mapping":
        held = obj.assign_coords(crs=xr.DataArray(0, attrs={"crs_wkt": code}))
        setattr(held, draw(some("attrs", "encoding")), {"grid_mapping": draw(st.one_of(some("crs", "nothing"), odd))})
        return held
    if way == "variable" and isinstance(obj, xr.Dataset):
        return obj.assign(spatial_ref=xr.DataArray(0, attrs={"crs_wkt": code}))
    if way == "wrong":
        return obj.assign_coords(spatial_ref=draw(st.one_of(st.just(0), odd.filter(_scalar))))
    return obj


@st.composite
def with_facts(draw: st.DrawFn, obj: Any) -> Any:
    """Add metadata: attributes, encodings and coordinates of usual names with odd values, and of odd names."""
    keys = some(*ATTRIBUTES.split(), *NAMES)
    usual = some(
        0, 1e-4, -1000, "05.09", True, "1", ["B04"], ("B02", "B03", "B04", "B08"), [-1.0, 1.0], "water", "flood"
    )
    attrs = draw(st.dictionaries(keys, st.one_of(usual, odd), max_size=2))
    obj = obj.assign_attrs(attrs)
    more = some(
        "scale_factor",
        "add_offset",
        "_FillValue",
        "dtype",
        "source",
        "grid_mapping",
        "rasterio_dtype",
        "preferred_chunks",
    )
    encoding = draw(st.one_of(st.just({}), st.just({}), st.dictionaries(more, st.one_of(usual, odd), max_size=1)))
    holder = obj if isinstance(obj, xr.DataArray) else next(iter(obj.data_vars.values()), obj)
    holder.encoding = {**holder.encoding, **encoding}
    along = [dim for dim in obj.dims if obj.sizes[dim] < 5] or [None]
    for name in draw(st.lists(some(*COORDINATES.split(), *NAMES), max_size=2, unique=True)):
        if name in obj.dims or (isinstance(obj, xr.Dataset) and name in obj.data_vars):
            continue
        dim, value = draw(some(None, *along)), draw(st.one_of(usual, odd).filter(_scalar))
        values = value if dim is None else [value] * obj.sizes[dim]
        coordinate = xr.Variable(() if dim is None else (dim,), values)
        if draw(some(False, False, False, True)) and coordinate.dtype.kind in "fiub":
            coordinate = coordinate.chunk()
        obj = obj.assign_coords({name: coordinate})
    return obj


def _scalar(value: Any) -> bool:
    return not isinstance(
        value, list | tuple | dict | set | slice | np.ndarray | xr.DataArray | xr.Dataset | xr.DataTree
    )


@st.composite
def labels(draw: st.DrawFn, size: int) -> Any:
    """Name bands along a dimension; None for no coordinate."""
    kind = draw(some(*["usual"] * 6, "alias", "numbers", "none", "mixed", "equal", "unknown", "objects", "framed"))
    names = [(TEN * 2)[place] if place < len(TEN) else f"extra{place}" for place in range(size)]
    made: Any = {
        "usual": names,
        "alias": [
            {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir"}.get(name, name.lower()) for name in names
        ],
        "numbers": list(range(size)),
        "none": None,
        "mixed": np.array([name if place % 2 else place for place, name in enumerate(names)], dtype=object),
        "equal": ["B04"] * size,
        "unknown": [f"layer {place}" for place in range(size)],
        "objects": np.array([None if place else "B04" for place in range(size)], dtype=object),
        "framed": [f"S2_{name}_10m" for name in names],
    }[kind]
    return made


SIZES = (8, 8, 8, 12, 16, 5, 3, 2, 1, 0)
"""Of y and x; the last ones are rare."""


@st.composite
def arrays(draw: st.DrawFn, *, lone: bool = False) -> xr.DataArray:
    """Make DataArrays with or without bands, time and other dimensions, in any order; `lone`: without bands."""
    pairs = [tuple(pair.split(",")) for pair in AXES.split()]
    y, x = draw(some(*[("y", "x")] * 8, *pairs, (0, 1), ("y", None)))
    band = None if lone else draw(some(*["band"] * 8, None, "bands", "wavelength", "layer", 2))
    time = draw(some(None, None, "time", "time", "t", "step"))
    extra = draw(some(*[None] * 8, "member"))
    sizes = {y: draw(some(*SIZES)), x: draw(some(*SIZES))}
    for dim, usual in ((band, (4, 4, 4, 1, 2, 3, 10, 0)), (time, (2, 3, 1, 0)), (extra, (2, 1))):
        if dim is not None:
            sizes = {dim: draw(some(*usual)), **sizes}
    dims = list(sizes) if draw(some(True, True, True, False)) else draw(st.permutations(list(sizes)))
    array = xr.DataArray(
        draw(pixels(tuple(sizes[dim] for dim in dims))), dims=dims, name=draw(some(None, "data", "B04", *NAMES))
    )
    made = {y: draw(places(sizes[y], "y")), x: draw(places(sizes[x], "x"))}
    if band is not None:
        made[band] = draw(labels(sizes[band]))
    if time is not None:
        made[time] = draw(stamps(sizes[time]))
    array = array.assign_coords(
        {dim: (dim, values) for dim, values in made.items() if values is not None and isinstance(dim, str)}
    )
    return draw(with_facts(draw(georeferenced(array))))


@st.composite
def datasets(draw: st.DrawFn) -> xr.Dataset:
    """Make Datasets of bands, with masks, maps and small variables beside them."""
    first = draw(arrays(lone=True))
    names = draw(some(RGBN, RGBN, RGBN, TEN, ["red", "nir"], ["B04"], ["layer"], [4, 8], [None], ["B04", "red"]))
    variables: dict[Any, Any] = {name: first.copy(deep=False).drop_vars(list(first.coords)) for name in names}
    if draw(some(False, False, True)):
        other = draw(pixels(first.shape))
        variables[draw(some("SCL", "mask", "B11", "B09", *NAMES))] = (first.dims, other)
    if draw(some(False, False, False, True)):
        variables[draw(some("small", *NAMES))] = draw(odd.filter(_scalar))
    coords = {name: coord.variable for name, coord in first.coords.items() if name not in variables}
    return xr.Dataset(variables, coords=coords, attrs=first.attrs)


@st.composite
def trees(draw: st.DrawFn) -> xr.DataTree:
    """Make DataTrees: nodes of several pixel sizes, nested, empty, of masks, with odd names."""
    if draw(some(False, False, False, True)):
        return xr.DataTree()
    path = draw(some("/", "/measurements/reflectance/", "/a/", "/quality/"))
    nodes: dict[str, xr.Dataset] = {}
    if draw(some(True, True, False)):
        fine = draw(some("r10m", "r10m", "x", "mask", "10m"))
        good = draw(st.booleans())
        nodes[path + fine] = plain(RGBN, 12, 10.0) if good else draw(datasets())
        if draw(some(True, True, False)):
            nodes[path + "r20m"] = plain(TEN[4:], 6, 20.0)
        if draw(some(False, False, True)):
            nodes[path + "r60m"] = plain(["B01", "B09"], 2, 60.0)
    else:
        for name in draw(st.lists(some("r10m", "r20m", "r60m", "x", "B04", "mask"), max_size=2, unique=True)):
            nodes[path + name] = draw(datasets())
    if draw(some(False, False, True)):
        nodes["/"] = xr.Dataset(attrs=draw(st.dictionaries(some("epsg", "crs", "proj:epsg", *NAMES), odd, max_size=1)))
    return xr.DataTree.from_dict(nodes)


def plain(names: list[str], size: int, step: float, *, dn: bool = False) -> xr.Dataset:
    """Make a Dataset without any fault: reflectance, or DN, on a grid of UTM."""
    values = 0.05 + 0.3 * np.random.default_rng(0).random((size, size))
    values = (values * 10_000).astype("uint16") if dn else values.astype("float32")
    places_of = step * np.arange(size) + step / 2
    coords = {"y": 5_800_020 - places_of, "x": 600_000 + places_of}
    facts = {"s2:processing_baseline": "05.09"} if dn else {}
    made = xr.Dataset(dict.fromkeys(names, (("y", "x"), values)), coords=coords, attrs=facts)
    return made.assign_coords(spatial_ref=xr.DataArray(0, attrs={"crs_wkt": CRS("EPSG:32633").to_wkt()}))


@st.composite
def scenes(draw: st.DrawFn, *, size: int = 12, step: float = 10.0) -> Any:
    """Make a cube without fault, as DataArray or Dataset, with or without time: calls get beyond their doors."""
    made: Any = plain(draw(some(RGBN, TEN)), size, step, dn=draw(some(False, False, True)))
    if draw(some(False, False, True)):
        made["SCL"] = (("y", "x"), np.full((size, size), 4, "uint8"))
    if draw(some(False, True)):
        made = made.expand_dims(time=np.datetime64("2023-06-01", "ns") + np.arange(3) * np.timedelta64(30, "D"))
    if draw(st.booleans()):
        made = made.chunk({"y": draw(some(-1, 5)), "x": draw(some(-1, 7))})
    if draw(st.booleans()):
        return made
    return made[[name for name in made if name != "SCL"]].to_dataarray("band")


@st.composite
def spoiled(draw: st.DrawFn) -> Any:
    """Make a cube with one fault: what is wrong with it alone is what a call must get to."""
    made = draw(scenes())
    fault = draw(some("facts", "place", "time", "crs", "pixels", "names", "cut"))
    if fault == "facts":
        return draw(with_facts(made))
    if fault == "place":
        dim = draw(some("y", "x"))
        values = draw(places(made.sizes[dim], dim))
        return made.drop_vars(dim) if values is None else made.assign_coords({dim: (dim, values)})
    if fault == "time":
        made = made if "time" in made.dims else made.expand_dims(time=2)
        values = draw(stamps(made.sizes["time"]))
        return made.drop_vars("time", errors="ignore") if values is None else made.assign_coords(time=("time", values))
    if fault == "crs":
        return draw(georeferenced(made.drop_vars("spatial_ref")))
    if fault == "pixels":
        if isinstance(made, xr.DataArray):
            return made.copy(data=draw(pixels(made.shape)))
        return made.assign({"B04": (made["B04"].dims, draw(pixels(made["B04"].shape)))})
    if fault == "names":
        old = draw(some(*(name for name in ("band", "time", "y", "B04", "spatial_ref") if name in {*made.dims, *made})))
        return made.rename({old: draw(some(*NAMES))})
    return made.isel({draw(some(*made.dims)): draw(some(slice(0, 1), slice(0, 0), slice(None, None, -1), [0, 2], 0))})


@st.composite
def cubes(draw: st.DrawFn) -> Any:
    """Make whatever may be handed in as a cube, whole scenes included; what xarray itself refuses is left out."""
    try:
        return draw(st.one_of(scenes(), scenes(), spoiled(), spoiled(), spoiled(), arrays(), datasets(), trees()))
    except (TypeError, ValueError, KeyError, OverflowError, AttributeError):
        reject()
