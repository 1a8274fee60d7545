"""Train networks on your own cubes, as those of the package were trained.

    scenes = training.scenes_of(cube)
    network = training.distil(LeanSPAN(), training.Teacher("sen2sr-lite"), scenes, "runs/mine")
    training.save_weights(network, "mine.safetensors", {"trained on": "my fields, 2024"})

`distil` learns another model's function, `fit` learns from high resolution through the modeled sensor, `fit_residual`
what kriging leaves of it, and `fit_flow` to draw what that leaves; `fit_autoencoder` and `fit_denoiser` train the two
networks of latent diffusion. All save checkpoints and resume. The default optimizer needs the extra `train`.
"""

from ..kernels.kriging_network import residual_of
from ..networks.flow_residual import FlowResidual
from ..networks.kl_autoencoder import KLAutoencoder
from ..networks.latent_unet import LatentUNet
from ..networks.lean import LeanSPAN
from ..networks.lean_fusion import LeanFusion
from ..networks.patch_discriminator import PatchDiscriminator
from .autoencoder import AutoencoderLosses, fit_autoencoder
from .denoiser import Masking, draw_images, fit_denoiser
from .features import perceptual_features
from .flow import fit_flow
from .journal import plot_log, save_weights
from .latents import latent_diffusion, linear_schedule, pixel_diffusion
from .learning import SensorRange, distil, fit
from .loop import Settings
from .patches import Augmentation
from .residual import SensorDraw, fit_residual
from .scenes import Scene, repeated, scenes_of
from .teacher import Teacher, closeness

__all__ = [
    "Augmentation",
    "AutoencoderLosses",
    "FlowResidual",
    "KLAutoencoder",
    "LatentUNet",
    "LeanFusion",
    "LeanSPAN",
    "Masking",
    "PatchDiscriminator",
    "Scene",
    "SensorDraw",
    "SensorRange",
    "Settings",
    "Teacher",
    "closeness",
    "distil",
    "draw_images",
    "fit",
    "fit_autoencoder",
    "fit_denoiser",
    "fit_flow",
    "fit_residual",
    "latent_diffusion",
    "linear_schedule",
    "perceptual_features",
    "pixel_diffusion",
    "plot_log",
    "repeated",
    "residual_of",
    "save_weights",
    "scenes_of",
]
