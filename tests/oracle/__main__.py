"""The command line: run many cases, a process for each pipeline, and print how many of which kind."""

from __future__ import annotations

import argparse
import importlib.metadata
import multiprocessing
import os
import platform
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.oracle.shares import NAMES, OUTCOMES, Share, share


def prepare(devices: int, cache: str) -> None:
    """Set what the processes of the shares find: virtual devices, and an XLA that compiles fast, and nothing twice."""
    flags = [
        os.environ.get("XLA_FLAGS", ""),
        f"--xla_force_host_platform_device_count={devices}",
        "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
    ]
    os.environ |= {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": " ".join(flags),
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run many cases, and print how many of which kind; 1 if some disagree."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description="Compare annotax with plain JAX.")
    parser.add_argument("--examples", type=int, default=2000, help="how many cases to run")
    parser.add_argument("--seed", type=int, default=None, help="where to start; drawn if left out, and printed")
    parser.add_argument("--jobs", type=int, default=1, help="how many pipelines to run at a time")
    parser.add_argument("--devices", type=int, default=2, help="how many virtual devices there are; meshes have 1 or 2")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="PIPELINE", help="like 'jit grad'")
    given = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(2**32) if given.seed is None else given.seed
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("jax", "numpy", "hypothesis")]
    print(
        f"seed {seed}, {given.devices} devices, Python {platform.python_version()}, {', '.join(versions)}", flush=True
    )
    started, shares = time.perf_counter(), list[Share]()
    examples = -(-given.examples // len(given.only))
    with tempfile.TemporaryDirectory() as cache:
        prepare(given.devices, cache)
        fresh = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(given.jobs, mp_context=fresh, max_tasks_per_child=1) as pool:
            running = [pool.submit(share, name, examples, seed) for name in given.only]
            for done in as_completed(running):
                shares.append(done.result())
                print(shares[-1], flush=True)
    mismatches = sum(bool(each.mismatch) for each in shares)
    total = sum((each.outcomes for each in shares), Counter[str]())
    print()
    for outcome in OUTCOMES:
        print(f"{total[outcome]:>6}  {outcome}")
    print(f"{total.total():>6}  cases in {time.perf_counter() - started:.0f} s, mismatches: {mismatches}")
    return 1 if mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
