"""A merged model is a plain one, and says what it lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import lifelong
from editlog.errors import UsageError
from lifelong.editors.views import LEAD_INS
from lifelong.experts.bank import Route
from lifelong.export.merged import Merged
from lifelong.export.merging import add_to_weights, standing_changes
from lifelong.models.base import Base
from lifelong.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
READ_WELL = ("ex-0005", "ex-0021", "ex-0023", "ex-0025")
"""Examples that so small a base reads out of a note."""


@pytest.fixture(scope="module")
def merged(published_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Merged:
    """The dozen facts, merged."""
    return lifelong.open(published_home).export_merged(tmp_path_factory.mktemp("merged") / "model")


def test_plain_transformers_answers_what_the_account_says(merged: Merged, facts: tuple[dict[str, Any], ...]) -> None:
    plain = Base.load(merged.directory)
    said = plain.generate([fact["prompt"] for fact in facts], max_new_tokens=24)
    right = [answer.strip() == fact["target"] for answer, fact in zip(said, facts, strict=True)]
    assert merged.how == "distilled"
    assert merged.answered.measured == merged.facts == 12
    assert sum(right) == merged.answered.good >= 11
    assert [f"f{seq}" for seq, good in enumerate(right, start=4) if not good] == list(merged.lost)


def test_what_was_not_to_change_is_counted_as_it_is(
    merged: Merged, facts: tuple[dict[str, Any], ...], base: Base
) -> None:
    """Near misses and unrelated lead-ins, asked again without the exporter: as the base says, or not."""
    near_misses = sorted({prompt for fact in facts for prompt in fact.get("near_misses", [])})
    plain = Base.load(merged.directory)
    for prompts, score in ((near_misses, merged.near_misses), (list(LEAD_INS), merged.unrelated)):
        before, after = (model.generate(prompts, max_new_tokens=24) for model in (base, plain))
        assert score.measured == len(prompts)
        assert score.good == sum(one == other for one, other in zip(before, after, strict=True))


def test_the_account_lies_beside_the_weights(merged: Merged) -> None:
    folder = Path(merged.directory)
    assert json.loads((folder / "merge.json").read_text())["answered"]["good"] == merged.answered.good
    card = (folder / "README.md").read_text()
    assert "no gate" in card
    assert f"| {merged.answered.good} | 12 |" in card
    assert all(fact in card for fact in merged.lost)


def test_the_workspace_and_its_base_stay_as_they_were(merged: Merged, published: Workspace, base: Base) -> None:
    assert Base.load(merged.directory).fingerprint != base.fingerprint
    assert base.measure_fingerprint() == published.load_base().fingerprint
    assert published.ask(["The capital of Osterland is"])[0].text == "Marbeck"


def test_nothing_is_overwritten_and_nothing_is_left_behind(published: Workspace, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        published.export_merged(tmp_path / "taken")
    published.retract([f"f{seq}" for seq in range(4, 16)], reason="a test")
    with pytest.raises(UsageError, match="nothing to merge"):
        published.export_merged(tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir() if "published" not in path.name] == ["taken"]


@pytest.mark.slow
def test_what_no_weight_can_hold_is_taught_anew(tmp_path: Path) -> None:
    """A note is words that are read before the prompt: there is nothing of it to add to a weight."""
    workspace = lifelong.init(tmp_path / "home", recipe="eren")
    examples = (ROOT / "examples" / "facts.jsonl").read_text(encoding="utf-8").splitlines()
    read_well = [line for line in examples if any(name in line for name in READ_WELL)]
    (tmp_path / "facts.jsonl").write_text("\n".join(read_well), encoding="utf-8")
    workspace.ingest(tmp_path / "facts.jsonl")
    applied = workspace.run().applied
    assert len(applied) == len(READ_WELL)
    merged = workspace.export_merged(tmp_path / "model")
    assert (merged.how, merged.facts, merged.answered.good) == ("distilled", len(applied), len(applied))


def test_experts_that_act_on_every_prompt_are_added_as_they_are(
    published: Workspace, tiny_model: Path, facts: tuple[dict[str, Any], ...]
) -> None:
    edited, plain = published.edited_model(), Base.load(str(tiny_model))
    both = Route(None, (0, 1), (1.0, 0.5))
    batch = plain.pad_left([plain.prompt_ids(fact["prompt"]) for fact in facts[:3]])
    with torch.no_grad(), edited.bank.serving([both] * 3):
        expected = edited.base.forward(batch, keep=1)
    add_to_weights(plain, standing_changes(edited.base, edited.bank, both))
    with torch.no_grad():
        torch.testing.assert_close(plain.forward(batch, keep=1), expected, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(edited.base.forward(batch, keep=1), expected, rtol=1e-4, atol=1e-4)
