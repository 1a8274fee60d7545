"""Plain GDAL, rasterio, rioxarray and CF: rasters and netCDF files of any origin."""

from .record import Convention

GDAL = Convention(
    name="GDAL",
    url="https://corteva.github.io/rioxarray",
    band_dims=("band", "wavelength", "wavelengths", "channel", "channels", "spectral", "variable"),
    band_attrs=(
        *("long_name", "description", "descriptions", "common_name"),
        *("band_name", "band_names", "DESCRIPTION"),
    ),
    crs_attrs=("crs", "crs_wkt", "spatial_ref", "epsg", "epsg_code"),
    crs_coords=("epsg", "epsg_code", "crs", "spatial_ref"),
    product=("source",),  # the encoding in which rioxarray and xarray keep the path of the file
    nodata_attrs=("_FillValue", "nodata", "missing_value", "nodatavals"),
    flag_words=("mask", "cloud", "flag", "quality", "class", "label", "valid", "shadow"),
)
