"""A gate on disk: `anchors.safetensors` (vectors, fp16) and `anchors.json` (all else), equal bytes for equal
gates.

Facts of one relation are worded alike once their subjects are masked, so each distinct vector is stored once:
`vectors` [distinct, dim], of which `rows` [anchors] says which one an anchor has. What is read back is checked before
it is used: sizes, numbers, times and the encoder's fingerprint.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from editlog.canonical import canonical_json
from editlog.errors import IntegrityError
from lifelong.anchors.encoder import Encoder, Vectors
from lifelong.anchors.encoders import encoder_named
from lifelong.anchors.scope import Scope
from lifelong.files import write_atomically
from policies.calibration import LocalityBudget
from policies.routing import KINDS, Verifier

VECTORS = "anchors.safetensors"
CONTENTS = "anchors.json"
FORMAT = 3


@dataclass(frozen=True)
class Contents:
    """Everything of a gate but its vectors."""

    encoder: str
    fingerprint: str
    dim: int
    budget: LocalityBudget
    verifier: Verifier
    thresholds: Mapping[str, float]
    scopes: Sequence[Scope]


def embed(texts: Sequence[str], encoder: Encoder) -> Vectors:
    """Vectors [n, dim] of masked texts, rounded to what is stored; each distinct text is embedded once."""
    row = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    distinct = encoder.encode(list(row)).astype(np.float16).astype(np.float32)
    return distinct[[row[text] for text in texts]] if texts else np.zeros((0, encoder.dim), dtype=np.float32)


def write(directory: Path, vectors: Vectors, contents: Contents) -> None:
    """Write both files, each whole or not at all."""
    record = {
        "format": FORMAT,
        "encoder": {"name": contents.encoder, "fingerprint": contents.fingerprint, "dim": contents.dim},
        "budget": asdict(contents.budget),
        "verifier": contents.verifier.record(),
        # JSON has no infinity: null is a threshold that nothing but an exact wording passes
        "thresholds": {k: v if math.isfinite(v) else None for k, v in contents.thresholds.items()},
        "scopes": [_scope_record(scope) for scope in contents.scopes],
    }
    write_atomically(directory / VECTORS, save_tensors(_distinct(vectors.astype(np.float16))))
    write_atomically(directory / CONTENTS, canonical_json(record))


def read(directory: Path, encoder: Encoder | None = None) -> tuple[Vectors, Contents, Encoder]:
    """Read both files, and the encoder they name where none is given.

    Raises IntegrityError where they are missing, damaged or made by another encoder.
    """
    try:
        record = json.loads((directory / CONTENTS).read_bytes())
        contents = _contents(record)
        tensors = load_tensors((directory / VECTORS).read_bytes())
        distinct, rows = tensors["vectors"], tensors["rows"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise IntegrityError(f"the anchors in {directory} cannot be read ({error}); run `lifelong rebuild`") from error
    encoder = encoder or encoder_named(contents.encoder)
    if contents.fingerprint != encoder.fingerprint:
        raise IntegrityError(
            f"the anchors in {directory} were embedded by {_other(contents.encoder, encoder)}, not by {encoder.name}: "
            "run `lifelong rebuild` to embed them again"
        )
    anchors = sum(len(scope.wordings) + len(scope.alike) for scope in contents.scopes)
    fits = distinct.dtype == np.float16 and distinct.ndim == 2 and distinct.shape[1] == encoder.dim
    named = rows.dtype == np.int32 and rows.shape == (anchors,) and bool(((rows >= 0) & (rows < len(distinct))).all())
    if not fits or not named or not np.isfinite(distinct).all():
        raise IntegrityError(
            f"the anchor vectors in {directory} are not {anchors} finite rows of {encoder.dim} halves; "
            "run `lifelong rebuild`"
        )
    return distinct.astype(np.float32)[rows], contents, encoder


def _distinct(vectors: NDArray[np.float16]) -> dict[str, NDArray[Any]]:
    """Each vector once, in the order of their first anchors, and the row of each anchor among them."""
    rows: dict[bytes, int] = {}
    of_anchor = np.array([rows.setdefault(vector.tobytes(), len(rows)) for vector in vectors], dtype=np.int32)
    _, first = np.unique(of_anchor, return_index=True)
    return {"vectors": vectors[first], "rows": of_anchor}


def _other(name: str, encoder: Encoder) -> str:
    return f"an earlier {name}" if name == encoder.name else name


def _scope_record(scope: Scope) -> dict[str, Any]:
    record = {
        "seq": scope.seq,
        "negative": scope.negative,
        "near_miss": scope.near_miss,
        "name": list(scope.name),
        "wordings": list(scope.wordings),
        "relation": scope.relation,
        "valid_from": scope.valid_from and scope.valid_from.isoformat(),
        "valid_to": scope.valid_to and scope.valid_to.isoformat(),
        "alike": list(scope.alike),
    }
    return {key: value for key, value in record.items() if value}


def _contents(record: Mapping[str, Any]) -> Contents:
    if record["format"] != FORMAT:
        raise ValueError(f"format {record['format']!r} is not {FORMAT}")
    thresholds = {kind: record["thresholds"][kind] for kind in KINDS}
    return Contents(
        str(record["encoder"]["name"]),
        str(record["encoder"]["fingerprint"]),
        int(record["encoder"]["dim"]),
        LocalityBudget(**record["budget"]),
        Verifier.read(record["verifier"]),
        {kind: math.inf if value is None else _finite(value) for kind, value in thresholds.items()},
        tuple(_scope(item) for item in record["scopes"]),
    )


def _scope(record: Mapping[str, Any]) -> Scope:
    seq, wordings = record.get("seq", 0), tuple(record["wordings"])
    if not isinstance(seq, int) or seq < 0 or not wordings or not all(isinstance(text, str) for text in wordings):
        raise ValueError(f"scope {seq!r} has no valid seq and wordings")
    return Scope(
        seq,
        bool(record.get("negative", False)),
        tuple(str(word) for word in record.get("name", ())),
        wordings,
        record.get("relation"),
        bool(record.get("near_miss", False)),
        _moment(record.get("valid_from")),
        _moment(record.get("valid_to")),
        tuple(str(text) for text in record.get("alike", ())),
    )


def _moment(text: str | None) -> datetime | None:
    moment = datetime.fromisoformat(text) if text else None
    if moment and moment.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return moment


def _finite(value: Any) -> float:
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"threshold {value!r} is not a finite number")
    return float(value)
