"""The record of a guided fusion, and how far it reads: what a graph needs to know of it, without torch."""

from __future__ import annotations

from dataclasses import dataclass

from ..simulate.psf import gaussian_psf

__all__ = ["CONTEXT", "RADIUS", "Guidance", "guidance_halo"]

RADIUS = 3
"""Half the side, in coarse pixels, of the window of the regression; its weights are a Gaussian of half of that."""

CONTEXT = RADIUS + 1
"""Coarse pixels around its own that a fine pixel depends on: the window, and one more to interpolate its weights."""


@dataclass(frozen=True)
class Guidance:
    """How coarser bands come to the grid of finer ones without weights.

    guided: with the detail of the finer bands; else by bicubic interpolation alone. ratio: width of a coarse pixel in
    fine ones. mtf: of each coarse band, at its Nyquist frequency. chosen: for each, the one finer band that guides it;
    None regresses it on all. scale: output pixels per fine pixel, by bicubic interpolation.
    """

    guided: bool
    ratio: int
    mtf: tuple[float, ...]
    chosen: tuple[int | None, ...]
    scale: int = 1
    device: str = "auto"


def guidance_halo(guidance: Guidance) -> int:
    """Return the fine pixels of context that guided fusion depends on, an even number."""
    halo = 2 if guidance.scale > 1 else 0
    if guidance.guided:
        blur = max(gaussian_psf(mtf, guidance.ratio).reach[0] for mtf in guidance.mtf)
        halo += (CONTEXT + 1) * guidance.ratio + blur + 1
    else:
        halo += 3 * guidance.ratio
    return halo + halo % 2
