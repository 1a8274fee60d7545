"""What this package writes into cubes: `load` and `set_radiometry` into inputs, and all results about themselves."""

from .record import Convention

OWN_ATTR = "xr_sr:radiometry"
"""The attribute in which results say how their reflectance was computed; the same for any number of dates."""

ADD_OFFSET_COORD = "boa_add_offset"
"""The coordinate along dates in which `load` writes what is to be added to the DN of each."""

OFFSET_COORD = "radiometry_offset"
"""The coordinate with the offset in DN, along dates if there are any: added in results, to be added in inputs whose
attribute OFFSET_ATTR names it."""

QUANTIFICATION_COORD = "radiometry_quantification"
"""The coordinate in which `set_radiometry` writes the DN per unit of reflectance of each date, as in the attribute: of
attributes, joining keeps those of the first date."""

NODATA_COORD = "radiometry_nodata"
"""The same for the nodata value, NaN where there is none; further values are in coordinates with "_2", "_3" added."""

OFFSET_ATTR = "xr_sr:dn_offset"
QUANTIFICATION_ATTR = "xr_sr:dn_quantification"
NODATA_ATTR = "xr_sr:dn_nodata"

ACQUISITION = "ACQUISITIONDATETIME"
"""GDAL's name for the moment of an image, in UTC. GTiff does not keep its domain IMAGERY, so it is a plain tag."""

OWN = Convention(name="xr_sr", crs_coords=("spatial_ref",), dn_offset=(ADD_OFFSET_COORD,), nodata_attrs=("_FillValue",))
