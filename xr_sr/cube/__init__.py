"""What a cube is: its grid, CRS, bands, dates and flags, found in xarray objects of any producer; and cubes made anew.

Reading order: `detect` finds the bands and the grid of an object, by `names`, `axes`, `crs`, `transforms` and
`locating`; `trees` brings together the nodes of a DataTree, `multigrid` bands of several pixel sizes; `select` picks
the bands that a model wants, `time` a date; `rebuild` turns arrays into a cube of the input's type again.
"""
