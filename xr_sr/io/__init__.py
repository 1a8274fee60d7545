"""Reading and writing: Zarr stores that can be resumed (`zarr`), GeoTIFF (`cog`), STAC catalogs (`stac`)."""
