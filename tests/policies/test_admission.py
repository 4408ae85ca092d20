"""Admission, told with plain data: who must have said yes, and what does not count as a yes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from policies.admission import Case, Decision, Hold, Rules, Signed, admit

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ADA, BOB, EVE = "ed25519:ada", "ed25519:bob", "ed25519:eve"
TRUSTED = {ADA: frozenset({"ada"}), BOB: frozenset({"bob"})}
SIGNATURE = Rules(signature=True, trusted=TRUSTED)
APPROVAL = Rules(approval=True, trusted=TRUSTED)
BOTH = Rules(signature=True, approval=True, trusted=TRUSTED)


def signed(key: str = ADA, **changes: Any) -> Signed:
    return replace(Signed(key, genuine=True, replayed=False, expires=NOW + timedelta(days=1)), **changes)


def case(*signatures: Signed, decisions: tuple[Decision, ...] = (), **more: Any) -> Case:
    return Case(**{"author": "ada", "actor": "ada", "signatures": signatures, "decisions": decisions, **more})


YES, NO = Decision(True, "bob"), Decision(False, "carl")
SIGNED_YES = Decision(True, "bob", signed(BOB))


@pytest.mark.parametrize(
    ("rules", "given", "code"),
    [
        (Rules(), case(), None),
        (Rules(), case(decisions=(NO,)), "rejected"),
        (Rules(), case(decisions=(NO, YES)), None),
        (Rules(), case(decisions=(NO, Decision(True, "ada"))), "rejected"),
        (Rules(), case(authentic=False), None),
        (SIGNATURE, case(), "unsigned"),
        (SIGNATURE, case(signed()), None),
        (SIGNATURE, case(signed(), authentic=False), "altered"),
        (SIGNATURE, case(signed(), copied=True), "copied"),
        (SIGNATURE, case(signed(genuine=False)), "wrongly-signed"),
        (SIGNATURE, case(signed(replayed=True)), "replayed"),
        (SIGNATURE, case(signed(EVE)), "untrusted"),
        (SIGNATURE, case(signed(BOB)), "untrusted"),
        (SIGNATURE, case(signed(expires=NOW)), "expired"),
        (SIGNATURE, case(signed(genuine=False), signed()), None),
        (SIGNATURE, case(signed(BOB), author="bob"), None),
        (APPROVAL, case(), "not-approved"),
        (APPROVAL, case(decisions=(YES,)), None),
        (APPROVAL, case(decisions=(YES, NO)), "rejected"),
        (APPROVAL, case(decisions=(NO, YES)), None),
        (APPROVAL, case(decisions=(Decision(True, "ada"),)), "approved-by-author"),
        (APPROVAL, case(decisions=(YES,), actor="bob"), "approved-by-author"),
        (APPROVAL, case(decisions=(Decision(True, "bob", signed(BOB, genuine=False)),)), "approval-wrongly-signed"),
        (BOTH, case(signed()), "not-approved"),
        (BOTH, case(decisions=(SIGNED_YES,)), "unsigned"),
        (BOTH, case(signed(), decisions=(YES,)), "approval-unsigned"),
        (BOTH, case(signed(), decisions=(SIGNED_YES,)), None),
        (BOTH, case(signed(), decisions=(Decision(True, "bob", signed(ADA)),)), "approved-by-author"),
        (BOTH, case(signed(), decisions=(Decision(True, "bob", signed(EVE)),)), "approval-untrusted"),
        (BOTH, case(signed(), decisions=(Decision(True, "carl", signed(BOB)),)), "approval-untrusted"),
        (BOTH, case(signed(), decisions=(Decision(True, "bob", signed(BOB, replayed=True)),)), "approval-replayed"),
        (BOTH, case(signed(), decisions=(Decision(True, "bob", signed(BOB, expires=NOW)),)), "approval-expired"),
        (BOTH, case(signed(), decisions=(SIGNED_YES, NO, YES)), "rejected"),
    ],
)
def test_rules(rules: Rules, given: Case, code: str | None) -> None:
    hold = admit(given, rules, NOW)
    assert (hold and hold.code) == code
    assert hold is None or hold.reason


def test_a_key_may_be_trusted_with_every_name() -> None:
    assert admit(case(signed(EVE)), Rules(signature=True, trusted={EVE: frozenset({"*"})}), NOW) is None


def test_every_hold_says_why() -> None:
    with pytest.raises(KeyError):
        _ = Hold("because").reason
