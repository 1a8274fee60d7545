"""stackstac and cubo: STAC Items as one DataArray with properties of Items and bands as coordinates."""

from .record import Convention

STACKSTAC = Convention(
    name="stackstac",
    url="https://stackstac.readthedocs.io",
    band_dims=("band",),
    band_coords=("common_name", "name", "band_name", "long_name", "description", "title"),
    crs_attrs=("crs", "epsg"),
    crs_coords=("epsg",),
    item_crs=("proj:epsg",),
)
