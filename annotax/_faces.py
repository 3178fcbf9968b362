"""What type checkers see of a decorated function; `_faces.pyi` says it, at run time it is a plain function."""
