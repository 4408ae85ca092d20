"""`lifelong bench --batch-sizes`: the same edits one by one, in batches, and all at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lifelong.cli import main
from lifelong.editors import closed, malmen

DIALS = {"layers": [0], "steps": 20, "contexts": 0, "kl": 0.0, "clamp": 0.0, "stop_loss": 0.02, "ridge": 1e-6}


@pytest.fixture(scope="module")
def asked(tmp_path_factory, facts, tiny_model) -> list[str]:
    path = tmp_path_factory.mktemp("stream") / "facts.jsonl"
    path.write_text("".join(json.dumps(fact) + "\n" for fact in facts[:4]), encoding="utf-8")
    dials = [word for name, value in DIALS.items() for word in ("--set", f"method.{name}={json.dumps(value)}")]
    return ["bench", "--data", str(path), "--model", str(tiny_model), "--half", "all", *dials]


def test_each_size_is_benched_in_one_job_and_the_page_draws_them(asked: list[str], tmp_path: Path) -> None:
    out = tmp_path / "sizes"
    ran = CliRunner().invoke(main, [*asked, "--recipe", "emmet", "--batch-sizes", "1,4", "--out", str(out), "--json"])
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)["batch_sizes"]
    assert [one["bench"]["overrides"]["method"]["batch_size"] for one in told.values()] == [1, 4]
    assert [len(one["bench"]["curve"]) for one in told.values()] == [1, 1]
    assert (out / "batch-sizes.html").read_text(encoding="utf-8").count("<svg") == 1
    again = CliRunner().invoke(main, [*asked, "--recipe", "emmet", "--batch-sizes", "1,4", "--out", str(out)])
    assert again.exit_code == 0, again.output
    header, *rows = again.stdout.strip().splitlines()
    assert header.startswith("batch size")
    assert [row.split()[0] for row in rows] == ["1", "4"]


def counting(measure: Callable[..., Any], calls: list[str]) -> Callable[..., Any]:
    def counted(*given: Any, **named: Any) -> Any:
        calls.append(measure.__name__)
        return measure(*given, **named)

    return counted


@pytest.mark.parametrize("recipe", ["emmet", "malmen"])
def test_what_does_not_hang_on_the_size_is_measured_once_and_gives_what_a_bench_of_its_own_gives(
    recipe: str, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []
    monkeypatch.setattr(closed, "fit_values", counting(closed.fit_values, measured))
    monkeypatch.setattr(malmen, "signals", counting(malmen.signals, measured))
    dials = ["--recipe", recipe, "--set", "method.layers=[0]", "--set", "method.contexts=0"]
    if recipe == "malmen":
        dials += ["--set", "method.meta_steps=1", "--set", "method.meta_batch=2"]

    def benched(sizes: str) -> dict[str, Any]:
        out = tmp_path / sizes
        ran = CliRunner().invoke(main, [*asked[:7], *dials, "--batch-sizes", sizes, "--out", str(out), "--json"])
        assert ran.exit_code == 0, ran.output
        of_two: dict[str, Any] = json.loads(ran.stdout)["batch_sizes"]["2"]
        return {figure: of_two[figure] for figure in ("reliability", "generality", "oracle")}

    together = benched("1,2")
    assert len(measured) == 1
    assert together == benched("2")
    assert len(measured) == 2


def test_a_recipe_without_batches_is_refused_before_any_work(asked: list[str]) -> None:
    ran = CliRunner().invoke(main, [*asked[:3], "--recipe", "grace", "--batch-sizes", "1,4"])
    assert ran.exit_code == 2
    assert "grace does not solve for facts in batches" in ran.output
    for sizes in ("few", "0,4", "-1"):
        ran = CliRunner().invoke(main, [*asked[:3], "--recipe", "emmet", "--batch-sizes", sizes])
        assert ran.exit_code == 2
        assert "not a list of sizes" in ran.output
