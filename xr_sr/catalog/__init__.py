"""Named models and the files of their weights: `catalog` says what there is, `fetch` brings it, `folders` knows where.

Nothing here reads a tensor or runs anything that was downloaded.
"""
