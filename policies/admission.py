"""Admission: whether a fact may be applied, on what is known of its signatures and of who approved or rejected it.

Nothing is checked here but what follows from the rules: that a signature is genuine is found out elsewhere and comes
as a yes or no. A fact that is not admitted is held, with a code and a reason; it may be admitted later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

ANYONE = "*"

REASONS = {
    "altered": "its words are not the ones its event committed to",
    "copied": "its event is a copy of an earlier fact's",
    "unsigned": "it is not signed",
    "wrongly-signed": "its signature is not over this fact in this workspace",
    "replayed": "its signature was used before",
    "untrusted": "no trusted key that may sign for its author has signed it",
    "expired": "its signature has expired",
    "rejected": "it was rejected",
    "not-approved": "nobody has approved it",
    "approved-by-author": "only its author has approved it",
    "approval-unsigned": "its approval is not signed",
    "approval-wrongly-signed": "its approval's signature is not over this fact in this workspace",
    "approval-replayed": "its approval was used before",
    "approval-untrusted": "no trusted key that may sign for its approver has signed the approval",
    "approval-expired": "its approval has expired",
    "source-paused": "its source is paused",
}


@dataclass(frozen=True)
class Rules:
    """What is asked of a fact. `trusted` has, by public key, the names that the key may sign for (`*`: anyone's)."""

    signature: bool = False
    approval: bool = False
    trusted: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def may_sign(self, key: str, name: str) -> bool:
        """Whether a key may sign for a name."""
        names = self.trusted.get(key, frozenset())
        return name in names or ANYONE in names


@dataclass(frozen=True)
class Signed:
    """A signature as it was found: `genuine` if it is over exactly this fact or approval, in this workspace."""

    key: str
    genuine: bool
    replayed: bool
    expires: datetime


@dataclass(frozen=True)
class Decision:
    """An approval, or a rejection, and who made it."""

    approves: bool
    actor: str
    signed: Signed | None = None


@dataclass(frozen=True)
class Case:
    """What is known of one fact. `author` is whom it is from, `actor` who put it in; decisions are in log order.

    `authentic` is False where its words are not those its event committed to, `copied` True where another fact before
    it has the same commitment.
    """

    author: str
    actor: str
    signatures: tuple[Signed, ...] = ()
    decisions: tuple[Decision, ...] = ()
    authentic: bool = True
    copied: bool = False


@dataclass(frozen=True)
class Hold:
    """Why a fact is not applied yet: a code, and what only these words can say of it."""

    code: str
    words: str = ""

    @property
    def reason(self) -> str:
        """The code in words."""
        return self.words or REASONS[self.code]


def admit(case: Case, rules: Rules, at: datetime) -> Hold | None:
    """None if the fact may be applied at the moment `at`, else why not; the first rule that is broken counts."""
    code = _forgery(case, rules) or _unsigned(case, rules, at) or _undecided(case, rules, at)
    return Hold(code) if code else None


def _forgery(case: Case, rules: Rules) -> str | None:
    if not (rules.signature or rules.approval):
        return None
    return "copied" if case.copied else None if case.authentic else "altered"


def _unsigned(case: Case, rules: Rules, at: datetime) -> str | None:
    if not rules.signature:
        return None
    problems = [_problem(signed, case.author, rules, at) for signed in case.signatures]
    return _best(problems, "unsigned")


def _undecided(case: Case, rules: Rules, at: datetime) -> str | None:
    """The last decision counts; an approval that does not hold is none, a rejection always is one."""
    rejected = approved = False
    problems = []
    for decision in case.decisions:
        problem = _objection(decision, case, rules, at) if decision.approves else None
        if problem:
            problems.append(problem)
        else:
            approved, rejected = decision.approves, not decision.approves
    if rejected:
        return "rejected"
    return _best(problems, "not-approved") if rules.approval and not approved else None


def _objection(decision: Decision, case: Case, rules: Rules, at: datetime) -> str | None:
    """What is wrong with an approval; None where it holds."""
    own_keys = {signed.key for signed in case.signatures if signed.genuine}
    if decision.actor in (case.author, case.actor) or (decision.signed and decision.signed.key in own_keys):
        return "approved-by-author"
    if decision.signed is None:
        return "approval-unsigned" if rules.signature else None
    problem = _problem(decision.signed, decision.actor, rules, at)
    return problem and f"approval-{problem}"


def _problem(signed: Signed, name: str, rules: Rules, at: datetime) -> str | None:
    if not signed.genuine:
        return "wrongly-signed"
    if signed.replayed:
        return "replayed"
    if not rules.may_sign(signed.key, name):
        return "untrusted"
    return None if at < signed.expires else "expired"


def _best(problems: Iterable[str | None], none: str) -> str | None:
    """None if one of several holds, else the latest one's problem; `none` where there are none."""
    last: str | None = none
    for last in problems:
        if last is None:
            return None
    return last
