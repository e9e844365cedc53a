"""Keeps Python's cyclic garbage collector from making a process wait.

A full collection holds the interpreter while it visits every object there is: 20 to 60 ms after the libraries and a
gallery are loaded. What is there once a process is ready stays until its end, and need not be visited again.
"""

from __future__ import annotations

import gc

_YOUNG = 20_000
"""Objects made before the youngest are collected; that takes a few milliseconds."""


def settle() -> None:
    """Leave everything that exists now out of later collections, and collect less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 50, 100)
