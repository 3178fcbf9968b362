"""The oracle: drawn functions, calls and pipelines, and what plain JAX says about them.

Hypothesis draws a `Case` (`strategies`): the source of a function (`functions`), transforms around it (`steps`,
`derivatives`, `maps`), the values of a call (`values`) and several ways to spell it. `agree` runs it through annotax
(`agreement`). What must come out is worked out from the drawn records alone: the call is flattened by hand to a list of
leaves, one position each, and goes to JAX's own transforms with positional indices. Nothing here asks annotax what a
marker means.

Everything is kept as source text, so that a failing case is shown as the script that fails. A new marker belongs into
`MARKERS`, a new kind of argument into `HINTS`; a new transform is a subclass of `Step`, its pipelines in `PIPELINES`.

Run it longer than the test suite does with `python -m tests.oracle --examples 5000`.
"""

from tests.oracle.agreement import Mismatch, agree, contradict, explore
from tests.oracle.strategies import PIPELINES, cases, contradictions

__all__ = ["PIPELINES", "Mismatch", "agree", "cases", "contradict", "contradictions", "explore"]
