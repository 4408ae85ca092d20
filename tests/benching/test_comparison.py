"""The comparison of recipes: what its page keeps and puts anew, and that every recipe is compared and can be tuned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.compare import Plan
from benchmarks.comparison_page import Results, figures_of, put, step_table, stream_table, study_place, write_page
from benchmarks.tune import MOST_TRIALS, SPACES, recipe_with, trials_of
from lifelong.config import recipe_names
from lifelong.editors import editor_of
from lifelong.evaluation.metrics import Accuracy, Metrics


def benched(reliability: float, **figures: Any) -> dict[str, Any]:
    """What the page tells of a bench of 40 edits, 20 of them scored."""
    return dict(figures_of(result(reliability, **figures)))


def result(reliability: float, edits: int = 40, **figures: Any) -> dict[str, Any]:
    """What a bench leaves, as far as the page reads it."""
    metrics = Metrics(edits, reliability=Accuracy(exact=reliability), counts={"facts": 20}, **figures)
    return {**metrics.to_dict(), "bench": {"curve": [{}, {}]}}


def test_words_around_the_marks_stay_and_what_is_between_them_is_put_anew() -> None:
    page = "ours\n<!-- zsRE -->\nold\n<!-- end of zsRE -->\nours, too\n"
    once = put(page, "zsRE", "new \\1")
    assert once == "ours\n<!-- zsRE -->\n\nnew \\1\n\n<!-- end of zsRE -->\nours, too\n"
    assert put(once, "zsRE", "new \\1") == once
    with pytest.raises(ValueError, match="no place for 'CounterFact'"):
        put(page, "CounterFact", "new")


def test_the_best_of_a_column_stands_out_and_a_column_without_probes_is_left_out() -> None:
    rows = {"rome": benched(0.25), "default": benched(0.75, seconds_per_edit=0.5, peak_mb=1234.5)}
    table = stream_table("zsRE", rows, Results("abc", 0, {})).splitlines()
    assert table[0] == "40 edits of zsRE in 2 jobs, 20 of them scored; seed 0, base `abc`."
    assert table[2:] == [
        "| recipe | reliability | s an edit | bytes an edit | peak MB |",
        "| --- | --- | --- | --- | --- |",
        "| default | **0.750** | 0.5 | - | 1,234 |",
        "| rome | 0.250 | - | - | - |",
    ]


def test_a_stream_is_drawn_with_a_bar_for_each_recipe(tmp_path: Path) -> None:
    page = tmp_path / "COMPARISON.md"
    page.write_text("<!-- zsRE -->\n<!-- end of zsRE -->\n")
    rows = {"rome": benched(0.25), "default": benched(0.75)}
    write_page(Results("abc", 0, {("zsRE", recipe): found for recipe, found in rows.items()}), tmp_path)
    assert "![reliability of each recipe](comparison/zsRE-reliability.svg)" in page.read_text()
    drawn = (tmp_path / "comparison" / "zsRE-reliability.svg").read_text()
    assert all(word in drawn for word in ("<svg", "rome", "default", "0.25", "0.75"))
    assert not (tmp_path / "comparison" / "zsRE-generality.svg").exists()


def test_the_editing_step_is_told_as_a_ratio_to_the_default() -> None:
    step = {
        "edits": 8,
        "preparation": 0.0,
        "batched": 20.0,
        "alone": 60.0,
        "published": None,
        "bytes": 100,
        "peak_mb": 300.0,
    }
    rows = {
        ("steps", "grace"): {**step, "batched": 10.0, "alone": 300.0, "published": 400.0},
        ("steps", "default"): step,
    }
    assert "| grace | 0 | 10 | 300 | 400 | 0.50 | 15.00 | 20.00 | 100 | 300 |" in step_table(Results("abc", 0, rows))


def finished(directory: Path, name: str, **asked: Any) -> Path:
    path = directory / name
    path.write_text(json.dumps(result(**asked)))
    return path


def test_figures_outlive_the_folder_that_they_were_made_in(tmp_path: Path) -> None:
    """What is finished anew takes the place of what the page knew; the rest of it stays."""
    (tmp_path / "comparison").mkdir()
    (tmp_path / "COMPARISON.md").write_text(
        "<!-- zsRE -->\n<!-- end of zsRE -->\n<!-- batch sizes -->\n<!-- end of batch sizes -->\n"
    )
    one, other = finished(tmp_path, "a", reliability=0.25), finished(tmp_path, "b", reliability=0.5)
    write_page(Results.of("abc", 0, {("zsRE", "rome"): one, study_place(40, "memit", 64): one}, tmp_path), tmp_path)
    again = Results.of("abc", 0, {("zsRE", "rome"): other}, tmp_path)
    assert again.streams["zsRE"]["rome"]["reliability"] == 0.5
    assert again.studies[40]["memit"][64]["reliability"] == 0.25
    assert not Results.of("another base", 0, {}, tmp_path).figures
    assert not Results.of("abc", 1, {}, tmp_path).figures


def test_figures_of_other_numbers_of_edits_never_stand_in_one_table(tmp_path: Path) -> None:
    (tmp_path / "comparison").mkdir()
    (tmp_path / "COMPARISON.md").write_text("<!-- zsRE -->\n<!-- end of zsRE -->\n")
    few, many = finished(tmp_path, "a", reliability=0.5), finished(tmp_path, "b", reliability=0.25, edits=1000)
    write_page(Results.of("abc", 0, {("zsRE", "rome"): few, ("zsRE", "memit"): few}, tmp_path), tmp_path)
    assert set(Results.of("abc", 0, {("zsRE", "rome"): many}, tmp_path).streams["zsRE"]) == {"rome"}


def test_the_study_edits_one_by_one_in_batches_and_all_at_once(tmp_path: Path) -> None:
    memit, rome = Plan(("memit", "rome", "grace"), 1000, (4096,), 0, "embedded", tmp_path).studies()
    assert memit.arguments["sizes"] == tuple(4**power for power in range(7))
    assert list(rome.results) == [study_place(4096, "rome", 1)]
    assert memit.results[study_place(4096, "memit", 64)].parent.name == "batch-64"
    assert len({*memit.results.values(), *rome.results.values()}) == 8


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_can_be_tuned_and_each_trial_is_one_it_can_be_told(name: str) -> None:
    trials = trials_of(name, MOST_TRIALS)
    assert trials[0] == {}
    assert 8 <= len(trials) <= MOST_TRIALS
    assert trials == trials_of(name, MOST_TRIALS)
    assert len({json.dumps(one) for one in trials}) == len(trials)
    for dials in trials:
        editor_of(recipe_with(name, dials))


def test_no_recipe_that_there_is_not_has_a_space() -> None:
    assert set(SPACES) == set(recipe_names())
