"""Two hundred forged signatures and approvals, and none is planned; the honest ones beside them all are.

The forger has the files: events are written as any writer writes them, in order and with fitting hashes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from editlog.endorsement import Signer, approval_statement, fact_statement
from editlog.events import Entry, Stamp, moment
from editlog.fact import Fact
from editlog.session import writing
from editlog.signing import SigningKey
from editlog.store import EditLog, utc_now
from lifelong.jobs.admitting import Terms
from lifelong.jobs.planning import Waiting, waiting
from policies.admission import Rules

EACH = 10  # forgeries of each kind
Body = dict[str, Any]
Forge = Callable[[Body], None]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SigningKey]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: SigningKey.create(folder / f"{name}.key") for name in ("ada", "bob", "eve")}


@pytest.fixture(scope="module")
def rules(keys: dict[str, SigningKey]) -> Rules:
    return Rules(True, True, {keys[name].public: frozenset({name}) for name in ("ada", "bob")})


class Forger:
    """A log by ada and bob, and someone who can write to it as they do, but has not their keys."""

    def __init__(self, directory: Path, keys: dict[str, SigningKey]) -> None:
        self.keys, self.random = keys, Random(4)
        self.log = EditLog.create(directory / "log", actor="ada")
        self.workspace = self.log.head().workspace
        self.other = EditLog.create(directory / "other", actor="ada").head().workspace
        self._numbers = itertools.count()
        self._commitments: dict[int, str] = {}

    def put(self, count: int, *, signed: bool, approved: bool) -> list[int]:
        """Facts by ada, signed and approved as told, honestly."""
        facts = [Fact(prompt=f"The number of door {next(self._numbers)} is", target="seven") for _ in range(count)]
        signer = Signer(self.keys["ada"]) if signed else None
        receipt = self.log.ingest(facts, actor="ada", signer=signer)
        assert receipt.batch
        seqs = list(range(receipt.batch + 1, receipt.batch + 1 + count))
        if approved:
            self.log.approve([f"f{seq}" for seq in seqs], actor="bob", signer=Signer(self.keys["bob"]))
        return seqs

    def append(self, kind: str, bodies: list[Body], actor: str) -> None:
        """Write events as any writer does."""
        with writing(self.log.directory, timeout=10, clock=utc_now) as writer:
            writer.append([Entry(kind, body) for body in bodies], Stamp(writer.now, actor))
            writer.commit()

    def commitment(self, seq: int) -> str:
        if seq not in self._commitments:
            puts = self.log.events(kinds=["fact.put"])
            self._commitments.update((event.seq, event.body["commitment"]) for event in puts)
        return self._commitments[seq]

    def terms(self, key: str, days: float = 30) -> dict[str, str]:
        expires = moment(datetime.now(UTC) + timedelta(days=days))
        return {"key": self.keys[key].public, "expires": expires, "nonce": self.random.randbytes(16).hex()}

    def flip(self, signature: str) -> str:
        """The signature with one bit changed."""
        raw = bytearray.fromhex(signature.removeprefix("ed25519:"))
        raw[self.random.randrange(len(raw))] ^= 1 << self.random.randrange(8)
        return f"ed25519:{raw.hex()}"


def forged_signatures(forger: Forger) -> Iterator[tuple[str, Callable[[int], Body]]]:
    """Kinds of bad signatures over a fact: a name, and the body of a facts.signed event for it."""
    ws = forger.workspace

    def made(said_by: str, *, key: str | None = None, days: float = 30, **over: str) -> Callable[[int], Body]:
        def body(seq: int) -> Body:
            terms = forger.terms(key or said_by, days)
            statement = fact_statement(ws, forger.commitment(seq), **terms) | over
            return {**terms, "facts": [{"fact": seq, "signature": forger.keys[said_by].sign(statement)}]}

        return body

    def changed(change: Callable[[Body], None]) -> Callable[[int], Body]:
        def body(seq: int) -> Body:
            honest = made("ada")(seq)
            change(honest)
            return honest

        return body

    def set_flipped(body: Body) -> None:
        body["facts"][0]["signature"] = forger.flip(body["facts"][0]["signature"])

    def copied(seq: int) -> Body:
        (event, *_) = forger.log.events(kinds=["facts.signed"])
        signature = event.body["facts"][0]["signature"]
        return {**event.body, "facts": [{"fact": seq, "signature": signature}]}

    yield "by-a-stranger", made("eve")
    yield "by-one-who-may-not", made("bob")
    yield "in-anothers-name", made("eve", key="ada")
    yield "for-another-workspace", made("ada", workspace=forger.other)
    yield "for-other-words", made("ada", commitment="hmac-sha256:" + "0" * 64)
    yield "of-another-kind", made("ada", what="approval")
    yield "expired", made("ada", days=-1)
    yield "made-to-last", changed(lambda body: body.update(expires="2999-01-01T00:00:00.000000Z"))
    yield "with-another-nonce", changed(lambda body: body.update(nonce="0" * 32))
    yield "a-bit-off", changed(set_flipped)
    yield "copied-from-another-fact", copied
    yield "nonsense", changed(lambda body: body["facts"][0].update(signature="ed25519:" + "0" * 128))


def forged_approvals(forger: Forger) -> Iterator[tuple[str, str, Callable[[int], Body]]]:
    """Kinds of bad approvals: a name, who is said to approve, and the body of a fact.approved event."""
    ws = forger.workspace

    def made(said_by: str, actor: str, *, key: str | None = None, days: float = 30, **over: Any) -> Any:
        def body(seq: int) -> Body:
            terms = forger.terms(key or said_by, days)
            statement = approval_statement(ws, seq, forger.commitment(seq), actor, **terms) | over
            return {"fact": seq, **terms, "signature": forger.keys[said_by].sign(statement)}

        return body

    def bare(seq: int) -> Body:
        return {"fact": seq, "key": None, "expires": None, "nonce": None, "signature": None}

    def copied(seq: int) -> Body:
        (event, *_) = forger.log.events(kinds=["fact.approved"])
        return {**event.body, "fact": seq}

    yield "unsigned", "bob", bare
    yield "by-the-author", "ada", made("ada", "ada")
    yield "by-the-author-as-another", "bob", made("ada", "bob")
    yield "by-a-stranger", "bob", made("eve", "bob", key="bob")
    yield "in-anothers-name", "carl", made("bob", "carl")
    yield "for-another-workspace", "bob", made("bob", "bob", workspace=forger.other)
    yield "expired", "bob", made("bob", "bob", days=-1)
    yield "copied-from-another-fact", "bob", copied


def planned(forger: Forger, rules: Rules) -> Waiting:
    return waiting(forger.log, forger.log.facts(), Terms(rules))


def test_200_forgeries_are_held_and_every_honest_fact_is_planned(
    tmp_path: Path, keys: dict[str, SigningKey], rules: Rules
) -> None:
    forger = Forger(tmp_path, keys)
    honest = forger.put(5, signed=True, approved=True)
    expected: dict[int, str] = {}
    for name, body in forged_signatures(forger):
        seqs = forger.put(EACH, signed=False, approved=True)
        forger.append("facts.signed", [body(seq) for seq in seqs], "ada")
        expected.update(dict.fromkeys(seqs, name))
    for name, actor, body in forged_approvals(forger):
        seqs = forger.put(EACH, signed=True, approved=False)
        forger.append("fact.approved", [body(seq) for seq in seqs], actor)
        expected.update(dict.fromkeys(seqs, name))
    found = planned(forger, rules)
    assert len(expected) == 200
    assert forger.log.verify() == []  # nothing here shows in the chain
    assert list(found.facts) == honest
    assert set(found.held) == set(expected)
    codes = {(expected[seq], hold.code) for seq, hold in found.held.items()}
    assert {("expired", "expired"), ("expired", "approval-expired"), ("unsigned", "approval-unsigned")} <= codes


def test_an_old_approval_does_not_undo_a_rejection(tmp_path: Path, keys: dict[str, SigningKey], rules: Rules) -> None:
    forger = Forger(tmp_path, keys)
    (seq,) = forger.put(1, signed=True, approved=True)
    forger.log.reject([f"f{seq}"], actor="carl", reason="the register says otherwise")
    assert planned(forger, rules).held[seq].code == "rejected"
    forger.append("fact.approved", [forger.log.events(kinds=["fact.approved"])[0].body], "bob")
    assert planned(forger, rules).held[seq].code == "rejected"
    forger.log.approve([f"f{seq}"], actor="bob", signer=Signer(keys["bob"]))
    assert list(planned(forger, rules).facts) == [seq]


def test_words_changed_behind_the_signature_are_held(tmp_path: Path, keys: dict[str, SigningKey], rules: Rules) -> None:
    forger = Forger(tmp_path, keys)
    (seq,) = forger.put(1, signed=True, approved=True)
    with writing(forger.log.directory, timeout=10, clock=utc_now) as writer:
        writer.con.execute("DROP TRIGGER texts_no_update ON texts")
        writer.con.execute("UPDATE texts SET target = 'eight'")
        writer.con.execute("COMMIT")
    assert planned(forger, rules).held[seq].code == "altered"


def test_a_signature_put_in_after_its_time_is_held(tmp_path: Path, keys: dict[str, SigningKey], rules: Rules) -> None:
    forger = Forger(tmp_path, keys)
    signer = Signer(keys["ada"], timedelta(microseconds=1))
    receipt = forger.log.ingest([Fact(prompt="The number is", target="seven")], actor="ada", signer=signer)
    assert receipt.batch
    forger.log.approve([f"f{receipt.batch + 1}"], actor="bob", signer=Signer(keys["bob"]))
    assert planned(forger, rules).held[receipt.batch + 1].code == "expired"


def test_a_held_fact_does_not_keep_an_older_one_from_being_applied(
    tmp_path: Path, keys: dict[str, SigningKey], rules: Rules
) -> None:
    forger = Forger(tmp_path, keys)
    (seq,) = forger.put(1, signed=True, approved=True)
    forger.log.ingest([Fact(prompt="The number of door 0 is", target="a lie")], actor="eve")
    assert list(planned(forger, rules).facts) == [seq]
