"""EOPF, ESA's Zarr products of Sentinel: a tree whose groups r10m, r20m and r60m stand beside masks and angles."""

from .record import Convention

EOPF = Convention(
    name="EOPF",
    url="https://eopf.copernicus.eu",
    bands={"rededge071": "B05", "rededge075": "B06", "rededge078": "B07"},  # as xarray-eopf renames them
    item_crs=("horizontal_crs_code",),
    nested=(("other_metadata",), ("stac_discovery", "properties")),
    flag_names=("cld", "snw"),
    # Under these groups masks and angles are stored under names of bands too.
    skipped_nodes=("mask", "quality", "condition", "probability", "geometry", "meteorology"),
    measured_nodes=("measurement", "reflectance"),
)
