"""Architectures in torch alone: no xarray, dask, files or names of bands. One architecture per file."""
