"""The libraries that have a page in `docs/coming-from`."""

from tests.coming_from.from_jax import JAX

LIBRARIES = (JAX,)
