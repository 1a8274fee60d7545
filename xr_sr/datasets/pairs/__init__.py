"""Pairs of coarse and fine images of one ground: cut, tested, and written for training and evaluation."""

from __future__ import annotations

from .making import make_pairs

__all__ = ["make_pairs"]
