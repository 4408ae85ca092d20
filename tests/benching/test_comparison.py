"""The comparison of recipes: what its page keeps and puts anew, and that every recipe is compared and can be tuned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.compare import Plan
from benchmarks.comparison_page import Results, put, step_table, stream_table, write_page
from benchmarks.tune import MOST_TRIALS, SPACES, recipe_with, trials_of
from lifelong.config import recipe_names
from lifelong.editors import editor_of
from lifelong.evaluation.metrics import Accuracy, Metrics


def benched(reliability: float, **figures: Any) -> dict[str, Any]:
    """What a bench of 40 edits, 20 of them scored, leaves, as far as the page reads it."""
    metrics = Metrics(40, reliability=Accuracy(exact=reliability), counts={"facts": 20}, **figures)
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
    table = stream_table("zsRE", rows, Results("abc", 0, {}, {"zsRE": rows}, {})).splitlines()
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
    write_page(Results("abc", 0, {}, {"zsRE": rows}, {}), tmp_path)
    assert "![reliability of each recipe](comparison/zsRE-reliability.svg)" in page.read_text()
    drawn = (tmp_path / "comparison" / "zsRE-reliability.svg").read_text()
    assert all(word in drawn for word in ("<svg", "rome", "default", "0.25", "0.75"))
    assert not (tmp_path / "comparison" / "zsRE-generality.svg").exists()


def test_the_editing_step_is_told_as_a_ratio_to_the_default() -> None:
    step = {"edits": 8, "preparation": 0.0, "batched": 20.0, "alone": 60.0, "bytes": 100, "peak_mb": 300.0}
    rows = {"grace": {**step, "batched": 10.0, "alone": 300.0}, "default": step}
    assert "| grace | 0 | 10 | 300 | 0.50 | 15.00 | 100 | 300 | alone |" in step_table(Results("abc", 0, rows, {}, {}))


def test_results_are_found_at_their_places(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(json.dumps({"edits": 1}))
    found = Results.of("abc", 0, {("zsRE", "rome"): tmp_path / "a", ("study", "memit", "64"): tmp_path / "b"})
    assert found.streams == {"zsRE": {"rome": {"edits": 1}}}
    assert found.study == {"memit": {64: {"edits": 1}}}


def test_the_study_edits_one_by_one_in_batches_and_all_at_once(tmp_path: Path) -> None:
    runs = list(Plan(("memit", "rome", "grace"), 1000, 4096, 0, "embedded", tmp_path).studies())
    places = [run.place[1:] for run in runs]
    assert places == [("memit", str(4**power)) for power in range(7)] + [("rome", "1")]
    assert runs[3].arguments["overrides"]["method"] == {"batch_size": 64}
    assert len({run.result for run in runs}) == len(runs)


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
