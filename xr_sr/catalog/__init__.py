"""Models as data, and the files of their weights.

`registry` lists the models, with the records of `records`; `fallback` names the bands that are computed without a
network; `fetch` finds or downloads weights. Nothing here reads a tensor (but `states`) or runs downloaded code.
"""
