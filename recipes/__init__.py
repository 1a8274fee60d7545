"""Train the weights in the package: scripts, imagery and model cards. Run from the root of the repository."""
