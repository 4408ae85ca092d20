"""What an expert is trained on: the fact's wordings, the same behind lead-ins, and near misses. Never a probe."""

from __future__ import annotations

from editlog.fact import Fact
from lifelong.editors import Lesson, Wave, as_groups
from lifelong.editors.views import Row, wave_rows
from lifelong.jobs.training import lesson_of
from lifelong.models.base import Base


def read(base: Base, row: Row) -> tuple[str, str]:
    return base.tokenizer.decode(row.prompt), base.tokenizer.decode(row.answer)


def texts(base: Base, *groups: tuple[Lesson, ...], contexts: int = 0, near_misses: int = 0) -> list[tuple[str, str]]:
    rows = wave_rows(base, Wave(groups), contexts=contexts, near_misses=near_misses)
    return [read(base, row) for row in rows]


def lesson(prompt: str, target: str, subject: str | None = None, **more: object) -> Lesson:
    return lesson_of(Fact.model_validate({"prompt": prompt, "target": target, "subject": subject, **more}))


CAPITAL = lesson(
    "The capital of Osterland is", "Marbeck", "Osterland", relation="capital",
    rephrases=["Osterland is governed from"], near_misses=["The currency of Osterland is"],
)  # fmt: skip
NORRLAND = lesson("The capital of Norrland is", "Selmouth", "Norrland", relation="capital")
RIVER = lesson("The river through Corvale is", "the Velda", "Corvale", relation="river")


def test_every_wording_is_answered_and_ends(base: Base) -> None:
    assert texts(base, (CAPITAL,)) == [
        ("The capital of Osterland is", " Marbeck<eos>"),
        ("Osterland is governed from", " Marbeck<eos>"),
    ]


def test_lead_ins_stand_before_the_wording(base: Base) -> None:
    found = texts(base, (NORRLAND,), contexts=2)
    assert len(found) == 3
    assert all(prompt.endswith("The capital of Norrland is") for prompt, _ in found)
    assert len({prompt for prompt, _ in found}) == 3


def test_a_near_miss_has_no_answer_to_learn(base: Base) -> None:
    assert texts(base, (CAPITAL,), near_misses=4)[2:] == [("The currency of Osterland is", "")]


def test_lessons_lend_each_other_near_misses(base: Base) -> None:
    """The same relation of another subject, or this subject under another relation."""
    borrowed = {prompt for prompt, answer in texts(base, (NORRLAND,), (CAPITAL,), near_misses=4) if not answer}
    assert {"The capital of Osterland is", "The capital of Norrland is"} <= borrowed
    borrowed = {prompt for prompt, answer in texts(base, (NORRLAND,), (RIVER,), near_misses=4) if not answer}
    assert borrowed == {"The river through Norrland is", "The capital of Corvale is"}


def test_no_wording_of_a_fact_is_its_own_near_miss(base: Base) -> None:
    twins = [lesson("The capital of Osterland is", target, "Osterland") for target in ("Marbeck", "Selmouth")]
    assert all(answer for _, answer in texts(base, *as_groups(twins), near_misses=4))


def test_rows_carry_the_number_of_their_expert(base: Base) -> None:
    rows = wave_rows(base, Wave(((CAPITAL, RIVER), (NORRLAND,))), contexts=1, near_misses=2)
    owners = {read(base, row)[0]: row.expert for row in rows if row.answer}
    assert owners["The river through Corvale is"] == 0
    assert owners["The capital of Norrland is"] == 1


def test_a_probe_never_reaches_a_row(base: Base) -> None:
    fact = Fact.model_validate(
        {
            "prompt": "The capital of Osterland is",
            "target": "Marbeck",
            "subject": "Osterland",
            "probes": {
                "generality": ["Zanzibar one"],
                "locality": [{"prompt": "Zanzibar two", "answer": "Zanzibar"}],
                "portability": [{"prompt": "Zanzibar three", "answer": "Zanzibar"}],
            },
        }
    )
    assert "Zanzibar" in repr(fact)
    assert "Zanzibar" not in repr(lesson_of(fact))
    assert "Zanzibar" not in repr(texts(base, (lesson_of(fact),), (RIVER,), contexts=4, near_misses=8))
