"""openEO and Sentinel Hub: netCDF files with a variable `crs`, a dimension `bands`, and masks CLM, CLP and dataMask."""

from .record import Convention

OPENEO = Convention(
    name="openEO",
    url="https://openeo.org/documentation/1.0/datacubes.html",
    band_dims=("bands",),
    crs_coords=("crs",),
    flag_names=("clm", "clp", "lulc"),
)
