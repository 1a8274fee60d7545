"""Copernicus Data Space Ecosystem (CDSE): STAC of ESA's own archive; assets such as "B02_10m"."""

from .record import Convention

CDSE = Convention(
    name="CDSE",
    url="https://documentation.dataspace.copernicus.eu/APIs/STAC.html",
    item_crs=("proj:code",),
    baseline=("processing:version",),
    product=("title",),
)
