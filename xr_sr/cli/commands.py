"""The commands of `xr-sr`. Each opens its input, calls one function of the package, and says what came out.

Exit codes: 0 done; 1 an error of this package, in one sentence on stderr; 2 wrong usage; 3 and 4 of `verify`, an
unfinished and a damaged store; 130 interrupted.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from .._version import __version__
from ..errors import XrSrError, XrSrWarning
from .options import (
    DEFAULT_MODEL,
    FUSING_MODEL,
    NAMES,
    NODATA,
    OFFSET,
    PART,
    QUANTIFICATION,
    QUIET,
    TEXT,
    WAIT,
    assignments,
    choice,
    names,
)
from .shell import Spelling, in_shell


class _Group(click.Group):
    """Commands whose errors are sentences."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error of ours becomes one line on stderr and exit code 1, with no traceback."""

        def spell(message: str) -> str:
            run = self.get_command(ctx, ctx.invoked_subcommand or "")
            return in_shell(message, _spellings(run), _spellings(upscale))

        with _plain_warnings(spell):
            try:
                return super().invoke(ctx)
            except XrSrError as error:
                raise click.ClickException(spell(str(error))) from error
            except KeyboardInterrupt:
                click.echo(f"\n{_interrupted(self.get_command(ctx, ctx.invoked_subcommand or ''))}", err=True)
                raise SystemExit(130) from None


def _interrupted(command: click.Command | None) -> str:
    """Describe what an interrupted command has kept, and how to resume it."""
    if command is None or not any(param.name == "wait" for param in command.params):
        return "Interrupted."
    return (
        "Interrupted. What is written to a Zarr is kept: run the same command again, without --overwrite, to resume. "
        "Of a GeoTIFF nothing is kept."
    )


def _spellings(command: click.Command | None) -> dict[str, Spelling]:
    """Return the options of a command by the names of their parameters, which are those of the functions."""
    options = [option for option in (command.params if command else ()) if isinstance(option, click.Option)]
    return {str(option.name): Spelling(option.opts[0], option.is_flag, option.multiple) for option in options}


