"""The edit log's speed and size: what it takes to put facts in, to check them, to ask, and to keep them.

    python benchmarks/log.py ingest                       # facts a second on one core, and beside a bare Arrow insert
    python benchmarks/log.py build --log /tmp/million     # a log of 1,000,000 facts, all applied, for the next two
    python benchmarks/log.py verify --log /tmp/million --cores 2
    python benchmarks/log.py ask --log /tmp/million       # log list, fact history, blame's part of the log
    LIFELONG_DATA=... python benchmarks/log.py size       # bytes a fact, CounterFact as it is published

Every figure is the median of several runs, printed as JSON: wall seconds, and CPU seconds of the whole process, which
say more on a machine that does other work too. Everything runs on one core, but for `--cores`.
"""

from __future__ import annotations

import io
import json
import os
import random
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import duckdb
import pyarrow as pa

from editlog.draft import Draft
from editlog.events import Entry
from editlog.store import EditLog
from lifelong.jobs.progress import Silent
from lifelong.layout import Layout
from lifelong.verbs.ingesting import ingest as ingest_file

WAVE = 1024
CORES = sorted(os.sched_getaffinity(0))
STARTS = ("The capital of", "The mother tongue of", "The twin city of", "The employer of", "The instrument played by")
TARGETS = ("Canberra", "French", "Sheffield", "Siemens", "the cello", "Zürich", "Malayalam", "chess", "Antarctica")


def record(number: int, probes: bool) -> dict[str, Any]:
    """A made-up fact of CounterFact's length, in lifelong's own format; one in ten has letters beyond ASCII."""
    pick = random.Random(number)
    relation = pick.choice(STARTS)
    subject = f"{'Müller' if number % 10 == 0 else 'Anders'} {pick.getrandbits(40):x} {number}"
    made: dict[str, Any] = {
        "prompt": f"{relation} {subject} is",
        "target": pick.choice(TARGETS),
        "subject": subject,
        "relation": relation.lower(),
        "source": "benchmark",
    }
    if probes:
        made["rephrases"] = [f"What is {relation.lower()} {subject}? It is"]
        made["probes"] = {"locality": [{"prompt": f"{relation} Toko Yasuda is", "answer": "guitar"}]}
    return made


def lines(count: int, probes: bool) -> bytes:
    """`count` records as JSON lines."""
    return b"".join(json.dumps(record(n, probes), ensure_ascii=False).encode() + b"\n" for n in range(count))


def medians(act: Callable[[], object], runs: int, before: Callable[[], object] = lambda: None) -> dict[str, float]:
    """Median wall and CPU seconds of `act`; `before` is run before each, untimed."""
    walls, cpus = [], []
    for _ in range(runs):
        before()
        wall, cpu = time.perf_counter(), time.process_time()
        act()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {"wall_s": statistics.median(walls), "cpu_s": statistics.median(cpus)}


def take_in(home: Path, source: Path | io.BytesIO) -> None:
    """What `lifelong ingest` does once it has started: read, validate, hash, compare, make durable."""
    ingest_file(
        Layout(home),
        EditLog.open(home / "log"),
        source,
        limit=None,
        source_name=None,
        author=None,
        reassert=False,
        signer=None,
        spool=False,
        actor="benchmark",
        reason=None,
        dry_run=False,
        progress=Silent(),
    )


def bare_insert(path: Path, table: pa.Table) -> None:
    """The same rows into a bare DuckDB table, with nothing checked, hashed or chained."""
    with duckdb.connect(path, config={"threads": 1}) as con:
        con.register("incoming", table)
        con.execute("CREATE TABLE facts AS SELECT * FROM incoming")


def report(figures: dict[str, Any]) -> None:
    """Print figures as one line of JSON, rounded to four digits."""
    click.echo(json.dumps({name: float(f"{v:.4g}") if isinstance(v, float) else v for name, v in figures.items()}))


@click.group()
def main() -> None:
    """Speed and size of the edit log."""
    os.sched_setaffinity(0, CORES[:1])  # one core, whatever the libraries would like


