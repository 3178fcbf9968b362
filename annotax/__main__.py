"""The command line: `python -m annotax explain path/to/file.py:function`."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import operator
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from annotax._errors import AnnotaxError
from annotax._explain import explain


class _WrongTarget(Exception):
    """A path or a name that is not there; the text says which, in one line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 2 where the target is wrong."""
    parser = argparse.ArgumentParser(prog="python -m annotax", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("explain", help="print what each transform of a function hands to JAX")
    command.add_argument("target", help="path/to/file.py:function, or path/to/file.py:Class.method")
    command.add_argument("--json", action="store_true", help="print it as JSON, for tools")
    options = parser.parse_args(arguments)
    try:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            explanation = explain(_load(options.target))
    except (_WrongTarget, AnnotaxError) as error:
        print(f"annotax: {error}", file=sys.stderr)
        return 2
    print(json.dumps(explanation.as_dict()) if options.json else printed.getvalue(), end="\n" if options.json else "")
    return 0


def _load(target: str) -> Any:
    """The object that `file.py:name` stands for; the file is run as a module, so its `__main__` part is not."""
    file, colon, name = target.rpartition(":")
    if not colon or not name:
        raise _WrongTarget(f"write path/to/file.py:function, not {target!r}")
    path = Path(file)
    if not path.is_file():
        raise _WrongTarget(f"there is no file {file}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise _WrongTarget(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # where string hints and pickles look for it
    sys.path.insert(0, str(path.parent.resolve()))  # as if the file were run
    spec.loader.exec_module(module)
    try:
        return operator.attrgetter(name)(module)
    except AttributeError:
        raise _WrongTarget(f"{file} has no {name!r}") from None


if __name__ == "__main__":
    sys.exit(main())
