"""Keeps the case files from being collected: type checkers read them, and nothing runs them."""

collect_ignore_glob = ["cases/*"]
