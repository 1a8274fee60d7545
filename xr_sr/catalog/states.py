"""Read files of weights as tensors by name, without executing anything in them.

torch's own messages recommend loading a refused file unsafely, so they are not passed on.
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_GLOBAL = re.compile(r"Unsupported [^\n]*?GLOBAL ([\w.]+)")


def read_tensors(data: bytes, suffix: str, device: str = "cpu") -> Any:
    """Read a file of weights by torch's weights-only unpickler (.pt, .pth, .ckpt), else as safetensors.

    data: the bytes of the file. Raises ValueError, with a sentence for the user, for files that cannot be read so.
    """
    try:
        if suffix in {".pt", ".pth", ".ckpt"}:
            import torch

            if _is_program(data):  # torch's message would advise to run it
                raise ValueError("it is a TorchScript program; save its tensors, torch.save(model.state_dict(), file)")
            return torch.load(io.BytesIO(data), map_location=device, weights_only=True)
        from safetensors.torch import load

        return load(data)
    except Exception as error:  # the readers raise a dozen unrelated classes for a damaged file
        raise ValueError(why_refused(error)) from error


def why_refused(error: Exception) -> str:
    """Return a reader's error as one sentence, without full stop and terminal codes."""
    text = _ESCAPES.sub("", str(error))
    if held := _GLOBAL.search(text):
        return f"it holds {held[1]}, and only tensors, numbers, text and containers of them are read"
    if "weights_only" in text:
        return "it holds more than tensors, numbers, text and containers of them, and nothing else is read"
    first = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    return first.split(". ")[0].rstrip(".")[:200]


def _is_program(data: bytes) -> bool:
    """Return whether a file is TorchScript: a ZIP file with code beside its constants."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
