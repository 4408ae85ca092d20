"""`lifelong bench --batch-sizes`: the same edits one by one, in batches, and all at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from lifelong.cli import main

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


def test_a_recipe_without_batches_is_refused_before_any_work(asked: list[str]) -> None:
    ran = CliRunner().invoke(main, [*asked[:3], "--recipe", "grace", "--batch-sizes", "1,4"])
    assert ran.exit_code == 2
    assert "grace does not solve for facts in batches" in ran.output
    for sizes in ("few", "0,4", "-1"):
        ran = CliRunner().invoke(main, [*asked[:3], "--recipe", "emmet", "--batch-sizes", sizes])
        assert ran.exit_code == 2
        assert "not a list of sizes" in ran.output
