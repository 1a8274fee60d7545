"""Scenes to try things on, a real one and synthetic ones of any size (`scenes`), and training pairs (`pairs`)."""
