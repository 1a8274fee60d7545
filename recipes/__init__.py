"""How the weights in the package were made: scripts, imagery and model cards. Run from the root of the repository."""
