"""Plan kriging: a step for the bands of each grid, which reads their own pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .. import kernels
from ..catalog.models import Kriging
from ..cube.grid import pixel_size_m
from ..cube.select import Cube, pick
from ..cube.time import on_dates_of
from ..kernels.observe import observed
from ..radiometry.resolve import Radiometry, resolve
from ..spec import LowPass
from .guided import refuse_sharpened, sorted_by_grid
from .inputs import second_grid, stacks_of
from .measured import CONSTRAINT
from .request import Request
from .steps import Step
from .tasks import Recipe


@dataclass(frozen=True, eq=False)
class Kriged:
    """The steps that compute some bands. radiometry: of the finest grid; read_as: that of all bands, in words."""

    steps: list[Step]
    radiometry: Radiometry
    read_as: str


def kriging_steps(
    cube: Cube, coarser: Sequence[Cube], wanted: Sequence[str], request: Request, kernel: kernels.KernelRef
) -> Kriged:
    """Plan bands of several grids, whose results all lie on the finest one, made finer.

    coarser: cubes of coarser pixels over the same ground. wanted: canonical names. kernel: without what was observed.
    Raises MissingBandError where no cube has a band; GridError where grids do not fit; OptionError where the MTF or the
    noise of a band is not known.
    """
    spec = kernel.spec
    assert isinstance(spec, Kriging)
    fine, groups = sorted_by_grid(cube, coarser, wanted)
    size = pixel_size_m(cube.geobox)
    pixel_m = None if size is None else (size[0] * size[1]) ** 0.5
    planes = pick(cube, fine or cube.available[:1], reader=spec.name)
    radiometry = resolve(cube, planes, **request.numbers)
    stacks = stacks_of(cube, planes, request.mask)
    name, halo = f"sr-{spec.family}", kernels.halo_for(spec, kernel.low_pass)
    steps, read_as = [], [radiometry.how]

    def recipe(names: Sequence[str], ratio: int) -> Recipe:
        ref = replace(kernel, sensors=observed(spec, names, ratio, pixel_m))
        if isinstance(ref.low_pass, LowPass):  # as wide in pixels of the band
            ref = replace(ref, low_pass=LowPass(ref.low_pass.sigma * ratio, ref.low_pass.radius * ratio))
        places = tuple(range(len(names)))
        recipe = Recipe(ref, radiometry, halo * ratio, out_of=places, give=places)
        if request.constraint != CONSTRAINT:
            return recipe
        return recipe.agreeing(tuple(sensor.observation for sensor in ref.sensors))

    if fine:
        steps.append(Step(name, tuple(fine), recipe(fine, 1), stacks))
    for (place, ratio), names in groups.items():
        if place is None:
            refuse_sharpened(cube, names, spec.name)
        own = None if place is None else on_dates_of(coarser[place], cube, "the cube of coarse bands")
        planes = pick(own or cube, names, reader=spec.name)
        theirs = resolve(own or cube, planes, **request.numbers)
        second, coarse = second_grid(cube, own, planes, theirs, request.layout, ratio)
        steps.append(Step(name, tuple(names), recipe(names, coarse.ratio), stacks, second, coarse))
        if theirs.how != radiometry.how:
            read_as.append(f"{', '.join(names)}: {theirs.how}")
    return Kriged(steps, radiometry, "; ".join(read_as))
