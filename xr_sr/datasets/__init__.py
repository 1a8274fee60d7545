"""Scenes to try things on: a real one in the package, synthetic ones of any size (`scenes`), training pairs (`pairs`)."""
