"""Make the environment of the peers: sen2sr, opensr-test and opensr-model from the package index.

    python -m benchmarks.peer_env [FOLDER]

FOLDER is `$XR_SR_BENCH_ENV`, else `.bench-env`. Nothing is done where it holds a working peer of the right version
already. sen2sr is installed without its dependencies: torchvision from the index would replace torch by a CUDA build
of several gigabytes, and of what it names only einops, safetensors, timm and tqdm are imported. opensr-test imports
torchvision, which comes without its dependencies too, and of which nothing is called. opensr-model is in
FOLDER/diffusion; it asks for a later Python than 3.11, and does not need it. torch is of the version that runs this
script.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

from benchmarks.against_peer import PEER_VERSION, peer_folder, peer_python

METRICS = ("opensr-test==1.3.3", "satalign==0.1.17", "lpips", "torchvision")
"""Installed without what they name."""

IMPORTED = (
    "kornia", "matplotlib", "mpltern", "opencv-python-headless", "pandas", "pydantic", "rasterio", "requests",
    "scikit-image", "xarray",
)  # fmt: skip
"""What of it opensr-test imports."""

DIFFUSION = "opensr-model==1.2.2"
"""Installed without what it names, for any Python, in a folder of its own: torchvision would break what it imports."""

DIFFUSION_IMPORTS = (
    "diffusers==0.42.1", "einops", "matplotlib", "numpy", "omegaconf", "pytorch-lightning", "rasterio", "requests",
    "scikit-image", "tqdm",
)  # fmt: skip

CHECK = (
    "import importlib.metadata as m, sen2sr, torch; m.version('opensr-test'); "
    "print(m.version('sen2sr'), torch.__version__)"
)

DIFFUSION_CHECK = (
    "import importlib.metadata as m, opensr_model, torch; print(m.version('opensr-model'), torch.__version__)"
)


def main() -> int:
    """Make the environment and print its versions; exit code 1 if the peer cannot be imported."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=peer_folder(), help="default: %(default)s")
    folder = parser.parse_args().folder
    torch = f"torch=={version('torch').split('+')[0]}"
    python = peer_python(folder)
    if not _works(python):
        pip = _made(folder)
        subprocess.run([*pip, torch, "einops", "numpy", "safetensors", "tqdm"], check=True)
        subprocess.run([*pip, "--no-deps", f"sen2sr=={PEER_VERSION}", "timm", *METRICS], check=True)
        subprocess.run([*pip, *IMPORTED], check=True)
    diffusion = peer_python(diffusion_folder(folder))
    if not Path(diffusion).is_file():
        pip = _made(diffusion_folder(folder))
        subprocess.run([*pip, torch, *DIFFUSION_IMPORTS], check=True)
        subprocess.run([*pip, "--no-deps", "--ignore-requires-python", DIFFUSION], check=True)
    for interpreter, check, named in ((python, CHECK, "sen2sr"), (diffusion, DIFFUSION_CHECK, "opensr-model")):
        done = subprocess.run([interpreter, "-c", check], capture_output=True, text=True)
        if done.returncode:
            print(done.stderr[-2000:], file=sys.stderr)
            return 1
        print(f"{interpreter}: {named} and torch {done.stdout.strip()}")
    return 0


def diffusion_folder(folder: Path) -> Path:
    """Return the folder of the environment of opensr-model."""
    return folder / "diffusion"


def _made(folder: Path) -> list[str]:
    """Make an environment, and return the beginning of a command that installs there."""
    venv.create(folder, with_pip=True)
    return [peer_python(folder), "-m", "pip", "install", "--quiet"]


def _works(python: str) -> bool:
    if not Path(python).is_file():
        return False
    done = subprocess.run([python, "-c", CHECK], capture_output=True, text=True)
    return done.returncode == 0 and done.stdout.startswith(f"{PEER_VERSION} ")


if __name__ == "__main__":
    sys.exit(main())
