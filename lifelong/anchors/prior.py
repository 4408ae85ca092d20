"""What the gate knows before it has seen a log: a verifier of evidence and the tails of negatives, fitted per
encoder.

`data/gate.json` is written by `pretraining/encoder/fit_gate.py` from tuning data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lifelong.anchors.encoder import Encoder
from policies.calibration import Tail
from policies.routing import KINDS, Verifier

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Prior:
    """Verifier of the evidence and, by kind of evidence, the best scores that out-of-scope prompts of the
    tuning data reach."""

    verifier: Verifier
    tails: Mapping[str, Tail]

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Prior:
        """A prior from plain data; raises ValueError where it is malformed."""
        tails = {kind: Tail(int(record["tails"][kind]["count"]), tuple(record["tails"][kind]["top"])) for kind in KINDS}
        return cls(Verifier.read(record["verifier"]), tails)

    def record(self) -> dict[str, Any]:
        """The prior as plain data."""
        tails = {kind: {"count": tail.count, "top": list(tail.top)} for kind, tail in self.tails.items()}
        return {"verifier": self.verifier.record(), "tails": tails}


@lru_cache(maxsize=1)
def _shipped() -> dict[str, Prior]:
    records = json.loads((DATA / "gate.json").read_text("utf-8"))
    return {name: Prior.read(record) for name, record in records.items()}


def prior_for(encoder: Encoder) -> Prior:
    """The prior fitted for this encoder, or for its family; for one we have never seen, the lexical encoder's."""
    priors = _shipped()
    return priors.get(encoder.name) or priors.get(encoder.name.partition(":")[0]) or priors["lexical-1"]
