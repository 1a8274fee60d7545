"""Pairs and triples of cubes to numbers and maps: how good is a super-resolved image, and how much of it is invented.

In reading order: `evaluation` is the door to all at once; `fidelity`, `spectral` and `sharpness` compare SR with HR,
`agreement` with LR, `improvement` with both, `objects` and `perceptual` in the eyes of a user and of a network;
`published` and `profile` give the published tool's own numbers. Below lie `comparing`, `triples`, `harmony`, `shifts`,
`distances`, `windows`, `edges`, `quantile`, `several`, `blocks` and `inputs`, and `pieces` below `objects`.
"""

from __future__ import annotations

from .agreement import consistency, synthesis
from .evaluation import evaluate, table
from .fidelity import mae, psnr, rmse, ssim
from .improvement import Scoring, correctness
from .objects import detection_rate, object_scores
from .perceptual import clip_distance, lpips
from .profile import opensr_test
from .sharpness import edge_response, mtf
from .spectral import ergas, q_index, sam

__all__ = [
    "Scoring",
    "clip_distance",
    "consistency",
    "correctness",
    "detection_rate",
    "edge_response",
    "ergas",
    "evaluate",
    "lpips",
    "mae",
    "mtf",
    "object_scores",
    "opensr_test",
    "psnr",
    "q_index",
    "rmse",
    "sam",
    "ssim",
    "synthesis",
    "table",
]
