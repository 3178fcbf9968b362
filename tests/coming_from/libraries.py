"""The libraries that have a page in `docs/coming-from`."""

from tests.coming_from.from_equinox import EQUINOX
from tests.coming_from.from_jax import JAX
from tests.coming_from.from_jax_dataclasses import JAX_DATACLASSES

LIBRARIES = (JAX, EQUINOX, JAX_DATACLASSES)