@main.command()
@click.option("--facts", default=50_000, show_default=True)
@click.option("--runs", default=3, show_default=True)
@click.option("--probes/--no-probes", default=False, help="With a rephrase and a probe each.")
def ingest(facts: int, runs: int, probes: bool) -> None:
    """JSON lines to acknowledged facts, end to end; and a bare Arrow insert of the same rows."""
    with tempfile.TemporaryDirectory() as folder:
        source, home, bare = Path(folder) / "facts.jsonl", Path(folder) / "home", Path(folder) / "bare.duckdb"
        source.write_bytes(lines(facts, probes))

        def fresh() -> None:
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            EditLog.create(home / "log", actor="benchmark")

        idle = _peak_mib()
        whole = medians(lambda: take_in(home, source), runs, fresh)
        above = _peak_mib() - idle
        rows = [json.loads(line) for line in source.read_bytes().splitlines()]
        table = pa.Table.from_pylist(rows)
        plain = medians(lambda: bare_insert(bare, table), runs, lambda: bare.unlink(missing_ok=True))
        again = medians(lambda: take_in(home, source), 1)
    report(
        {
            "facts": facts,
            **whole,
            "facts_per_wall_s": facts / whole["wall_s"],
            "facts_per_cpu_s": facts / whole["cpu_s"],
            "times_a_bare_insert": whole["cpu_s"] / plain["cpu_s"],
            "same_file_again_cpu_s": again["cpu_s"],
            "peak_mib_above_idle": above,
        }
    )


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@main.command()
@click.option("--log", "directory", required=True, type=click.Path(path_type=Path))
@click.option("--facts", default=1_000_000, show_default=True)
def build(directory: Path, facts: int) -> None:
    """Make a log of many facts in ten ingests, each fact applied by a job, for `verify` and `ask`."""
    log, each = EditLog.create(directory, actor="benchmark"), facts // 10
    for start in range(0, facts, each):
        log.ingest((Draft(record(n, False)) for n in range(start, start + each)), actor="benchmark")
        first = log.head().seq - each + 1
        log.append(list(_waves(first, each)), actor="benchmark", job=f"job-{start // each}")
    report({"events": log.head().seq, "bytes_a_fact": (directory / "edits.duckdb").stat().st_size / facts})


def _waves(first: int, count: int) -> Iterator[Entry]:
    """facts.applied events for `count` facts, eight to an expert, as jobs write them."""
    for start in range(first, first + count, WAVE):
        seqs = range(start, min(start + WAVE, first + count))
        yield Entry("facts.applied", {"facts": [{"fact": n, "expert": f"sha256:{n // 8:064x}"} for n in seqs]})


@main.command()
@click.option("--log", "directory", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--runs", default=3, show_default=True)
@click.option("--cores", default=1, show_default=True)
def verify(directory: Path, runs: int, cores: int) -> None:
    """Every hash, commitment, digest and key derived again."""
    os.sched_setaffinity(0, CORES[:cores])
    log = EditLog.open(directory)
    report({"events": log.head().seq, "cores": cores, **medians(lambda: _intact(log), runs)})


def _intact(log: EditLog) -> None:
    if findings := log.verify():
        raise click.ClickException(findings[0].message)


@main.command()
@click.option("--log", "directory", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--runs", default=5, show_default=True)
@click.option("--cores", default=1, show_default=True)
def ask(directory: Path, runs: int, cores: int) -> None:
    """What `log list --limit 20`, `fact history` and `blame` ask of the log, opening it included."""
    os.sched_setaffinity(0, CORES[:cores])
    log = EditLog.open(directory)
    [put] = log.events(kinds=["fact.put"], after=log.head().seq // 2, limit=1)
    some = log.resolve(f"f{put.seq}")
    questions: dict[str, Callable[[], object]] = {
        "head": log.head,
        "log list --limit 20": lambda: log.events(limit=20, newest_first=True),
        "fact history f...": lambda: log.history(ref=some.ref),
        "fact history by digest": lambda: log.history(ref=some.fact.digest[7:19]),
        "fact history --subject": lambda: log.history(subject=some.fact.subject),
        "fact history --prompt": lambda: log.history(prompt=some.fact.prompt),
        "blame's part of the log": lambda: log.lineage(some.ref),
    }
    for name, question in questions.items():
        report({"question": name, "cores": cores, **medians(question, runs)})


@main.command()
def size() -> None:
    """Bytes on disk a fact, CounterFact taken in as it is published, probes and all."""
    source = Path(os.environ["LIFELONG_DATA"]) / "counterfact-train.json"
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        log = EditLog.create(home / "log", actor="benchmark")
        took = medians(lambda: take_in(home, source), 1)
        facts = log.head().seq - 2
        kept = {path.name: path.stat().st_size for path in (home / "log").iterdir() if path.is_file()}
    report({"facts": facts, **took, "bytes_a_fact": sum(kept.values()) / facts, **kept})


if __name__ == "__main__":
    main()
