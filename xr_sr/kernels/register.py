"""Register a user's own network as a model: one record, a file of weights, and measurements of what the record says.

The registry is that of this process; graphs carry the record to workers.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ..arguments import check_flag, check_path
from ..catalog import fetch, records, registry
from ..catalog.models import Network
from ..errors import ModelError, OptionError, WeightsFormatError, WeightsNotFoundError
from ..spec import LowPass, ReceptiveField, WeightsFile
from . import constraint_reach

if TYPE_CHECKING:
    from torch.nn import Module

    from .predictors import NetworkPredictor
    from .probe import Probe

    Measured: TypeAlias = Network | Module | str
    """A record, a torch module, or the name of a model."""


@dataclass(frozen=True, repr=False)
class ModelCheck:
    """The registered record, and what was measured.

    spec: the record with the hash of its weights. field: the measured receptive field of the network; None for a
    windowed model, or without a check. halo: the smallest sufficient one, constraint included; None likewise.
    """

    spec: Network
    field: ReceptiveField | None = None
    halo: int | None = None

    def __str__(self) -> str:
        spec = self.spec
        reads, gives = " ".join(spec.bands), " ".join(spec.bands_out or spec.bands)
        reads += f" of {spec.dates} dates" if spec.dates else ""
        text = f"{spec.name}: {reads} to {gives if gives != ' '.join(spec.bands) else 'the same'}, "
        text += f"{spec.scale} times finer; "
        if spec.window:
            text += f"windows of {spec.window} input pixels, {spec.overlap} shared with the next"
        elif self.field is None or self.halo is None:
            text += f"halo={spec.halo}, not checked"
        else:
            text += f"halo={spec.halo}, measured: {self.field}"
            if self.halo < spec.halo:
                text += f"; halo={self.halo} is sufficient, and reads less"
        return f"{text}; weights {spec.weights.sha256[:12] if spec.weights else 'none'}"

    __repr__ = __str__


def register_model(
    spec: Network, *, weights: str | Path | None = None, check: bool = True, replace: bool = False
) -> ModelCheck:
    """Register a torch module and a file of weights as a model of `upscale` and `list_models`.

    A network that reads several dates, `xr_sr.ModelSpec(dates=...)`, is a model of `multiframe` instead.

    spec: the record, `xr_sr.ModelSpec(...)`. `architecture` is "module:attribute", importable here and on the workers.
    weights: a file, safetensors or what torch's weights-only loader reads; its hash is computed now, and verified at
        every use. None: the record names its weights, or the module has none.
    check: build it, load its weights, run it, and measure its receptive field (seconds; on the CPU).
    replace: replace your model of the same name; an equal record may be registered again anyway.

    Returns the record as registered, and what was measured; printed, it says whether a smaller halo is sufficient.
    Raises ModelError if the network contradicts the record: a halo that is too small (the message has the measured and
    the needed one), a network that needs windows, another shape, another result at another place, randomness, or
    constrained=True of one that does not keep the means of bicubic interpolation.
    WeightsError for a missing file or one of another network. Nothing is registered then. The model is registered in
    this process: call it where graphs are built, in a notebook or a script.
    """
    check_flag("check", check)
    check_flag("replace", replace)
    spec = _sorted(spec)
    if weights is not None:
        spec = _with_weights(spec, check_path("weights", weights, WeightsNotFoundError))
    report = _check(spec) if check else ModelCheck(spec)
    if spec.name not in registry.names() or registry.get(spec.name) != spec:
        registry.register(spec, own=True, replace=replace)
    return report


def measure_halo(model: Measured, *, weights: str | Path | None = None, bands: int | None = None) -> ReceptiveField:
    """Measure the receptive field of a network, in input pixels on each side.

    model: a torch module in its present state, a record, or the name of a model; of a network that reads several dates
        its record or name. weights: a file for a record or a name; None is the file of the record. bands: number that a
        module reads; None is that of its first convolution.

    Returns the field of the network alone: a constraint (`low_pass`) reads more, which `register_model` adds. It is
    measured on random reflectance of several levels, from dark water to snow, in double precision, by gradients and by
    changes. A path whose weights are zero is not detected: measure a trained network, or one with random weights.
    Raises ModelError for a network without such a field: one that depends on all of its input, or that is another
    function at another place.
    """
    from torch.nn import Module

    from .probe import Probe

    if isinstance(model, Module):
        if bands is not None and (type(bands) is not int or bands < 1):
            raise ModelError(f"bands={bands!r}: expected the number of bands that the module reads, such as 4.")
        count = bands or _bands_of(model)
        return Probe(model, f"the {type(model).__name__}", bands=count).field()
    spec = registry.get(model) if isinstance(model, str) else _sorted(model)
    if not isinstance(spec, Network):
        raise ModelError(f"{spec.name!r} is not one network, and reads {spec.halo} pixels by its record.")
    if spec.window:
        raise ModelError(f"{spec.name!r} works on windows of {spec.window} pixels, and needs no halo.")
    return _probe(spec, _predictor(spec, weights)).field()


def _check(spec: Network) -> ModelCheck:
    """Build and run the network of a record, and compare. Raises ModelError or WeightsError."""
    from .predictors import reach_of
    from .probe import check_constrained

    predictor = _predictor(spec)
    probe = _probe(spec, predictor)
    if (coarse := getattr(predictor.network, "reads_coarse", len(spec.coarse))) != len(spec.coarse):
        raise ModelError(
            f"{spec.name!r}: its network expects that the last {coarse} of its bands have pixels twice as wide, "
            f"{spec.coarse_as}; its record has coarse={list(spec.coarse)}. Write coarse={spec.bands[-coarse:]}."
        )
    if spec.fine_alone:
        _check_fine_alone(spec, predictor)
    if spec.window:
        if probe.consumed:
            raise ModelError(
                f"{spec.name!r} has window={spec.window}, and its network consumes {probe.consumed} pixels of it on "
                "each side; expected one that pads, and returns the whole window."
            )
        probe.check_window(spec.window)
        if spec.constrained:
            check_constrained(spec, predictor)
        return ModelCheck(spec)
    field = probe.field()
    blur = math.ceil(spec.low_pass.radius / spec.scale) if spec.low_pass else 0
    least = constraint_reach(spec.low_pass, spec.scale) if spec.low_pass else 0
    shown = reach_of(spec, probe.network)
    declared = next((name for name in ("consumed", "receptive_radius") if hasattr(probe.network, name)), "")
    if declared and field.halo > shown:
        raise ModelError(
            f"{spec.name!r} depends on input pixels up to {field.halo} away, measured ({field}); its attribute "
            f"`{declared}` says {shown}. Correct the attribute, or leave it out."
        )
    needed = max((shown if declared else field.halo) + blur, least)
    needed += spec.step if spec.step > 1 else 0  # to begin with a whole coarse pixel
    if spec.halo < needed:
        parts = f" ({field.halo} of the network, {needed - field.halo} of its low_pass)" if spec.low_pass else ""
        raise ModelError(
            f"{spec.name!r} depends on input pixels up to {field.halo} away, measured ({field}); its record has "
            f"halo={spec.halo}, so results would depend on how a scene is cut. Write halo={needed}{parts}."
        )
    if spec.constrained:
        check_constrained(spec, predictor)
    return ModelCheck(spec, field, needed)


def _check_fine_alone(spec: Network, predictor: NetworkPredictor) -> None:
    """Raise ModelError if the fine bands differ, or fail, without the coarse ones."""
    import torch

    fine = [band for band in spec.bands if band not in spec.coarse]
    given = [band for band in spec.bands_out or spec.bands if band in fine]
    side = 2 * spec.halo + 8
    image = torch.rand(1, len(spec.bands), side, side, generator=torch.Generator().manual_seed(0))
    image = image.contiguous(memory_format=torch.channels_last)
    narrowed = registry.narrowed(spec, given)
    assert isinstance(narrowed, Network)
    alone = _predictor(narrowed).network
    claim = f"{spec.name!r} says fine_alone, and if only {given} are requested"
    with torch.inference_mode():
        whole = predictor.network(image)[:, : len(given)]
        try:
            found = alone(image[:, : len(fine)].contiguous(memory_format=torch.channels_last))
        except (RuntimeError, IndexError) as error:
            raise ModelError(f"{claim}, its network fails without the coarse bands: {error}") from error
    if found.shape != whole.shape or not torch.allclose(found, whole, rtol=0, atol=1e-5):
        raise ModelError(f"{claim}, the result is another. Leave fine_alone out: coarse bands are then always read.")


def _predictor(spec: Network, weights: str | Path | None = None) -> NetworkPredictor:
    from .predictors import NetworkPredictor, load_network

    located = fetch.locate(spec, weights) if spec.weights or weights else None
    network = load_network(spec, located.path if located else None, located.sha256 if located else "")
    return NetworkPredictor(spec, network, device="cpu", precision="float32")


def _probe(spec: Network, predictor: NetworkPredictor) -> Probe:
    from .probe import Probe

    return Probe(
        predictor.network,
        repr(spec.name),
        bands=len(spec.bands),
        dates=spec.dates,
        bands_out=len(spec.bands_out or spec.bands),
        scale=spec.scale,
        shift=predictor.shift,
        width=predictor.scale,
        step=spec.step,
    )


def _bands_of(network: Module) -> int:
    """Return the input channels of the first convolution, or of the first weight with four dimensions."""
    for layer in network.modules():
        # Not from the weights, whose axis of input channels differs in a transposed or depthwise convolution.
        count = getattr(layer, "in_channels", None)
        if type(count) is int:
            return count
    found = next((weight for weight in network.parameters() if weight.ndim == 4), None)
    if found is None:
        raise ModelError(
            f"The number of bands of the {type(network).__name__} is unknown. Pass it: measure_halo(..., bands=4)."
        )
    return int(found.shape[1])


def _with_weights(spec: Network, path: Path) -> Network:
    if not path.is_file():
        raise WeightsNotFoundError(f"weights={str(path)!r} of {spec.name!r} is not a file; pass the file itself.")
    path = path.resolve()
    return replace(spec, weights=WeightsFile(str(path), fetch.sha256_of(path), path.stat().st_size, home="user"))


def _sorted(spec: Network) -> Network:
    """Return a record with its config in alphabetical order, so that equal ones have equal digests."""
    if not isinstance(spec, Network):
        raise ModelError(
            f"Expected a record, xr_sr.ModelSpec(name=..., architecture=..., bands=...); got {type(spec).__name__}."
        )
    return replace(spec, config=tuple(sorted(spec.config)))


SUFFIXES = (".safetensors", ".safetensor", ".pt", ".pth", ".ckpt")
"""Of files of weights, by which `model=` is recognized as one."""


def open_model(model: str, weights: str | Path | None = None) -> tuple[str, str | Path | None]:
    """Return the name of a model and its weights, as `kernel_ref` takes them, for a name or a file of weights.

    model: a name is returned as it is. A file with the hash of a model's weights stands for that model. Of another
    file the architecture is recognized (`xr_sr.networks.from_state_dict`), and a record is registered with what is
    published for it; its name has the file's name and hash. The bands are known for four (B04, B03, B02, B08) and ten.
    Raises WeightsNotFoundError, WeightsFormatError for an unknown architecture, ModelError for another number of bands
    and for a folder, OptionError where `weights` are passed too.
    """
    if registry.is_name(model):
        return model, weights
    if Path(model).is_dir():
        raise ModelError(
            f"model={model!r} is a folder; expected a name of xr_sr.list_models() or a file of weights. Pass the "
            f"folder as weights={model!r}, and as model= the name of the model whose weights it holds."
        )
    if not model.lower().endswith(SUFFIXES):
        return model, weights
    path = check_path("model", model, WeightsNotFoundError)
    if not path.is_file():
        raise WeightsNotFoundError(f"model={model!r} is not a file, and not a model. See xr_sr.list_models().")
    if weights is not None:
        raise OptionError(f"model={model!r} is a file of weights, so weights={str(weights)!r} has no meaning.")
    path, sha256 = path.resolve(), fetch.sha256_of(path)
    for known in registry.current.models.values():
        if isinstance(known, Network) and known.weights and known.weights.sha256 == sha256:
            return known.name, path
    for known in registry.current.models.values():
        if role := next((role for role, part in known.parts if part.files[0].sha256 == sha256), None):
            raise ModelError(
                f"{model!r} is the part {role!r} of {known.name!r}, which has {len(known.files)} files of weights. Use "
                f"model={known.name!r} with weights= the folder that holds them."
            )
    record = _recognized(path, sha256)
    if not registry.is_name(record.name) or registry.get(record.name) != record:
        registry.register(record, own=True, replace=True)
    return record.name, None


def _recognized(path: Path, sha256: str) -> Network:
    """Return the record of a file of weights, with what is published for its architecture and number of bands."""
    from ..networks import from_state_dict
    from .predictors import read_state

    try:
        _, found = from_state_dict(read_state(path, sha256))
    except WeightsFormatError as error:
        raise WeightsFormatError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    published = _PUBLISHED.get((found.architecture, found.bands, found.bands_out))
    if published is None:
        kind = (
            "compares two images"
            if not found.bands_out
            else f"reads {found.bands} bands, and returns {found.bands_out}"
        )
        raise ModelError(
            f"{path} holds {found.architecture}, which {kind}. The bands of Sentinel-2 are known for four and for ten "
            "only. Name them: xr_sr.register_model(xr_sr.ModelSpec(name=..., summary=..., "
            f"architecture={found.architecture!r}, config={found.config}, scale={found.scale}, halo=..., bands=(...)), "
            f"weights={str(path)!r})."
        )
    low_pass, halo = published.low_pass, published.halo
    if isinstance(low_pass, LowPass) and found.scale != published.scale:  # as wide in input pixels at every scale
        widening = found.scale / published.scale
        halo -= math.ceil(low_pass.radius / published.scale)
        low_pass = LowPass(low_pass.sigma * widening, math.ceil(low_pass.radius * widening))
        halo = max(halo + math.ceil(low_pass.radius / found.scale), constraint_reach(low_pass, found.scale))
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).strip("-_") or "weights"
    return replace(
        published,
        name=f"{stem}-{sha256[:12]}",
        summary=f"{path.name}, recognized as {found.architecture.rpartition(':')[2]}",
        scale=found.scale,
        halo=halo + halo % 2,
        config=tuple(sorted(found.config)),
        low_pass=low_pass,
        weights=WeightsFile(str(path), sha256, path.stat().st_size, home="user"),
        license="",
        citation="",
        url="",
    )


def _ten(record: Network) -> Network:
    return replace(record, bands=records.TEN, bands_out=records.TEN)


_PUBLISHED = {
    (record.architecture, len(record.bands), len(record.bands_out)): record
    for record in (
        records.SEN2SR_LITE_RGBN,
        records.SEN2SR_V1_RGBN,
        records.SEN2SR_V1_TEN,
        _ten(records.SEN2SR_LITE_RGBN),
        _ten(records.SEN2SR_V1_RGBN),
        records.LDSR_S2,
        records.PIXEL_DIFFUSION,
    )
}
"""Records by architecture and numbers of bands in and out."""
