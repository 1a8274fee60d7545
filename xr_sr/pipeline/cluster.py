"""Prepare the workers of a dask cluster: threads of torch, weights, and models loaded before the first task.

Results do not depend on it; it saves the first minutes, and sends the weights to workers without a shared disk.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from .. import kernels
from ..arguments import check_flag, check_whole
from ..catalog import fetch, registry
from ..catalog.models import Network
from ..runtime.files import write_whole

if TYPE_CHECKING:
    from distributed import Client


class WorkerReport(TypedDict):
    """How a worker is prepared.

    threads, torch_threads: tasks at once, and threads of torch in each. gpus: number that it sees.
    models: names of those whose weights are loaded. keeps_memory: freed buffers are kept. pid: of the process.
    """

    threads: int
    torch_threads: int
    device: str
    gpus: int
    models: list[str]
    keeps_memory: bool
    pid: int


def configure(
    client: Client,
    models: Sequence[str] = (),
    *,
    weights: Mapping[str, str | Path] | None = None,
    device: str = "auto",
    torch_threads: int | None = None,
    keep_memory: bool = False,
    compile_networks: bool = False,
) -> dict[str, WorkerReport]:
    """Prepare every worker of a cluster, those that join later included.

    models: names, such as "sen2sr-lite" or one of your own (`register_model`), whose weights are sent to the workers'
        caches and loaded there, once per process.
    weights: files of your own by the name of the model, as in `upscale(model, weights=file)`: they are sent as well.
    device: as in `upscale`. torch_threads: threads of torch per task; by default the processors of a machine divided
        by the tasks that run at once on it, as far as a worker can know (workers of one command are counted).
    keep_memory: tell the C library to keep freed buffers (Linux with glibc): faster, with more memory per process.
    compile_networks: compile those that draw, "diffusion" and "ldsr-s2", by torch: the first block of each size takes
        up to minutes longer, later ones may be faster. Without a cluster: the environment variable XR_SR_COMPILE=1.

    Returns for each worker its threads, torch threads per task, device and loaded models.
    Raises OptionError for a number of threads below 1, WeightsError if this client cannot find the weights, or a worker
    cannot keep them.
    """
    from distributed import WorkerPlugin

    class Prepared(WorkerPlugin):
        """Runs `prepare` on each worker as it starts."""

        name = "xr_sr"

        def __init__(self, *args: Any) -> None:
            self.args = args

        def setup(self, worker: Any) -> None:
            worker.xr_sr = prepare(worker.state.nthreads, *self.args)

    check_flag("keep_memory", keep_memory)
    check_flag("compile_networks", compile_networks)
    if torch_threads is not None:
        check_whole("torch_threads", torch_threads, least=1)
    own = dict(weights or {})
    files = []
    for model in dict.fromkeys([*models, *own]):
        spec = registry.get(model)
        for part in (spec,) if isinstance(spec, Network) else (part for _, part in spec.parts):
            if part.weights is not None:
                located = fetch.locate(part, own.get(model))
                data = located.path.read_bytes()
                files.append(Sent(part, located.sha256, located.path.suffix, data, whole=part is spec))
    client.register_plugin(Prepared(files, device, torch_threads, keep_memory, compile_networks))
    return dict(client.run(_report))


class Sent(NamedTuple):
    """A file of weights on its way to a worker, with its model's record: a worker knows no model of a user's own.

    whole: the model has no other files, so that it can be loaded at once.
    """

    spec: Network
    sha256: str
    suffix: str
    data: bytes
    whole: bool = True


def prepare(
    nthreads: int,
    files: Sequence[Sent],
    device: str = "auto",
    torch_threads: int | None = None,
    keep_memory: bool = False,
    compile_networks: bool = False,
) -> WorkerReport:
    """Prepare one worker, and return what was done; see `configure`."""
    import torch

    from ..runtime import device as runtime

    runtime.ask_threads(torch_threads)
    if compile_networks:
        runtime.ask_compiling(True)
    loaded = []
    for sent in files:
        spec = sent.spec
        assert spec.weights is not None
        known = sent.sha256 == spec.weights.sha256 and spec.weights.home == "hub"
        path = fetch.cache_folder() / spec.weights.path if known else fetch.sent_file(sent.sha256, sent.suffix)
        if not path.is_file() or fetch.sha256_of(path) != sent.sha256:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, partial(Path.write_bytes, data=sent.data))
        if sent.whole:
            kernels.build(kernels.KernelRef(spec, str(path), sent.sha256, device, "float32", spec.low_pass))
        if spec.name not in loaded:
            loaded.append(spec.name)
    return {
        "threads": nthreads,
        "torch_threads": runtime.torch_threads(),
        "device": runtime.resolve_device(device),
        "gpus": torch.cuda.device_count(),
        "models": loaded,
        "keeps_memory": keep_memory and runtime.keep_freed_memory(),
        "pid": os.getpid(),
    }


def _report(dask_worker: Any) -> WorkerReport:
    report: WorkerReport = dask_worker.xr_sr
    return report
