"""Cutting an array into blocks with halos or into windows on a lattice, and joining the results. Arrays only.

`source` reads what a tile needs from any chunks, `halo` maps a function over blocks, `lattice` over windows at absolute
positions, `two_resolutions` over two grids at once, `regions` over parts of an array; `repeat` repeats pixels. Their
graphs hold no tasks: `maker` makes those that `layer` is asked for, and `blocks` wraps them as arrays.
"""
