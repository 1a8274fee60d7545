"""Compute quality metrics of super-resolved cubes: numbers and maps from pairs and triples of cubes.

In reading order: `evaluation` computes all metrics at once; `fidelity` and `sharpness` compare SR with HR, `agreement`
with LR, `improvement` with both, `objects` and `perceptual` as a user and a network see them; `published` computes the
numbers of opensr-test. Below lie `records`, `triples`, `matching`, `distances`, `reduce` and `inputs`, and
`components` below `objects`.
"""

from __future__ import annotations

from .agreement import consistency, synthesis
from .evaluation import evaluate, table
from .fidelity import ergas, mae, psnr, q_index, rmse, sam, ssim
from .improvement import Scoring, correctness
from .objects import detection_rate, object_scores
from .perceptual import clip_distance, lpips
from .published import opensr_test
from .records import METRICS, Formula, Metric
from .sharpness import edge_response, mtf

__all__ = [
    "METRICS",
    "Formula",
    "Metric",
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
