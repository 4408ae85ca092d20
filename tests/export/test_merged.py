"""A merged model is a plain one, and says what it lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from editlog.errors import UsageError
from lifelong.base import Base
from lifelong.export.merged import Merged
from lifelong.workspace import Workspace


@pytest.fixture(scope="module")
def merged(published_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Merged:
    """The dozen facts, merged."""
    import lifelong

    return lifelong.open(published_home).export_merged(tmp_path_factory.mktemp("merged") / "model")


def test_plain_transformers_answers_what_the_account_says(merged: Merged, facts: tuple[dict[str, Any], ...]) -> None:
    plain = Base.load(merged.directory)
    said = plain.generate([fact["prompt"] for fact in facts], max_new_tokens=24)
    right = [answer.strip() == fact["target"] for answer, fact in zip(said, facts, strict=True)]
    assert merged.answered.measured == merged.facts == 12
    assert sum(right) == merged.answered.good >= 6
    assert [f"f{seq}" for seq, good in enumerate(right, start=4) if not good] == list(merged.lost)


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
