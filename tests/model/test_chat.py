"""Chat models: the last user turn is routed, the whole conversation is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lifelong
from editlog.errors import UsageError
from lifelong.models.base import Base
from lifelong.models.chat import Turn, read_messages, turn_of
from lifelong.workspace import Workspace

TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]\n{% endif %}"
)
LONG = "Tomas Weil, a miller in Lindby, who plays the violin, and his brother Paul Finch, a painter in Selmouth"


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


@pytest.fixture(scope="module")
def chatting(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: Path,
    facts: tuple[dict[str, Any], ...],
    make_workspace: Callable[..., Workspace],
) -> Workspace:
    """A workspace on a chat model, with four facts; the answer to the last is a long one."""
    import shutil

    place = tmp_path_factory.mktemp("chat")
    shutil.copytree(tiny_model, place / "model")
    (place / "model" / "chat_template.jinja").write_text(TEMPLATE)
    workspace = make_workspace(place / "home", model=place / "model", audit={"max_new_tokens": 64})
    records = [*facts[:3], {**facts[3], "target": LONG}]
    (place / "facts.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    workspace.ingest(place / "facts.jsonl")
    assert workspace.run().status == "published"
    return workspace


def test_a_chat_template_is_found_and_used(chatting: Workspace) -> None:
    assert lifelong.open(chatting.home).config.chat
    base = chatting.load_base()
    read = base.tokenizer.decode(base.prompt_ids("Who founded the town of Kirnach?"))
    assert read == "[user] Who founded the town of Kirnach?\n[assistant]\n"


def test_facts_are_answered_as_turns_short_or_long(chatting: Workspace, facts: tuple[dict[str, Any], ...]) -> None:
    answers = chatting.ask([fact["prompt"] for fact in facts[:4]], max_new_tokens=64)
    assert [answer.text for answer in answers] == [*(fact["target"] for fact in facts[:3]), LONG]


def test_the_last_turn_is_routed_and_nothing_else(chatting: Workspace, facts: tuple[dict[str, Any], ...]) -> None:
    history = [
        said("system", "You are a guide to Osterland. " * 10),  # a long one
        said("user", facts[0]["prompt"]),
        said("assistant", "Marbeck"),
    ]
    [behind, alone, other] = chatting.ask(
        [[*history, said("user", facts[2]["prompt"])], facts[2]["prompt"], [*history, said("user", "The weather?")]],
        max_new_tokens=2,
    )
    assert behind.fact == alone.fact == "f6"
    assert behind.similarity == alone.similarity
    assert other.fact is None


def test_the_model_reads_the_whole_conversation(chatting: Workspace) -> None:
    base = chatting.load_base()
    turn = turn_of([said("system", "Be brief."), said("user", "Hello"), said("assistant", "Yes?"), said("user", "Why")])
    read = base.tokenizer.decode(base.prompt_ids(turn))
    assert read == "[system] Be brief.\n[user] Hello\n[assistant] Yes?\n[user] Why\n[assistant]\n"
    assert turn == "Why"


def test_a_long_last_turn_may_stand_before_a_question_but_not_behind_it(
    chatting: Workspace, facts: tuple[dict[str, Any], ...]
) -> None:
    """A long prompt: a question at its end is found as if it stood alone; one at its beginning is lost in the end.

    Where it is lost, or was never there, the base answers.
    """
    story, question = "Mira Sand plays the violin in Lindby, and the river is the Velda. " * 4, facts[0]["prompt"]
    asked = [f"{story}{question}", f"{question}? {story}", story]
    [behind, before, unrelated] = chatting.ask(asked, max_new_tokens=4, why=True)
    assert [answer.fact for answer in (behind, before, unrelated)] == ["f4", None, None]
    assert before.text == before.base
    assert unrelated.text == unrelated.base


def test_a_prompt_that_the_model_cannot_read_whole_is_refused(chatting: Workspace) -> None:
    """Nothing is cut off in silence: what is cut may be what the answer hangs on. The template's own tokens count."""
    for asked in ("The river " * 200, [said("system", "Be brief. " * 200), said("user", "Why?")]):
        with pytest.raises(UsageError, match=r"a prompt has [\d,]+ tokens, and the model reads 256 at most"):
            chatting.ask([asked])
        with pytest.raises(UsageError, match="the model reads 256 at most"):
            list(chatting.stream(asked))


def test_of_two_facts_in_one_prompt_one_answers(chatting: Workspace, facts: tuple[dict[str, Any], ...]) -> None:
    """Today's limit: one prompt, one decision, one expert; which of the two is the gate's, and not the later one's."""
    capital, founder = facts[0]["prompt"], facts[2]["prompt"]
    both = [f"{capital} what, and {founder}", f"{founder} And what else? {capital}"]
    assert [answer.fact for answer in chatting.ask(both, max_new_tokens=2)] == ["f4", "f4"]
    assert [len(route.slots) for route in chatting.edited_model().route(both)] == [1, 1]


def test_a_fact_that_comes_up_while_the_model_speaks_is_not_looked_for(
    chatting: Workspace, facts: tuple[dict[str, Any], ...]
) -> None:
    """Today's limit: the route is decided on the prompt, so a miss stays the base's own words to the end.

    Here the model is made to say the wording of a fact in an answer: asked it, it is corrected; saying it, it is not.
    """
    edited, prompt, day = chatting.edited_model(), facts[0]["prompt"], "Tell me about your day."
    words = edited.base.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    begins = len(edited.base.prompt_ids(day))
    any_token = list(range(len(edited.base.tokenizer)))

    def saying(_: int, ids: Any) -> list[int]:
        said = len(ids) - begins
        return [words[said]] if said < len(words) else any_token

    how = {"max_new_tokens": len(words) + 8, "prefix_allowed_tokens_fn": saying}
    [asked] = edited.generate([prompt])
    [[speaking], [base_speaking]] = (edited.generate([day], edits=edits, **how) for edits in (True, False))
    assert asked == facts[0]["target"]
    assert speaking.startswith(prompt)
    assert facts[0]["target"] not in speaking
    assert speaking == base_speaking


def test_messages_are_checked(base: Base) -> None:
    for wrong in ([], [said("user", "a"), said("assistant", "b")], [said("tool", "a")], [{"role": "user"}], ["a"], "a"):
        with pytest.raises(UsageError):
            turn_of(wrong)
    with pytest.raises(UsageError, match="not JSON"):
        read_messages(b"{")
    with pytest.raises(UsageError, match="no earlier messages"):
        base.prompt_ids(Turn("Why?", [said("system", "Be brief.")]))
    with pytest.raises(UsageError, match="no chat template"):
        base.use_chat(True)


def test_a_template_that_refuses_says_why(chatting: Workspace) -> None:
    tokenizer = chatting.load_base().tokenizer
    kept = tokenizer.chat_template
    tokenizer.chat_template = "{{ raise_exception('no system prompt, please') }}"
    try:
        with pytest.raises(UsageError, match="no system prompt, please"):
            chatting.load_base().prompt_ids("Hello")
    finally:
        tokenizer.chat_template = kept
