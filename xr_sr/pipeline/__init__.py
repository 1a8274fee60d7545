"""The lazy graph that super-resolves a cube.

Reading order: `api` has the public functions, `refine` the steps, `inputs` what tasks read, `block`, `fusing` and
`guiding` the tasks themselves, `pansharpen` the bands without a network. `cluster` prepares workers.
"""
