"""Training pairs of coarse and fine images of the same area: cut, tested, and written with STAC Items."""

from __future__ import annotations

from .making import make_pairs

__all__ = ["make_pairs"]
