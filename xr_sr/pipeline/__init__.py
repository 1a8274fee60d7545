"""The lazy graph that super-resolves a cube.

Reading order: `api` has the public functions; each makes a `request`, which `planning` turns into a `plan` of `steps`.
`inputs` has the lazy arrays that tasks read, `tasks` and `readers` what happens inside a task, `guided` the bands that
need no network. `cluster` prepares workers.
"""
