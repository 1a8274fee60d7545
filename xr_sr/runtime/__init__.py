"""Where and how graphs run: devices and threads, execution with progress, shared reductions computed once."""
