"""Models as data, and the files of their weights.

`registry` lists the models, with the records of `official` and `bundled`; `fetch` finds or downloads their weights in
the places of `locations`. Nothing here reads a tensor or runs anything that was downloaded.
"""
