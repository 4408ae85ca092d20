"""A probe that reaches training, anchors or calibration stops the run; each is planted here."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from editlog.fact import Fact
from lifelong.anchors.gate import ScopedFact
from lifelong.anchors.scope import scopes_of
from lifelong.evaluation.guard import LeakError, ProbeGuard
from lifelong.evaluation.probes import collect
from lifelong.evaluation.stream import half_of, read_stream


def fact(subject: str, **more) -> Fact:
    return Fact.model_validate({"prompt": f"The capital of {subject} is", "target": "Rome", "subject": subject, **more})


ATLANTIS = fact("Atlantis", probes={"generality": ["Atlantis is ruled from"], "locality": ["The river of Atlantis is"]})
GUARD = ProbeGuard(collect([ATLANTIS]))


def scopes(*facts: ScopedFact) -> SimpleNamespace:
    """As much of a gate as the guard reads."""
    return SimpleNamespace(scopes=[scope for one in facts for scope in scopes_of(one)])


@pytest.mark.parametrize(
    "planted", [{"rephrases": ["atlantis is ruled  from"]}, {"near_misses": ["Atlantis is ruled from"]}]
)
def test_a_probe_among_what_another_record_gives_to_learn_from(planted):
    with pytest.raises(LeakError, match="reached training"):
        GUARD.check_lessons([ATLANTIS, fact("Mu", **planted)])
    GUARD.check_lessons([ATLANTIS, fact("Mu")])


def test_a_probe_that_the_base_is_given_to_read_while_a_job_runs():
    class Reader:
        def prompt_ids(self, prompt: str) -> list[int]:
            return [len(prompt)]

    base = Reader()
    with GUARD.watching(base):
        assert base.prompt_ids("The capital of Atlantis is") == [26]
        with pytest.raises(LeakError, match="'Atlantis is ruled from' of the record 'The capital of Atlantis is'"):
            base.prompt_ids("Atlantis is ruled from")
    assert base.prompt_ids("Atlantis is ruled from") == [22], "outside of the job it may be asked"


def test_a_probe_that_is_an_anchor_of_the_published_gate():
    with pytest.raises(LeakError, match="reached the anchors"):
        GUARD.check_gate(scopes(ScopedFact(1, "Atlantis is ruled from", "Atlantis")))
    GUARD.check_gate(scopes(ScopedFact(1, "The capital of Atlantis is", "Atlantis")))


def test_a_probe_that_calibration_made_of_two_facts():
    others = [
        ScopedFact(seq, f"The river of {name} is", name, "river") for seq, name in enumerate(["Mu", "Oz", "Ys"], 2)
    ]
    made_of = (ScopedFact(1, "The capital of Atlantis is", "Atlantis", "capital"), *others)
    with pytest.raises(LeakError, match=r"'The river of Atlantis is' .* reached calibration"):
        GUARD.check_gate(scopes(*made_of))


def test_a_probe_that_counts_nowhere_may_be_learnt_from():
    governed = fact("Atlantis", probes={"generality": ["The capital of Mu is"]})
    ProbeGuard(collect([governed, fact("Mu")])).check_lessons([governed, fact("Mu")])


def test_the_half_of_a_record_is_told_by_its_prompt_alone(tmp_path):
    path = tmp_path / "facts.jsonl"
    path.write_text("\n".join(fact(name).model_dump_json(exclude_defaults=True) for name in "ABCDEFGH"))
    stream = read_stream(path, edits=6)
    halves = [half_of(one.prompt) for one in stream.facts]
    assert set(halves) == {"test", "tuning"}
    assert [stream.is_scored(one) for one in stream.facts] == [half == "test" for half in halves]
    assert half_of("a") == "tuning", "SHA-256 of 'a' ends in b, which is odd"


def test_a_probe_that_two_facts_would_make_by_chance_is_left_out_of_calibration_while_watched():
    others = [
        ScopedFact(seq, f"The river of {name} is", name, "river") for seq, name in enumerate(["Mu", "Oz", "Ys"], 2)
    ]
    gate = scopes(ScopedFact(1, "The capital of Atlantis is", "Atlantis", "capital"), *others)
    with GUARD.watching(SimpleNamespace(prompt_ids=list)) as left_out:
        GUARD.check_gate(gate)
    assert left_out == {"the river of atlantis is"}


def test_a_probe_that_two_lessons_of_a_wave_would_lend_each_other_is_not_trained_on():
    from lifelong.editors import Lesson, Wave
    from lifelong.editors.views import wave_rows

    base = SimpleNamespace(prompt_ids=lambda prompt: [prompt], answer_ids=lambda _, answer: [answer])
    capital = Lesson("a", "The capital of Atlantis is", "Rome", subject="Atlantis", relation="capital")
    river = Lesson("b", "The river of Mu is", "Styx", subject="Mu", relation="river")
    wave = Wave(((capital,), (river,)))

    def borrowed() -> list[tuple[str, ...]]:
        return [row.prompt for row in wave_rows(base, wave, contexts=0, near_misses=1) if not row.answer]

    assert borrowed() == [("The river of Atlantis is",), ("The capital of Mu is",)]
    with GUARD.watching(base):
        assert borrowed() == [("The capital of Mu is",)]
