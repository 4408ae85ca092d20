"""Conversations: what of them is routed, and how they reach the model.

What is routed is the text of the last user turn, as it stands: the gate never sees a system prompt, an earlier turn or
the template's own tokens. What the model reads is the whole conversation through its chat template, up to where its
answer begins. A plain prompt is a conversation of one user turn, so facts are trained as they will be asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from editlog.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Messages = Sequence[Mapping[str, str]]

ROLES = frozenset({"system", "user", "assistant"})


class Turn(str):
    """The last user turn of a conversation: the string is what is routed, `before` the messages it follows."""

    before: tuple[Mapping[str, str], ...]

    def __new__(cls, content: str, before: Sequence[Mapping[str, str]] = ()) -> Turn:
        """A turn behind the messages `before`, each with `role` and `content`."""
        turn = super().__new__(cls, content)
        turn.before = tuple(before)
        return turn


def turn_of(messages: Any) -> Turn:
    """Messages (`[{"role": ..., "content": ...}, ...]`, the last one a user's) as the turn that asks for an answer.

    Raises UsageError for anything else.
    """
    if not isinstance(messages, list | tuple) or not messages:
        raise UsageError('a conversation is a list of messages such as {"role": "user", "content": "..."}')
    for number, message in enumerate(messages, start=1):
        well = isinstance(message, Mapping) and set(message) == {"role", "content"}
        if not well or message["role"] not in ROLES or not isinstance(message["content"], str):
            raise UsageError(f"message {number} needs a role ({', '.join(sorted(ROLES))}) and a content of text")
    if messages[-1]["role"] != "user":
        raise UsageError("the last message of a conversation must be the user's: it is what is answered")
    return Turn(messages[-1]["content"], messages[:-1])


def read_messages(content: bytes) -> Turn:
    """A conversation as JSON (see `turn_of`); raises UsageError for anything else."""
    try:
        return turn_of(json.loads(content))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the conversation is not JSON: {ascii(str(error))[1:101]}") from error


def render(tokenizer: PreTrainedTokenizerBase, prompt: str) -> str:
    """A prompt through the chat template, up to where the answer begins.

    Raises UsageError where the template takes no such conversation (some know no system prompt).
    """
    messages = [*(prompt.before if isinstance(prompt, Turn) else ()), {"role": "user", "content": str(prompt)}]
    try:
        rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # a template is a program of the model's, and raises what it likes
        raise UsageError(
            f"the model's chat template does not take this conversation: {ascii(str(error))[1:201]}"
        ) from error
    return str(rendered)
