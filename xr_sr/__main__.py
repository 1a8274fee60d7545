"""`python -m xr_sr` does what `xr-sr` does, where that is not on the path."""

from .cli import main

if __name__ == "__main__":
    main(prog_name="xr-sr")
