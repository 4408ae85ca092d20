"""Numbers below 1e-38 taken for zero while a model learns.

Attention that vanishes leaves many of them in the gradients of lower layers, and a processor counts with them some
hundred times slower. It is a mode of each thread: Python's own numbers, those of the log among them, keep every digit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

_PARALLEL = 1 << 20
"""Elements that torch spreads over its threads."""


@contextlib.contextmanager
def denormals_as_zero() -> Iterator[None]:
    """Within this block this thread takes them for zero; afterwards it does as before."""
    before = bool(torch.full((1,), 1e-20).square() == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def start_threads() -> None:
    """Start torch's threads, if none run yet, in that mode, which they keep: they compute nothing but tensors."""
    with denormals_as_zero():
        torch.zeros(_PARALLEL).add_(1)
