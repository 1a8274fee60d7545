"""What the numbers of a cube mean: digital numbers or reflectance, offset, scale and nodata; conversion and masks.

Reading order: `metadata` and `offsets` read what the cube declares and compare it with the dates, `resolve` decides,
`convert` applies the decision to a block, `judge` tests whether the result can be reflectance.
"""
