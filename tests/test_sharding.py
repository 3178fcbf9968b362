"""Layouts on 8 virtual CPU devices: `shard_map`, and `PartitionSpec` in the hints of what `jit` compiles.

How many devices there are is settled when JAX is imported, so `devices/shardings.py` runs in a process of its own. Its
name keeps it from being collected here.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

SHARDINGS = Path(__file__).parent / "devices" / "shardings.py"


def test_layouts_on_eight_devices() -> None:
    outer = ("PYTEST_", "JAX_", "XLA_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(outer)}
    environment |= {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "pytest", SHARDINGS, "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    run = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=SHARDINGS.parent.parent.parent
    )
    assert run.returncode == 0, run.stdout + run.stderr
    ended = re.search(r"^(\d+) passed in", run.stdout, flags=re.MULTILINE)  # and none skipped, nor failed as expected
    assert ended is not None, run.stdout
    assert int(ended[1]) >= 250
