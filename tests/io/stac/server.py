"""A STAC API and its pixels on this machine: search with paging, COGs by HTTP ranges, and failures on demand.

Two tiles of 1.28 km side by side in EPSG:32633, of known reflectance; standard library and loopback only.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

CRS = "EPSG:32633"
SIDE_M = 1280
WEST, NORTH = 600_000, 5_400_000
ASSETS = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir", "B11": "swir16", "SCL": "scl"}
SIZES = {"B11": 20, "SCL": 20}
PAGE = 2


def truth(band: str, tile: int, size: int, *, flooded: bool = False) -> np.ndarray:
    """Reflectance x 10000 of a tile, whole numbers: a slope, a pattern, and water in the north-west quarter.

    flooded: the south-west quarter is water too.
    """
    count = SIDE_M // size
    row, col = np.mgrid[:count, :count]
    values = 400 + 50 * list(ASSETS).index(band) + (7 * row + 13 * (col + tile * count)) % 1500
    rows = slice(None if flooded else count // 2)
    values[rows, : count // 2] = (260 if band == "B03" else 60) + (row + col)[rows, : count // 2] % 40
    return values


@dataclass(frozen=True)
class Scene:
    """One item: tile 0 or 1, when, by which baseline, what was added to its pixels, and what it says about that."""

    tile: int
    when: str
    baseline: str | None = "02.14"
    added: int = 0
    applied: bool | None = None
    cloud: float = 5.0
    cloudy: bool = False
    edge: bool = False
    flooded: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"S2A_T{self.tile}_{self.when[:10]}_{self.baseline}"


def geobox(tile: int, size: int) -> GeoBox:
    """The grid of a tile."""
    count = SIDE_M // size
    return GeoBox((count, count), Affine(size, 0, WEST + tile * SIDE_M, 0, -size, NORTH), CRS)


def write_pixels(scene: Scene, folder: Path) -> None:
    """Write the COGs of an item. With `edge`, the southern eighth is nodata; with `cloudy`, its eastern half cloud."""
    for band, key in ASSETS.items():
        size = SIZES.get(band, 10)
        count = SIDE_M // size
        if band == "SCL":
            values = np.full((count, count), 4, "uint8")
            if scene.cloudy:
                values[:, count // 2 :] = 9
        else:
            values = (truth(band, scene.tile, size, flooded=scene.flooded) + scene.added).astype("uint16")
        if scene.edge:
            values[-count // 8 :] = 0
        path = folder / f"{scene.name}_{key}.tif"
        wrap_xr(values, geobox(scene.tile, size), nodata=0).odc.write_cog(path, blocksize=64, overview_levels=[])


def item_of(scene: Scene, base: str) -> dict[str, Any]:
    """Write the item of a scene as JSON, with addresses below `base`."""
    west, south, east, north = geobox(scene.tile, 10).footprint("EPSG:4326").boundingbox.bbox
    properties: dict[str, Any] = {"datetime": scene.when, "eo:cloud_cover": scene.cloud, "proj:epsg": 32633}
    properties["grid:code"] = f"MGRS-33U{scene.tile}"
    if scene.baseline is not None:
        properties["s2:processing_baseline"] = scene.baseline
    began = re.sub(r"[-:Z]", "", scene.when)
    properties["s2:datastrip_id"] = f"S2A_OPER_MSI_L2A_DS_2APS_{began}_S{began}_N{scene.baseline}"
    if scene.applied is not None:
        properties["earthsearch:boa_offset_applied"] = scene.applied
    assets = {}
    for band, key in ASSETS.items():
        grid = geobox(scene.tile, SIZES.get(band, 10))
        assets[key] = {
            "href": f"{base}/cogs/{scene.name}_{key}.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data"],
            "proj:shape": list(grid.shape),
            "proj:transform": list(grid.affine)[:6],
        }
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": ["https://stac-extensions.github.io/projection/v1.1.0/schema.json"],
        "id": scene.name,
        "collection": "sentinel-2-l2a",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, east, north],
        "properties": properties | scene.extra,
        "assets": assets,
        "links": [{"rel": "self", "href": f"{base}/items/{scene.name}", "type": "application/geo+json"}],
    }


@dataclass
class Api:
    """The running server: where it is, its items, what it was asked. fail_every: answer each n-th request with 503."""

    url: str
    items: list[dict[str, Any]]
    folder: Path
    fail_every: int = 0
    log: list[tuple[str, str, int]] = field(default_factory=list)
    queries: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def serve(scenes: list[Scene], folder: Path) -> Iterator[Api]:
    """Run the server for some scenes, whose pixels are written to the folder."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        api: Api

        def log_message(self, *args: object) -> None:
            """Stay silent."""

        def do_HEAD(self) -> None:
            self.answer(b"")

        def do_GET(self) -> None:
            query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
            self.answer(b"", query)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.answer(b"", json.loads(body or b"{}"))

        def answer(self, _: bytes, query: dict[str, Any] | None = None) -> None:
            api, path = self.api, urlsplit(self.path).path
            with api.lock:
                number = len(api.log) + 1
                status = 503 if api.fail_every and number % api.fail_every == 0 else 200
                api.log.append((self.command, path, status))
            if status == 503:
                self.send(503, b"busy", "text/plain")
            elif path.startswith("/cogs/"):
                self.send_file(api.folder / path.removeprefix("/cogs/"))
            elif path.startswith("/items/"):
                item = next(each for each in api.items if each["id"] == path.removeprefix("/items/"))
                self.send(200, json.dumps(item).encode(), "application/geo+json")
            elif path == "/search":
                api.queries.append(query or {})
                self.send(200, json.dumps(self.page(query or {})).encode(), "application/geo+json")
            elif path == "/":
                self.send(200, json.dumps(self.root()).encode(), "application/json")
            else:
                self.send(404, b"{}", "application/json")

        def root(self) -> dict[str, Any]:
            url = self.api.url
            core, found = "https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"
            links = [
                {"rel": "self", "href": f"{url}/"},
                {"rel": "root", "href": f"{url}/"},
                {"rel": "search", "href": f"{url}/search", "type": "application/geo+json", "method": "GET"},
                {"rel": "search", "href": f"{url}/search", "type": "application/geo+json", "method": "POST"},
            ]
            return {"type": "Catalog", "id": "local", "description": "-", "stac_version": "1.0.0", "links": links,
                    "conformsTo": [core, found, f"{found}#query", f"{found}#filter"]}  # fmt: skip

        def page(self, query: dict[str, Any]) -> dict[str, Any]:
            bbox = query.get("bbox")
            box = [float(side) for side in bbox.split(",")] if isinstance(bbox, str) else bbox
            first, last = [*(query.get("datetime") or "/").split("/"), ""][:2]

            def wanted(item: dict[str, Any]) -> bool:
                west, south, east, north = item["bbox"]
                spans = [(west, east)] if west < east else [(west, 180.0), (-180.0, east)]
                along = not box or any(first < box[2] and last > box[0] for first, last in spans)
                inside = not box or (along and south < box[3] and north > box[1])
                when = item["properties"]["datetime"]
                limits = (query.get("query") or {}).get("eo:cloud_cover", {})
                clear = item["properties"]["eo:cloud_cover"] < limits.get("lt", 101)
                return (
                    clear and inside and (first in ("", "..") or when >= first) and (last in ("", "..") or when <= last)
                )

            hits = [item for item in self.api.items if wanted(item)]
            start = int(query.get("token", 0))
            links = []
            if start + PAGE < len(hits):
                body = {**query, "token": start + PAGE}
                links = [{"rel": "next", "href": f"{self.api.url}/search", "method": "POST", "body": body}]
            return {"type": "FeatureCollection", "features": hits[start : start + PAGE], "links": links}

        def send_file(self, path: Path) -> None:
            if not path.is_file():
                self.send(404, b"", "text/plain")
                return
            data, total = path.read_bytes(), path.stat().st_size
            span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if span is None:
                self.send(200, data, "image/tiff", {"Accept-Ranges": "bytes"})
                return
            start, end = int(span[1]), min(int(span[2] or total - 1), total - 1)
            headers = {"Accept-Ranges": "bytes", "Content-Range": f"bytes {start}-{end}/{total}"}
            self.send(206, data[start : end + 1], "image/tiff", headers)

        def send(self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    for scene in scenes:
        write_pixels(scene, folder)
    Handler.api = Api(url, [item_of(scene, url) for scene in scenes], folder)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Handler.api
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
