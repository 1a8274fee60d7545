"""Building the lazy graph that super-resolves a cube: `upscale` and `fuse` (`api`), and their parts."""
