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
        said("system", "You are a guide to Osterland. " * 20),  # a long one
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


def test_of_two_facts_in_one_prompt_one_answers(chatting: Workspace, facts: tuple[dict[str, Any], ...]) -> None:
    """Today's limit: one prompt, one decision, one expert."""
    [answer] = chatting.ask([f"{facts[0]['prompt']} what, and {facts[2]['prompt']}"], max_new_tokens=2)
    assert answer.fact in {None, "f4", "f6"}
    [route] = chatting.edited_model().route([answer.prompt])
    assert len(route.slots) <= 1


def test_a_fact_that_comes_up_while_the_model_speaks_is_not_looked_for(
    chatting: Workspace, facts: tuple[dict[str, Any], ...]
) -> None:
    """Today's limit: the route is decided on the prompt, so a miss stays the base's own words to the end."""
    [answer] = chatting.ask(["Tell me about your day."], max_new_tokens=24, why=True)
    assert answer.fact is None
    assert answer.text == answer.base


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
