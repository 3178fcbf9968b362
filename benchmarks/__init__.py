"""What annotax costs beside JAX's own transforms written by hand, and beside its peers.

`python -m benchmarks`, from the root of the repository, measures everything, prints the tables and writes them to
`docs/benchmarks.md`, with pictures. `measure` takes times, `rows` holds what was measured, `groups` measures again
where a bound is broken, `report` and `pictures` show it; `transformer` is the model of two groups, and each other
module is a group: it measures one promise and returns a table.
"""
