"""Prompts that ask another thing than a prompt does, made by one word: narrowed ("the first president") or opposed.

Records hold few of these, and people ask them; the weights of `narrowed` and `opposed` are fitted on them too.
"""

from __future__ import annotations

import re

from lifelong.anchors.contrast import OPPOSITES
from pretraining.encoder.streams import digest

_NARROWERS = ("first", "former", "second", "next", "vice", "largest", "smallest", "last", "oldest", "deputy", "acting")
_PLACE = re.compile(r"\b([Tt]he) (?=[a-z])")
_WORD = re.compile(r"[A-Za-z]+")


def contrasts_of(prompt: str) -> list[str]:
    """At most one narrowed prompt and one opposed one; the same ones at every run."""
    return [made for made in (_narrowed(prompt), _opposed(prompt)) if made]


def _narrowed(prompt: str) -> str | None:
    word = _NARROWERS[digest(prompt) % len(_NARROWERS)]
    made, count = _PLACE.subn(rf"\1 {word} ", prompt, count=1)
    return made if count else None


def _opposed(prompt: str) -> str | None:
    for found in _WORD.finditer(prompt):
        for group in OPPOSITES:
            if any(found.group().lower() in side for side in group):
                other = min(min(side) for side in group if found.group().lower() not in side)
                return prompt[: found.start()] + other + prompt[found.end() :]
    return None
