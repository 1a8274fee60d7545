"""`xr-sr verify`: whether a store is whole, and what to do where it is not."""

from __future__ import annotations

import click

from .commands import main
from .options import QUIET, TEXT


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
    """Compare STORE, a .zarr that this package wrote, with what it says of itself.

    Looks for every document and every chunk that is noted as done, reads them, and says what to do. Exit code 0 where
    the store is whole, else 1.

    \b
    xr-sr verify out.zarr
    xr-sr verify s3://bucket/out.zarr --quick --no-repair
    """
    from ..io.zarr import verify as verify_store

    report = verify_store(store, repair=repair, quick=quick, progress=False if quiet else None)
    if not (quiet and report.ok):
        click.echo(repr(report))
    if not report.ok:
        raise SystemExit(1)
