"""Whatever order people act in: the log agrees with a plain list, and the same facts count once."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from editlog.fact import Fact
from editlog.judgement import Put, judge
from editlog.store import EditLog

FACTS = [Fact(prompt=f"Key {key} is", target=f"target {target}") for key in range(3) for target in range(3)]
ACTIONS = st.lists(
    st.one_of(
        st.lists(st.sampled_from(FACTS), min_size=1, max_size=4),
        st.integers(min_value=0, max_value=8),
    ),
    max_size=8,
)


@contextmanager
def _copy(empty_log: Path) -> Iterator[EditLog]:
    """A fresh log for each example, where a fixture would serve all examples with one."""
    with tempfile.TemporaryDirectory() as directory:
        yield EditLog(shutil.copytree(empty_log, Path(directory) / "log"))


@settings(max_examples=8, deadline=None)
@given(actions=ACTIONS)
def test_the_latest_unretracted_put_of_a_key_governs(empty_log: Path, actions: list[list[Fact] | int]) -> None:
    puts: list[tuple[Fact, bool]] = []  # the model: every put in order, and whether it is retracted

    def governing(key: str) -> Fact | None:
        return next((fact for fact, gone in reversed(puts) if fact.key == key and not gone), None)

    with _copy(empty_log) as log:
        for action in actions:
            if isinstance(action, int):
                if action < len(puts) and not puts[action][1]:
                    log.retract([log.facts()[action].ref], actor="bob", reason="wrong")
                    puts[action] = (puts[action][0], True)
                continue
            log.ingest(action, actor="ada", reassert=True)
            for fact in action:
                if governing(fact.key) != fact:
                    puts.append((fact, False))
        logged = log.facts()
        assert [fact.fact for fact in logged] == [fact for fact, _ in puts]
        expected = {fact.key: governing(fact.key) for fact in FACTS if governing(fact.key)}
        assert {fact.fact.key: fact.fact for fact in logged if fact.governs} == expected
        assert log.verify() == []


@settings(max_examples=5, deadline=None)
@given(data=st.data(), facts=st.lists(st.sampled_from(FACTS), min_size=1, max_size=9))
def test_the_same_facts_shuffled_and_split_and_again_count_once(
    empty_log: Path, data: st.DataObject, facts: list[Fact]
) -> None:
    with _copy(empty_log) as log:
        for _ in range(2):
            shuffled = data.draw(st.permutations(facts))
            cut = data.draw(st.integers(0, len(facts)))
            for part in (shuffled[:cut], shuffled[cut:]):
                log.ingest(part, actor="ada")
        assert sorted(fact.fact.digest for fact in log.facts()) == sorted({fact.digest for fact in facts})


@given(deliveries=st.lists(st.sampled_from("abc"), max_size=30), retractions=st.sets(st.integers(1, 30)))
def test_without_reassertion_nothing_older_ever_takes_a_key_back(deliveries: list[str], retractions: set[int]) -> None:
    """One key, three ways to answer it, delivered over and over; some puts are retracted as they come."""
    puts: list[Put] = []
    retracted: set[int] = set()
    for digest in (letter.encode() for letter in deliveries):
        before = [put for put in puts if put.seq not in retracted]
        judgement = judge(puts, digest, retracted=retracted, redelivered=lambda seq: False, reassert=False)
        if judgement.verdict == "accepted":
            assert not any(put.digest == digest for put in before)
            assert judgement.supersedes == (before[-1].seq if before else None)
            puts.append(Put(len(puts) + 1, digest))
            retracted |= {puts[-1].seq} & retractions
        else:
            assert (judgement.verdict == "duplicate") == (bool(before) and before[-1].digest == digest)
