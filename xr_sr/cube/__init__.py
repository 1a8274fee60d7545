"""Recognize cubes of any producer (bands, grid, CRS, dates, flags), and build cubes like them.

Reading order: `detect` finds the bands and the grid of an object, with `names`, `axes`, `crs`, `transforms` and `grid`;
`trees` reads the nodes of a DataTree; `select` picks the bands that a model reads, `time` a date; `align` lays masks
and coarser bands on the grid of a cube; `rebuild` puts arrays back into the form of the input.
"""
