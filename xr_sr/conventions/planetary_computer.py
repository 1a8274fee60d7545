"""Microsoft's Planetary Computer: STAC of Sentinel-2 L2A on Azure; assets carry the codes of the bands."""

from .record import Convention

PLANETARY_COMPUTER = Convention(
    name="Planetary Computer",
    url="https://planetarycomputer.microsoft.com/dataset/sentinel-2-l2a",
    item_crs=("proj:code", "proj:epsg"),
    baseline=("s2:processing_baseline", "s2:product_baseline"),
    product=("s2:product_uri",),
)
