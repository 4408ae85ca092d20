"""`lifelong bench` from end to end on the tiny model: a stream of a dozen edits in two jobs, everything measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from editlog.errors import UsageError
from lifelong.benching.page import render
from lifelong.benching.result import Result, check, schema
from lifelong.benching.run import bench
from lifelong.benching.table import format_result
from lifelong.cli import main
from lifelong.evaluation.guard import LeakError
from lifelong.evaluation.metrics import Locality

DIALS = {"experts": {"rank": 4}, "training": {"value_rate": 0.1, "key_rate": 3.0}}
SCHEMA = Path(__file__).parents[2] / "docs" / "bench.schema.json"


def with_probes(fact: dict, strangers: tuple[str, ...]) -> dict:
    probes = {
        "generality": [f"Tell me: {fact['prompt']}"],
        "locality": list(strangers),
        "portability": [{"prompt": f"So {fact['prompt']}", "answer": fact["target"]}],
    }
    return {key: fact[key] for key in ("prompt", "target", "subject") if key in fact} | {"probes": probes}


@pytest.fixture(scope="module")
def stream(tmp_path_factory, facts, strangers) -> Path:
    path = tmp_path_factory.mktemp("stream") / "facts.jsonl"
    path.write_text("".join(json.dumps(with_probes(fact, strangers)) + "\n" for fact in facts), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def settings(tiny_model) -> dict:
    return {"model": str(tiny_model), "overrides": DIALS, "half": "all", "per_job": 7}


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def result(stream, settings, out) -> Result:
    return bench(stream, out=out, **settings)


def test_every_figure_has_rows_and_an_interval_around_it(result):
    assert (result.edits, result.recipe, result.counts["facts"]) == (12, "default", 12)
    assert result.reliability.exact is not None
    assert result.seconds_per_edit > 0
    low, high = result.bench.intervals["reliability.exact"]
    assert low <= result.reliability.exact <= high
    assert result.bench.ceiling is result.bench.arms is result.bench.pools is result.bench.text is None


def test_a_miss_answers_bit_for_bit_as_plain_transformers_in_another_process(result, out):
    rows = [json.loads(line) for line in (out / "seed-0" / "predictions.jsonl").read_text().splitlines()]
    local = [row for row in rows if row["measure"] == "locality"]
    assert len(local) == result.counts["locality_unrelated"] + result.counts["locality_same_relation"] > 0
    assert all(row["bit_identical"] and row["agrees"] for row in local if row["sent"] is None)


def test_the_curve_has_a_point_for_each_job_and_old_edits_are_asked_again_at_the_end(result):
    assert [point.edits for point in result.bench.curve] == [7, 12]
    assert [(age.first, age.last, age.facts) for age in result.bench.retention_by_age] == [(1, 7, 7), (8, 12, 5)]
    assert result.retention.exact == 1.0


def test_a_job_below_the_limits_is_told_and_does_not_stop_the_stream(stream, settings):
    spoils = {**settings, "recipe": "lora", "overrides": {"method": {"steps": 30, "rate": 0.05}}}
    spoilt = bench(stream, **spoils)
    points = spoilt.bench.curve
    assert "below the recipe&#x27;s limits after 12 edits" in render(spoilt)
    assert [point.edits for point in points] == [7, 12]
    assert [point.within_limits for point in points] == [True, False]
    assert points[-1].bytes_per_edit


def test_a_bench_asked_for_again_measures_nothing_again(result, stream, settings, out):
    class NoStage:
        def stage(self, name, total):
            raise AssertionError(f"{name} was done again")

        advance = done = lambda *_: None

    assert bench(stream, out=out, progress=NoStage(), **settings).to_dict() == result.to_dict()
    with pytest.raises(UsageError, match="holds a bench with another per_job"):
        bench(stream, out=out, **{**settings, "per_job": 6})


@pytest.mark.slow
def test_a_bench_killed_between_jobs_goes_on_with_the_next(result, stream, settings, out):
    seed = out / "seed-0"
    for name in ("job-2.json", "predictions.jsonl", "served.json", "cost.json"):
        (seed / name).unlink()
    again = bench(stream, out=out, **settings)
    assert again.reliability == result.reliability
    assert again.seconds_per_edit is None, "the second job was not timed as a whole"


@pytest.mark.slow
def test_more_is_measured_where_it_is_asked_for(result, stream, settings, out, tmp_path):
    (tmp_path / "pool.txt").write_text(
        "Who painted the night?\nIt was a cold winter in\nwhat is a cloud", encoding="utf-8"
    )
    (tmp_path / "text.txt").write_text("They met again in the summer, and it rained. " * 40, encoding="utf-8")
    more = bench(
        stream,
        out=out,
        extras=("ceiling", "comparators", "pools", "text"),
        pools=(tmp_path / "pool.txt",),
        text=tmp_path / "text.txt",
        **settings,
    ).bench
    assert set(more.arms) == {"untouched base", "oracle", "subject string", "retrieval in context", "continual LoRA"}
    assert more.arms["untouched base"].locality.unrelated == Locality(1.0, 1.0, 0.0)
    assert more.arms["untouched base"].router.recall == 0.0
    assert more.arms["oracle"].generality == result.oracle.generality
    assert more.arms["oracle"].router.right_fact == 1.0
    assert more.ceiling.facts == 12
    assert more.ceiling.reliability.exact > 0.5
    (pool,) = more.pools
    assert (pool.name, pool.prompts + pool.governed, pool.bit_identical) == ("pool", 3, 1.0 - pool.false_hits)
    assert more.text.unchanged
    assert more.text.perplexity_base > 1


def test_a_planted_probe_stops_the_run(tmp_path, facts, strangers, settings):
    records = [with_probes(fact, strangers) for fact in facts[:3]]
    records[1]["rephrases"] = [records[0]["probes"]["generality"][0]]
    path = tmp_path / "planted.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    with pytest.raises(LeakError, match="reached training"):
        bench(path, **settings)


def test_the_schema_is_pinned_and_every_result_keeps_to_it(result):
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == schema(), "a change of the result's shape: see the docs"
    assert check(json.loads(json.dumps(result.to_dict()))).to_dict() == result.to_dict()


def test_people_get_a_table_and_a_page_that_loads_nothing(result, out):
    table = format_result(result)
    assert "95 % interval" in table
    assert "seed 0, 1 to 7" in table
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 6
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "")


def test_names_that_there_are_none_of_are_refused_before_any_work(stream):
    runner = CliRunner()
    for options, words in (
        (["--ablate", "everything"], "there are: gate, near-miss, contexts, isolation"),
        (["--with", "luck"], "there are: ceiling, comparators, pools, text"),
        (["--set", "rank=8"], "is not SECTION.DIAL=JSON"),
        (["--edits", "13"], "has 12 records, not 13"),
        (["--recipe", "nothing"], "there is no recipe nothing"),
    ):
        told = runner.invoke(main, ["bench", "--data", str(stream), *options])
        assert told.exit_code == 2
        assert words in told.output
