"""One step of a plan: a kernel, the lazy arrays that it reads, and the bands that it computes, as tasks per block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..catalog.generative import Diffusion
from ..catalog.models import Kriging, Network
from ..tiling.blocks import choose_blocks
from ..tiling.halo import map_tiles
from ..tiling.lattice import Lattice, least_side, map_windows
from ..tiling.two_resolutions import FAR, Coarse, far
from .histogram import matched_to_input
from .readers import COARSE_STACK, Second
from .samples import blend_samples, sample_window
from .tasks import (
    Recipe,
    blend_block,
    fuse_block,
    fuse_repeated_block,
    guide_block,
    upscale_block,
    upscale_coarse_block,
    upscale_window,
)

if TYPE_CHECKING:
    import dask.array as da

    from .. import kernels
    from ..tiling.source import BandArray


@dataclass(frozen=True, eq=False)
class Step:
    """Some bands of a result, and how their blocks are computed.

    bands: names in the order that the blocks have them. stacks: the lazy planes that a task reads, and the mask if
    there is one. second, coarse: of kernels that read two pixel sizes, how the coarse bands are read, and their planes.
    guidance: of bands sharpened without weights. lattice: of models that work on windows.
    Which of them are there says which function the tasks call.
    """

    name: str
    bands: tuple[str, ...]
    recipe: Recipe
    stacks: Sequence[Sequence[BandArray]]
    second: Second | None = None
    coarse: Coarse | None = None
    guidance: kernels.Guidance | None = None
    lattice: Lattice | None = None

    @property
    def scale(self) -> int:
        """Output pixels per input pixel along an axis."""
        return self.recipe.kernel.spec.scale

    @property
    def reach(self) -> int:
        """Input pixels around a block that its values may depend on, NaN filled."""
        if self.coarse is None:
            return self.recipe.reach
        samples = self.reads_samples or self.repeats or self.recipe.measured
        return self.recipe.reach + (far(self.coarse.ratio) if samples else FAR)

    @property
    def reads_samples(self) -> bool:
        """Whether the coarse bands are read as pixels of their own grid, of any ratio."""
        return self.guidance is not None or isinstance(self.recipe.kernel.spec, Kriging)

    @property
    def repeats(self) -> bool:
        """Whether a network reads the coarse bands as they are, each pixel repeated."""
        spec = self.recipe.kernel.spec
        return isinstance(spec, Network) and spec.step > 1

    @property
    def own_grid(self) -> Coarse | None:
        """The coarse planes, where they have a grid of their own."""
        return self.coarse if self.second is not None and self.second.layout == "grids" else None

    @property
    def all_stacks(self) -> list[Sequence[BandArray]]:
        """The planes on the fine grid, coarse bands among them where they have no grid of their own."""
        stacks = list(self.stacks)
        if self.coarse is not None and self.own_grid is None:
            stacks += [[] for _ in range(COARSE_STACK - len(stacks))] + [self.coarse.planes]
        return stacks

    @property
    def matches(self) -> bool:
        """Whether the bands get the distribution of values of their input."""
        spec = self.recipe.kernel.spec
        return isinstance(spec, Diffusion) and spec.correction == "histogram"

    def blocks(self, sides: Sequence[int | None] | None) -> tuple[tuple[int, ...], ...]:
        """Return the sizes of the output blocks in input pixels, along (*lead, y, x)."""
        planes = [plane for stack in self.all_stacks for plane in stack]
        least = 1 if self.lattice is None else least_side(self.lattice)
        return choose_blocks(planes, sides, len(self.bands) * self.scale**2 * 4, least=least)

    def arrays(self, sides: Sequence[int | None] | None, *, split: bool) -> da.Array | list[da.Array]:
        """Return the lazy bands: (*lead, band, y, x), or with `split` one (*lead, y, x) for each.

        sides: of the output blocks, in input pixels.
        """
        common: dict[str, Any] = {
            "scale": self.scale,
            "reach": self.reach,
            "bands_out": len(self.bands),
            "chunks": sides,
            "split": split,
            "name": self.name,
        }
        if self.lattice is not None:
            draws = self.recipe.kernel.samples is not None
            functions = (sample_window, blend_samples) if draws else (upscale_window, blend_block)
            own = {**common, "split": split and not self.matches}
            made = map_windows(*functions, self.all_stacks, lattice=self.lattice, args=(self.recipe,), **own)
            if not self.matches or isinstance(made, list):
                return made
            planes, blocks = self.recipe.out_of, [max(sizes) for sizes in self.blocks(sides)]
            found = matched_to_input(made, self.all_stacks, self.recipe.radiometry, planes, blocks)
            return [found[..., place, :, :] for place in range(len(self.bands))] if split else found
        function: Callable[..., Any] = upscale_block
        args: tuple[object, ...] = (self.recipe,)
        if self.guidance is not None:
            function, args = guide_block, (self.recipe, self.second, self.guidance)
        elif self.coarse is not None and self.reads_samples:
            function, args = upscale_coarse_block, (self.recipe, self.second, self.coarse.ratio)
        elif self.second is not None:
            function = fuse_repeated_block if self.repeats else fuse_block
            args = (self.recipe, self.second)
        return map_tiles(function, self.all_stacks, halo=self.recipe.halo, args=args, coarse=self.own_grid, **common)


def sides_like(made: da.Array, scale: int) -> list[int]:
    """Return the sides, in input pixels, of the blocks of a result, so that another result gets the same."""
    return [sizes[0] // (scale if axis >= made.ndim - 2 else 1) for axis, sizes in enumerate(made.chunks)]