@contextmanager
def _plain_warnings(spell: Callable[[str], str]) -> Iterator[None]:
    """Show each warning of this package once, in one line, with command-line options and without a code location."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", XrSrWarning)
        usual, said = warnings.showwarning, set[str]()

        def show(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
            if not issubclass(category, XrSrWarning):
                usual(message, category, *place, **more)
            elif str(message) not in said:
                said.add(str(message))
                click.echo(f"Warning: {spell(str(message))}", err=True)

        warnings.showwarning = show
        yield


@click.group(cls=_Group, context_settings=TEXT)
@click.version_option(__version__, prog_name="xr-sr")
def main() -> None:
    """Super-resolve Sentinel-2 scenes: 10 m bands become 2.5 m, with an exact georeference.

    Try it offline with `xr-sr demo`. Detail beyond the sensor is an estimate, and every output records the model.
    """


@main.command(context_settings=TEXT)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("xr-sr-demo"),
    show_default=True,
    help="Folder for the results; created if absent.",
)
@click.option("--quiet", "-q", is_flag=True, help="No progress bar.")
def demo(out: Path, quiet: bool) -> None:
    """Upscale the sample scenes and draw them next to their input, one with a reference.

    Uses sen2sr, whose weights are inside the package. Writes havel.zarr, havel.png and virginia.png. Needs no network.
    """
    from .run import run_demo

    run_demo(out, progress=False if quiet else None, say=click.echo)


@main.command(context_settings=TEXT)
@click.argument("source", metavar="INPUT")
@click.argument("target", metavar="OUTPUT")
@click.option("--model", "-m", default=DEFAULT_MODEL, show_default=True, help="A model or family of `xr-sr models`.")
@click.option(
    "--bands",
    "-b",
    callback=names,
    metavar="NAMES",
    help="Bands of the output, in that order, such as B04,B03,B02. Default: all that the model computes.",
)
@click.option(
    "--scale",
    type=click.IntRange(min=1),
    help="For interpolation (1 to 16) and kriging (2 to 24): output pixels per input pixel. Default: 4.",
)
@OFFSET
@QUANTIFICATION
@NODATA
@NAMES
@PART
@click.option(
    "--other", metavar="INPUT", help="The 20 m bands on their own grid, where INPUT holds those of 10 m only."
)
@choice(
    "--layout",
    of=["auto", "native", "resampled"],
    help="Of 20 m bands on a 10 m grid: each pixel repeated, or resampled.",
)
@click.option(
    "--date", help="Of several dates, only the one nearest to this (within 10 days). A GeoTIFF holds one date."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@choice("--precision", of=["float32", "bfloat16", "float16"], help="Precision of the network's arithmetic.")
@choice(
    "--constraint",
    of=["auto", "measured", "lowpass", "none"],
    help="measured: agree with the input through the PSF; lowpass: keep its low frequencies; auto: the model's.",
)
@click.option(
    "--mtf",
    type=click.FloatRange(min=0, max=1),
    help="Of --constraint measured and kriging: transfer at the Nyquist frequency. Default: Sentinel-2's.",
)
@click.option(
    "--option",
    "of_model",
    multiple=True,
    callback=assignments,
    metavar="NAME=VALUE",
    help="An option of the model, such as strength=0.5 of sen2sr or noise=0.002 of kriging; may be repeated.",
)
@click.option(
    "--chunks",
    type=click.IntRange(min=1),
    help="Side of a block in input pixels. Default: chosen by the input, at most 512.",
)
@click.option("--weights", help="A file or folder of weights, or the name of a model whose weights to use.")
@click.option("--allow-gsd", is_flag=True, help="Accept pixels of another size than the model was made for.")
@choice(
    "--dtype",
    "packing",
    of=["int16", "float32"],
    help="Of the numbers in OUTPUT: int16 in steps of 0.0001 with nodata -32768, or float32 with nodata NaN.",
)
@choice("--zarr-format", of=["3", "2"], help="Version of the Zarr format; 2 is read by GDAL before 3.12.")
@click.option(
    "--overwrite", is_flag=True, help="Replace an existing output. Without it, an interrupted Zarr is resumed."
)
@WAIT
@QUIET
def upscale(source: str, target: str, **options: Any) -> None:
    """Upscale INPUT and write OUTPUT.

    INPUT is a GeoTIFF or other raster, a Zarr, a netCDF file, or a folder of band files such as a SAFE product (or its
    IMG_DATA). OUTPUT ends in .zarr, which can be interrupted and resumed, and may be a URL such as s3://...; or it is
    a local file that ends in .tif, for a Cloud-Optimized GeoTIFF. Both hold reflectance, see --dtype.

    \b
    xr-sr upscale S2A_MSIL2A_20230701T101031_N0509_R022_T33UUU.SAFE out.zarr
    xr-sr upscale scene.tif out.tif --model bicubic --names B02,B03,B04,B08 --offset 0
    """
    _refine(source, target, options, fusing=False)


def _refine(source: str, target: str, options: dict[str, Any], *, fusing: bool) -> None:
    """Check the paths, and run `upscale` or `fuse`."""
    from ..io.files import is_local, is_same, suffix_of

    if suffix_of(target) not in (".zarr", ".tif", ".tiff"):
        raise click.BadParameter(f"{target} must end in .zarr or .tif.", param_hint="OUTPUT")
    if not is_local(target) and (suffix_of(target) != ".zarr" or target.startswith("/vsi")):
        raise click.BadParameter(
            f"{target} is not a local path; a GeoTIFF is written to a local file, and only a .zarr to a URL, such as "
            "s3://bucket/out.zarr.",
            param_hint="OUTPUT",
        )
    if is_same(source, target):
        raise click.BadParameter(f"{target} is the input; write to another place.", param_hint="OUTPUT")
    from .run import run_upscale

    run_upscale(source, target, options, click.echo, fusing=fusing)


def _params_of_fuse() -> list[click.Parameter]:
    """Return the parameters of `upscale`, but for what means nothing here."""
    model = click.Option(
        ("--model", "-m"),
        default=FUSING_MODEL,
        show_default=True,
        help="glp-hpm and bicubic need no weights, and take 60 m too; sen2sr-lite is the official network.",
    )
    guide = click.Option(
        ("--guide",),
        metavar="NAME",
        help="Of glp-hpm: regression on all finer bands (its default), nearest, or a band.",
    )
    mtf = click.Option(
        ("--mtf",),
        type=click.FloatRange(min=0, max=1),
        help="Of glp-hpm and --constraint measured: transfer at the Nyquist frequency. Default: Sentinel-2's.",
    )
    rest = [param for param in upscale.params if param.name not in ("model", "scale", "mtf", "of_model")]
    return [*rest[:2], model, guide, mtf, *rest[2:]]


@main.command(context_settings=TEXT, params=_params_of_fuse())
def fuse(source: str, target: str, **options: Any) -> None:
    """Sharpen the 20 m bands of INPUT to its 10 m grid, and write OUTPUT.

    All bands of OUTPUT have 10 m pixels: those that the sensor has at 20 m or 60 m with the detail of the others.
    Arguments and options are those of `upscale`.

    \b
    xr-sr fuse S2A_MSIL2A_20230701T101031_N0509_R022_T33UUU.SAFE ten.zarr
    xr-sr fuse r10m.tif ten.zarr --other r20m.tif --bands B03,B11
    xr-sr fuse scene.zarr ten.zarr --model sen2sr-lite
    """
    _refine(source, target, options, fusing=True)


@main.command(context_settings=TEXT)
def models() -> None:
    """List the models with their input bands and the location of their weights, and the families of models."""
    from ..catalog import registry
    from ..catalog.listing import list_models
    from ..catalog.models import scales_of

    rows: list[dict[Any, Any]] = list_models().to_dict("records")
    width = max(len(model["name"]) for model in rows)
    for model in rows:
        spec = registry.get(model["name"])
        if "scale" in dict(spec.options):
            scale = f"scales {min(scales_of(spec))} to {max(scales_of(spec))}"
        else:
            scale = f"x{spec.scale}" if spec.scale > 1 else "the finer grid"
        facts = [
            f"reads {model['bands']}, computes {scale}",
            f"weights {model['size_mb']:g} MB, {model['where']}" if model["size_mb"] else "",
            f"license {model['license']}" if model["license"] else "",
        ]
        click.echo(f"{model['name']:<{width}}  {model['summary']}")
        click.echo(f"{'':<{width}}  {'; '.join(filter(None, facts))}")
    families = (("upscale", registry.current.families, DEFAULT_MODEL), ("fuse", registry.current.fusing, FUSING_MODEL))
    for command, members, default in families:
        click.echo(f"\nFamilies for {command}, of which the first variant that computes the requested bands is used:")
        for family, variants in members.items():
            click.echo(f"{family}{' (default)' if family == default else ''}: {', '.join(variants)}")


@main.command(context_settings=TEXT)
@click.argument("name")
def fetch(name: str) -> None:
    """Download the weights of the model NAME, verify them, and print their path."""
    from ..catalog.fetch import fetch_all

    begin = time.perf_counter()
    for located in fetch_all(name):
        click.echo(f"{located.path}\nsha256 {located.sha256}, verified in {time.perf_counter() - begin:.1f} s")


@main.command(context_settings=TEXT)
@click.argument("source", metavar="INPUT")
@click.option(
    "--names", callback=names, metavar="NAMES", help="Names of the input's bands, where a raster does not hold them."
)
@click.option("--part", help="Of several grids or arrays in INPUT, the one to look at, such as r20m.")
def info(source: str, names: tuple[str, ...] | None, part: str | None) -> None:
    """Show what is recognized in INPUT: bands, grid, values, chunks. Reads no pixel."""
    from ..cube.select import recognize
    from ..io.files import open as open_cube
    from ..radiometry.summary import summary

    cube = open_cube(source, names=names or (), part=part)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", XrSrWarning)  # the summary says the same
        recognize(cube)  # raises where the summary would say "not a cube"
    click.echo(summary(cube))


@main.command(context_settings=TEXT)
@click.argument("store", metavar="STORE")
@click.option(
    "--repair/--no-repair",
    default=True,
    show_default=True,
    help="Restore documents, and let the next run write chunks that were lost. No pixel that can be read is changed.",
)
@click.option("--quick", is_flag=True, help="Only look whether each chunk is there; read none.")
@QUIET
def verify(store: str, repair: bool, quick: bool, quiet: bool) -> None:
    """Compare STORE, a .zarr that this package wrote, with its metadata.

    Looks for every document and every chunk that is noted as done, reads them, and reports what to do. Exit code: 0 the
    store is complete, 3 it is unfinished, 4 it is damaged, 1 it cannot be read at all.

    \b
    xr-sr verify out.zarr
    xr-sr verify s3://bucket/out.zarr --quick --no-repair
    """
    from ..io.zarr import verify as verify_store

    report = verify_store(store, repair=repair, quick=quick, progress=False if quiet else None)
    if not (quiet and report.ok):
        click.echo(repr(report))
    if not report.ok:
        raise SystemExit(4 if report.damages else 3)
