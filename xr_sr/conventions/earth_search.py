"""Earth Search (Element 84): STAC of Sentinel-2 on AWS, version 1 and the properties of version 0."""

from .record import Convention

EARTH_SEARCH = Convention(
    name="Earth Search",
    url="https://element84.com/earth-search",
    bands={
        "coastal": "B01",
        "blue": "B02",
        "green": "B03",
        "red": "B04",
        "rededge1": "B05",
        "rededge2": "B06",
        "rededge3": "B07",
        "nir": "B08",
        "nir08": "B8A",  # 865 nm, so B8A and not B08
        "nir09": "B09",
        "cirrus": "B10",
        "swir16": "B11",
        "swir22": "B12",
    },
    item_crs=("proj:code", "proj:epsg", "proj:wkt2", "proj:projjson"),
    offset_applied=("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied", "boa_offset_applied"),
    # Without its prefix too, as some loaders and users rename it.
    baseline=("s2:processing_baseline", "processing_baseline", "sentinel:processing_baseline"),
    product=("s2:product_uri", "product_uri", "sentinel:product_id", "product_id", "id", "earthsearch:s3_path"),
)
