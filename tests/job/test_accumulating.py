"""Editors whose facts share weights: what is taken out of them changes how the others answer."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import pytest

import lifelong
from lifelong.editors import Edit
from lifelong.editors.closed import ClosedFormEditor
from lifelong.editors.state import State
from lifelong.jobs.accumulating import in_rounds
from lifelong.jobs.audit import Failure
from lifelong.models.base import Base

WRONG = Failure("not-answered", "its expert answers it otherwise", "", "")
DIALS = """
[overrides.method]
layers = [0]
steps = 1

[overrides.audit]
max_new_tokens = 6
unanswered = "{}"
"""


def test_facts_are_taken_out_until_all_that_is_left_is_answered() -> None:
    """Fact 2 stood on what was learnt for fact 1, and fact 3 on fact 2."""
    stood_on = {1: 2, 2: 3}
    rounds = []

    def left_after(gone: Collection[int]) -> dict[int, Failure]:
        rounds.append(set(gone))
        return {stood_on[fact]: WRONG for fact in gone if fact in stood_on}

    assert in_rounds({1: WRONG}, left_after) == {1: WRONG, 2: WRONG, 3: WRONG}
    assert rounds == [{1}, {2}, {3}]


def test_where_all_are_answered_nothing_is_taken_out() -> None:
    assert in_rounds({}, lambda gone: {}) == {}


@pytest.fixture
def corpus(tmp_path: Path, strangers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A little text, and a cache of the test's own for what is learned of it."""
    monkeypatch.setenv("LIFELONG_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(strangers * 4), encoding="utf-8")
    return path


def test_what_is_not_answered_leaves_the_weights_unless_the_recipe_keeps_it(
    tmp_path: Path, tiny_model: Path, corpus: Path, write_facts: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer that the audit generates is long enough for the fact: it fails either way."""
    taken_out: list[frozenset[str]] = []
    forget = ClosedFormEditor.forget

    def forgetting(self: ClosedFormEditor, base: Base, gone: frozenset[str], state: State | None) -> Edit:
        taken_out.append(gone)
        return forget(self, base, gone, state)

    monkeypatch.setattr(ClosedFormEditor, "forget", forgetting)
    endless = write_facts([{"prompt": "The song of Selmouth goes", "target": "la li lo lu " * 8}])
    for unanswered in ("keep", "forget"):
        home = tmp_path / unanswered
        made = lifelong.init(home, model=str(tiny_model), recipe="emmet", corpus=corpus, probe=False, actor="ada")
        with made.layout.config.open("a", encoding="utf-8") as config:
            config.write(DIALS.format(unanswered))
        workspace = lifelong.open(home)
        workspace.ingest(endless)
        assert [fact["code"] for fact in workspace.run().failed] == ["not-answered"]
        assert len(taken_out) == (unanswered == "forget")
