"""Google Earth Engine, through xee or as exported files; in its HARMONIZED collections the offset is removed."""

from .record import Convention

EARTH_ENGINE = Convention(
    name="Earth Engine",
    url="https://developers.google.com/earth-engine/datasets/catalog/COPERNICUS_S2_SR_HARMONIZED",
    crs_attrs=("crs",),
    baseline=("PROCESSING_BASELINE",),
    product=("PRODUCT_ID",),
    collection=("id", "system:id", "asset_id", "image_id", "collection", "collection_id", "image_collection", "source"),
    flag_names=(r"qa\d*",),
)
