#!/usr/bin/env bash
# torch 2.13.0, CPU: whether attention needs a matrix of all pixels by all depends on strides.
#
# Expected: `scaled_dot_product_attention` takes the fused kernel for one head of float32 without a mask, whatever the
#   memory layout, as an image gives it: (channels, pixels) from a convolution, transposed to (pixels, channels).
# Seen: a transposed view, whose channels are not contiguous, takes the plain formula without a word, with a matrix of
#   pixels by pixels (1 GB for the 128 x 128 pixels of a latent); a contiguous copy of the same numbers takes the fused
#   kernel. Values agree within rounding.
# What follows: `.contiguous()` before attention over images on a CPU, which costs one copy of the image.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/env"
"$folder/env/bin/pip" install -qq --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cd "$folder"
env/bin/python - <<'PYTHON' 2>/dev/null
import torch
from torch.nn.functional import scaled_dot_product_attention as attention
from torch.profiler import ProfilerActivity, profile

torch.manual_seed(0)
image = torch.randn(1, 64, 2048)  # (n, channels, pixels)
layouts = {"transposed view": image.transpose(1, 2)[:, None], "contiguous": image.transpose(1, 2).contiguous()[:, None]}
print(f"torch {torch.__version__.split('+')[0]}; expected: the fused kernel for both")
seen, values = {}, {}
for name, pixels in layouts.items():
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        values[name] = attention(pixels, pixels, pixels)
    events = profiled.key_averages()
    fused = any("flash_attention_for_cpu" in event.key for event in events)
    largest = max(event.cpu_memory_usage for event in events)
    seen[name] = fused
    print(f"{name}: {'fused kernel' if fused else 'plain formula'}, largest allocation {largest / 2**20:.1f} MiB")
assert (values["contiguous"] - values["transposed view"]).abs().max() < 1e-5
assert seen == {"transposed view": False, "contiguous": True}, "another kernel is taken now"
PYTHON
