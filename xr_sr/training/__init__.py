"""How networks are trained here, and how a user trains one on cubes of his own.

    scenes = training.scenes_of(cube)
    network = training.distil(LeanSPAN(), training.Teacher("sen2sr-lite"), scenes, "runs/mine")
    training.save_weights(network, "mine.safetensors", {"trained on": "my fields, 2024"})

`distil` learns another model's function, `fit` learns from high resolution through the modelled sensor. Both save as
they go and resume. The default optimiser needs the extra `train`. `bundled` is how the package's own weights were made.
"""

from ..networks.lean import LeanSPAN
from ..networks.lean_fusion import LeanFusion
from .augment import Augmentation
from .distil import distil
from .export import save_weights
from .fit import SensorRange, fit
from .loop import Settings
from .report import closeness, plot_log
from .scenes import Scene, scenes_of
from .teacher import Teacher
from .two_grids import repeated

__all__ = [
    "Augmentation",
    "LeanFusion",
    "LeanSPAN",
    "Scene",
    "SensorRange",
    "Settings",
    "Teacher",
    "closeness",
    "distil",
    "fit",
    "plot_log",
    "repeated",
    "save_weights",
    "scenes_of",
]
