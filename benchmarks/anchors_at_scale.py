"""How the anchor index behaves at up to a million anchors: search, recall, memory, rebuild, on synthetic vectors.

    python benchmarks/anchors_at_scale.py --anchors 1000000 --gate 2000 8000

The vectors are clustered like the wordings of facts are: each fact has a centre, each of its wordings lies near it, and
facts lie in groups that share a subject or a relation. A query is another wording of one of the facts. Recall is the
share of queries whose nearest anchor is one of their own fact. Flat search is exact, so what it misses no index finds;
the others are here to say what they would cost and lose. Times are of one thread; the machine's load is said with them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

# isort: off
import torch  # noqa: F401 - before faiss, as everywhere here: then they share one pool of threads
import faiss
# isort: on

WIDTH = 128
WORDINGS = 3
GROUP = 50
GROUP_SPREAD, WORDING_SPREAD = 0.7, 0.35
CHUNK = 50_000


def vectors(facts: int, seed: int, *, noise: int) -> np.ndarray:
    """One wording of each fact, float32 [facts, WIDTH], of norm 1; the same `seed` means the same facts."""
    draw = np.random.default_rng(seed)
    groups = draw.standard_normal((facts // GROUP + 1, WIDTH), dtype=np.float32)
    centres = groups[np.arange(facts) // GROUP]
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    found = centres + GROUP_SPREAD / WIDTH**0.5 * draw.standard_normal((facts, WIDTH), dtype=np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    own = np.random.default_rng([seed, noise])
    found += WORDING_SPREAD / WIDTH**0.5 * own.standard_normal((facts, WIDTH), dtype=np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def resident_mb() -> float:
    """Memory of this process now, in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def build(kind: str, facts: int, seed: int) -> faiss.Index:
    """The index over all wordings of all facts, added in chunks; anchor n is a wording of fact n % facts."""
    index = {
        "flat": lambda: faiss.IndexFlatIP(WIDTH),
        "flat-fp16": lambda: faiss.IndexScalarQuantizer(
            WIDTH, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        ),
        "ivf": lambda: faiss.IndexIVFFlat(
            faiss.IndexFlatIP(WIDTH), WIDTH, max(1, int((facts * WORDINGS) ** 0.5)), faiss.METRIC_INNER_PRODUCT
        ),
    }[kind]()
    for wording in range(WORDINGS):
        some = vectors(facts, seed, noise=wording)
        if not index.is_trained:
            index.train(some[:: max(1, facts // 40_000)])
        for start in range(0, facts, CHUNK):
            index.add(some[start : start + CHUNK])
    return index


def measure(kind: str, anchors: int, queries: int, seed: int) -> dict[str, Any]:
    """Build an index, ask it one query at a time, write it and read it back."""
    facts = anchors // WORDINGS
    chosen = np.random.default_rng(seed + 1).choice(facts, queries, replace=False)
    asked = vectors(facts, seed, noise=WORDINGS)[chosen]
    before = resident_mb()
    began, cpu = time.perf_counter(), time.process_time()
    index = build(kind, facts, seed)
    built, built_cpu = time.perf_counter() - began, time.process_time() - cpu
    memory = resident_mb() - before
    row: dict[str, Any] = {"index": kind, "anchors": index.ntotal, "memory_mb": round(memory, 1)}
    row |= {"build_s": round(built, 2), "build_cpu_s": round(built_cpu, 2), "searches": []}
    for probes in (1, 8, 32) if kind == "ivf" else (None,):
        if probes:
            index.nprobe = probes
        times, cpus, hits = [], [], 0
        for query, fact in zip(asked, chosen, strict=True):
            began, cpu = time.perf_counter(), time.process_time()
            _, found = index.search(query[None], 8)
            cpus.append(time.process_time() - cpu)
            times.append(time.perf_counter() - began)
            hits += int(found[0, 0] >= 0 and found[0, 0] % facts == fact)
        p50, p50_cpu, p99 = np.median(times), np.median(cpus), np.quantile(times, 0.99)
        figures = {"p50_ms": p50 * 1e3, "p50_cpu_ms": p50_cpu * 1e3, "p99_ms": p99 * 1e3, "recall": hits / queries}
        row["searches"].append({"nprobe": probes, **{name: round(float(one), 4) for name, one in figures.items()}})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        began = time.perf_counter()
        faiss.write_index(index, str(path))
        row["write_s"], row["file_mb"] = round(time.perf_counter() - began, 2), round(path.stat().st_size / 1e6, 1)
        began = time.perf_counter()
        faiss.read_index(str(path))
        row["read_s"] = round(time.perf_counter() - began, 2)
    return row


def gate(facts: int) -> dict[str, Any]:
    """What a job pays before its audit: the whole gate built anew over so many facts, with calibration."""
    from lifelong.anchors.encoder import default_encoder
    from lifelong.anchors.gate import Gate, LocalityBudget, ScopedFact

    relations = ("The capital of {} is", "{} was born in", "The mother tongue of {} is", "{} plays the position of")
    made = [
        ScopedFact(n, relations[n % len(relations)].format(f"Person {n:06}"), f"Person {n:06}") for n in range(facts)
    ]
    began, cpu = time.perf_counter(), time.process_time()
    built = Gate.build(made, encoder=default_encoder(), budget=LocalityBudget())
    spent = {"build_s": time.perf_counter() - began, "build_cpu_s": time.process_time() - cpu}
    return {"gate_over_facts": facts, "anchors": len(built), **{name: round(one, 2) for name, one in spent.items()}}


def main() -> None:
    """Measure every kind of index at one size and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anchors", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", default=["flat", "flat-fp16", "ivf"])
    parser.add_argument("--gate", type=int, nargs="*", default=[], help="also build the gate over so many facts")
    asked = parser.parse_args()
    faiss.omp_set_num_threads(1)
    for kind in asked.kinds:
        row = {**measure(kind, asked.anchors, asked.queries, asked.seed), "width": WIDTH, "load": os.getloadavg()[0]}
        print(json.dumps(row), flush=True)
    for facts in asked.gate:
        print(json.dumps(gate(facts)), flush=True)


if __name__ == "__main__":
    main()
