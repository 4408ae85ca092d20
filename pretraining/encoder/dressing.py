"""Words around a wording that change nothing of what it asks: politeness, dates, places, other people's names.

People write "Since 2020, [X] is led by" and "Do you know who leads [X]?"; an encoder that was shown such
dress on one side of a pair learns to look through it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

BEFORE = (
    "As of {y}, ",
    "Since {y}, ",
    "In {y}, ",
    "Currently, ",
    "Today, ",
    "Nowadays ",
    "Now ",
    "Tell me, ",
    "Please tell me: ",
    "Do you know ",
    "Can you tell me ",
    "I would like to know ",
    "Quick question: ",
    "Question: ",
    "Q: ",
    "Hey, ",
    "Remind me, ",
    "According to {n}, ",
    "It is known that ",
    "As everyone knows, ",
    "Fact: ",
    "In {n}, ",
)
AFTER = (
    " now",
    " today",
    " currently",
    " these days",
    " as of {y}",
    " in {y}",
    " since {y}",
    ", exactly",
    ", please",
    ", do you know",
    " again",
    " according to {n}",
    " in {n}",
    " at {n}",
    " within {n}",
    " of {n}",
)
YEARS = range(1900, 2031)


def dressed(text: str, names: Sequence[str], draw: random.Random) -> str:
    """`text` with one phrase before it or after it; `names` are any proper names. A question keeps its mark."""
    form = draw.choice(BEFORE + AFTER)
    phrase = form.format(y=draw.choice(YEARS), n=draw.choice(names))
    if form in BEFORE:
        return phrase + text
    mark = text[-1:] if text[-1:] in "?." else ""
    return text.removesuffix(mark) + phrase + mark
