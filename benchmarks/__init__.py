"""What annotax costs beside JAX's own transforms written by hand, and beside its peers.

`python -m benchmarks`, from the root of the repository, measures everything, prints the tables and writes them to
`docs/benchmarks.md`. `measure` takes times, each other module but `report` measures one promise and returns rows,
`report` shows them.
"""
