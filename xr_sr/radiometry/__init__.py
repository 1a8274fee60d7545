"""What the numbers of a cube mean: digital numbers or reflectance, offset, scale and nodata; conversion and masks.

Reading order: `metadata`, `offsets` and `packing` read what the cube declares, `dates` checks it against the dates,
`resolve` decides, `convert` applies the decision to a block, `judge` tests whether the result can be reflectance.
"""
