"""SAFE, the products as ESA delivers them: names of files, MTD_MSIL2A.xml, and what readers of both hand on."""

from .record import Convention

SAFE = Convention(
    name="SAFE",
    url="https://sentiwiki.copernicus.eu/web/s2-products",
    band_dims=("band",),
    dn_offset=("BOA_ADD_OFFSET",),
    baseline=("PROCESSING_BASELINE",),
    product=("PRODUCT_URI",),
    classification=("SCL",),
    flag_names=("scl", "msk"),
)
