"""The mutation run: does a test notice when a line of annotax says something else?

cosmic-ray and a few operators of our own make the mutants (`mutants`). Each is tried in a process forked from one that
has JAX and the other dependencies imported already, with the mutated module handed to the import system: no file is
changed (`trials`). Only tests that reach a mutated line are run, those of the module first (`reach`).

`python -m tests.mutation` is the command; docs/mutation.md has the result.
"""
