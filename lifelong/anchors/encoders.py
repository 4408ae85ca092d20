"""Encoders by name: the one that is shipped, or a sentence-transformers model of the user's own."""

from __future__ import annotations

from functools import lru_cache

from editlog.errors import UsageError
from lifelong.anchors.encoder import Encoder, default_encoder
from lifelong.anchors.sentence import FAMILY, SentenceEncoder

SHIPPED = "masked"


@lru_cache(maxsize=2)
def encoder_named(name: str) -> Encoder:
    """The encoder of a recipe ("masked", "sentence-transformers:MODEL") or of a snapshot; loaded once a process.

    Raises UsageError where this version has no such encoder, or its package or model is missing.
    """
    if name in (SHIPPED, default_encoder().name):
        return default_encoder()
    family, _, model = name.partition(":")
    if family == FAMILY and model:
        return SentenceEncoder(model)
    raise UsageError(
        f"this version of lifelong has no encoder {name!r}: `lifelong rebuild` embeds the anchors again with"
        " the recipe's own"
    )
