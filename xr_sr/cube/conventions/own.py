"""Cubes that this package made: what `load` and `set_radiometry` write into a cube before it is processed."""

from .record import Convention

__all__ = ["OWN"]

OWN = Convention(
    name="xr_sr",
    crs_coords=("spatial_ref",),
    dn_offset=("boa_add_offset",),
    nodata_attrs=("_FillValue",),
)
