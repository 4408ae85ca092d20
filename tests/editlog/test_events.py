"""What may enter the log, and the exact bytes its hashes are over."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest

from editlog.bodies import KINDS
from editlog.canonical import canonical_json
from editlog.errors import UsageError
from editlog.events import Entry, Stamp, body_of, encode, link

MORNING = datetime(2026, 11, 21, 6, 30, tzinfo=UTC)
EXPERT = "sha256:" + "ab" * 32


def test_an_event_is_canonical_json_and_its_hash_follows_from_the_one_before() -> None:
    body = {"experts": [EXPERT]}
    stamp = Stamp(MORNING, "ada", 'said "no"', "job-1")
    event = encode(7, "experts.retired", stamp, canonical_json(body))
    assert event == canonical_json(
        {
            "v": 1,
            "seq": 7,
            "at": "2026-11-21T06:30:00.000000Z",
            "kind": "experts.retired",
            "actor": "ada",
            "reason": 'said "no"',
            "job": "job-1",
            "body": body,
        }
    )
    assert link(bytes(32), event) == hashlib.sha256(b"lifelong/chain/v1\0" + bytes(32) + event).digest()


@pytest.mark.parametrize(
    ("kind", "body", "complaint"),
    [
        ("fact.invented", {}, "no kind of event"),
        ("facts.applied", {"facts": [{"fact": 0, "expert": EXPERT}]}, "facts.0.fact"),
        ("facts.applied", {"facts": [{"fact": 3, "expert": "../../etc"}]}, "facts.0.expert"),
        ("facts.failed", {"facts": [{"fact": 3}]}, "facts.0.reason"),
        ("fact.retracted", {"fact": 3, "because": "I say so"}, "because"),
        ("job.finished", {"loss": float("nan")}, "JSON"),
        ("job.finished", {"when": MORNING}, "JSON"),
        ("job.finished", {"deep": {10: "a", 9: "b"}}, "keys are not all text"),
        ("job.finished", {"note": "x" * (16 * 2**20)}, "split it"),
    ],
)
def test_a_body_that_does_not_fit_its_kind_is_refused(kind: str, body: dict, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        body_of(Entry(kind, body))


@pytest.mark.parametrize("actor", ["", "  ", "a\x00b", "a\x1b[31m", "x" * 257])
def test_an_actor_must_be_a_name(actor: str) -> None:
    with pytest.raises(UsageError, match="actor"):
        Stamp(MORNING, actor)


def test_every_kind_says_what_it_is() -> None:
    assert all(model.__doc__ for model in KINDS.values())
