"""The lazy graph that super-resolves a cube. Nothing is exported: public names are those of `xr_sr`.

In reading order: `api` has `upscale`, `fuse` and `explain`. Each makes a `request.Request`, `planning.plan(cube,
request)` chooses variant, bands and grids and returns a `plan.Plan` of `steps.Step`s, `plan.graph(plan)` makes lazy
bands of it, and `plan.rebuild(plan, arrays)` puts them into the form of the cube. `inputs` has the lazy arrays that
tasks read, `tasks` and `readers` what happens inside a task, `guided` the bands that need no network. `cluster` has
`configure`, which prepares workers.
"""
