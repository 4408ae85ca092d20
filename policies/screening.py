"""Screening: what is odd about facts that wait, seen from their words and from what else the log holds.

Under `admission = "order"` log order decides, and what is found here is only reported; under `admission = "hold"` it
keeps a fact back until someone approves or rejects it. All texts come folded (one form of each letter, no case).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from policies.admission import Hold

FLOOD_LEAST = 20
FLOOD_FACTOR = 5
SIMILAR = 0.75

_WORD = re.compile(r"\w+")
_ARTICLES = frozenset({"a", "an", "the"})
_INSTRUCTION = re.compile(
    r"\b(ignore|disregard|forget)\b.{0,40}\b(previous|prior|above|earlier|all|your)\b.{0,40}\b(instruction|prompt|rule|order)"
    r"|\byou (are now|must now|must always|should always)\b|\b(system|developer) (prompt|message)\b"
    r"|<\|?\s*/?(im_start|im_end|system|assistant|user|endoftext)\b|^\s*(system|assistant|user)\s*:|\[/?inst\]"
    r"|\b(act|respond|reply) as (if|an?)\b|\bdo not (tell|reveal|mention)\b|###\s*(instruction|system)"
)
_SECRET = re.compile(
    r"-----begin [a-z ]*private key|\bakia[0-9a-z]{16}\b|\bgh[pousr]_[0-9a-z]{20,}|\bxox[abprs]-[0-9a-z-]{10,}"
    r"|\bsk-[0-9a-z_-]{16,}|\beyj[0-9a-z_-]{10,}\.[0-9a-z_-]{10,}\."
    r"|\b(password|passwd|api[_ -]?key|secret|access token)\b\s*(is|[:=])\s*\S{4,}|\b[0-9a-f]{40,}\b"
)


@dataclass(frozen=True)
class Claim:
    """What screening sees of a fact. `wordings` begin with the prompt; `night` is the job that dealt with it, if any.

    `live` is False for one that another has taken the place of: it counts for what its source did, and says nothing.
    """

    seq: int
    key: str
    wordings: tuple[str, ...]
    target: str
    subject: str | None
    source: str | None
    author: str
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    night: str | None = None
    live: bool = True

    def same_voice(self, other: Claim) -> bool:
        """Whether both come from one source, or from one author where neither names a source: then one may change."""
        return self.source == other.source and (self.source is not None or self.author == other.author)

    def disagrees(self, other: Claim) -> bool:
        """Whether both cannot hold: another target, at a time that both claim."""
        apart = (self.valid_to and other.valid_from and self.valid_to <= other.valid_from) or (
            other.valid_to and self.valid_from and other.valid_to <= self.valid_from
        )
        return self.target != other.target and not apart


def screen(waiting: Sequence[Claim], known: Sequence[Claim]) -> dict[int, Hold]:
    """The first thing that is odd about each of the facts that wait, by number; `known` are those applied so far."""
    floods = _floods(waiting, known)
    by_key, by_bag, by_subject = _indexes([claim for claim in (*known, *waiting) if claim.live])
    found: dict[int, Hold] = {}
    for claim in waiting:
        hold = _target(claim) or floods.get(claim.seq) or _contradiction(claim, by_key[claim.key])
        hold = hold or _near_duplicate(claim, by_bag, by_subject)
        if hold:
            found[claim.seq] = hold
    return found


def _target(claim: Claim) -> Hold | None:
    if _INSTRUCTION.search(claim.target):
        return Hold("instruction", "its target looks like an instruction to the model")
    if _SECRET.search(claim.target):
        return Hold("secret", "its target looks like a secret")
    return None


def _contradiction(claim: Claim, of_key: Iterable[Claim]) -> Hold | None:
    others = [other for other in of_key if other.disagrees(claim) and not other.same_voice(claim)]
    return Hold("contradiction", f"it contradicts {_names(others)}, which somebody else said") if others else None


def _near_duplicate(
    claim: Claim, by_bag: Mapping[frozenset[str], list[Claim]], by_subject: Mapping[str, list[Claim]]
) -> Hold | None:
    close = [other for wording in claim.wordings for other in by_bag[_bag(wording)]]
    if claim.subject:
        mine = _bag(claim.wordings[0])
        close += [other for other in by_subject[claim.subject] if _overlap(mine, _bag(other.wordings[0])) >= SIMILAR]
    others = [other for other in close if other.key != claim.key and other.disagrees(claim)]
    return (
        Hold("near-duplicate", f"it words nearly the same as {_names(others)}, with another target") if others else None
    )


def _floods(waiting: Sequence[Claim], known: Sequence[Claim]) -> dict[int, Hold]:
    """Facts of sources that change far more governed keys at once than in any night of theirs before."""
    changing = _changing(sorted((*known, *waiting), key=lambda claim: claim.seq))
    nights: dict[str, Counter[str]] = defaultdict(Counter)
    for claim in known:
        if claim.source is not None and claim.night is not None:
            nights[claim.source][claim.night] += claim.seq in changing
    tonight = Counter(claim.source for claim in waiting if claim.seq in changing and claim.source in nights)
    found = {}
    for claim in waiting:
        if claim.source in nights and claim.seq in changing:
            most = max(nights[claim.source].values())
            if tonight[claim.source] > max(FLOOD_LEAST, FLOOD_FACTOR * most):
                words = f"its source changes {tonight[claim.source]} governed keys at once; the most so far was {most}"
                found[claim.seq] = Hold("flood", words)
    return found


def _changing(in_log_order: Iterable[Claim]) -> set[int]:
    """The facts that give another target to a key that was governed already."""
    governing: dict[str, str] = {}
    changing = set()
    for claim in in_log_order:
        if governing.get(claim.key, claim.target) != claim.target:
            changing.add(claim.seq)
        governing[claim.key] = claim.target
    return changing


def _indexes(
    claims: Iterable[Claim],
) -> tuple[dict[str, list[Claim]], dict[frozenset[str], list[Claim]], dict[str, list[Claim]]]:
    by_key: dict[str, list[Claim]] = defaultdict(list)
    by_bag: dict[frozenset[str], list[Claim]] = defaultdict(list)
    by_subject: dict[str, list[Claim]] = defaultdict(list)
    for claim in claims:
        by_key[claim.key].append(claim)
        for wording in claim.wordings:
            by_bag[_bag(wording)].append(claim)
        if claim.subject:
            by_subject[claim.subject].append(claim)
    return by_key, by_bag, by_subject


def _bag(wording: str) -> frozenset[str]:
    return frozenset(_WORD.findall(wording)) - _ARTICLES


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one | other else 0.0


def _names(claims: Sequence[Claim]) -> str:
    seqs = sorted({claim.seq for claim in claims})
    more = f" and {len(seqs) - 3} more" if len(seqs) > 3 else ""
    return ", ".join(f"f{seq}" for seq in seqs[:3]) + more
