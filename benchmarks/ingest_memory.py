"""How much memory an ingest takes, by the number of records: peak RSS of a process that does nothing else.

    python benchmarks/ingest_memory.py [--rows 10000,100000,1000000] [--kinds jsonl,csv] [--wide 8000] [--directory DIR]

Prints one JSON line a run: kind, rows, megabytes of the file, peak RSS in MiB, CPU seconds.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

COLUMNS = ("prompt", "target", "subject", "relation")


def records(rows: int, wide: int) -> Iterator[dict[str, str]]:
    """Facts whose prompts have at least `wide` characters."""
    for number in range(rows):
        subject = f"land {number}"
        prompt = f"{'Said at length. ' * (wide // 16)}The capital of {subject} is"
        yield dict(zip(COLUMNS, (prompt, f"city {number * 7 % rows}", subject, "capital"), strict=True))


def write(path: Path, rows: int, wide: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(records(rows, wide))
        else:
            file.writelines(json.dumps(record) + "\n" for record in records(rows, wide))


def ingest(path: Path, home: Path) -> None:
    """The ingest of a workspace whose base is never loaded; run in a process of its own."""
    from editlog.store import EditLog
    from lifelong.config import Config
    from lifelong.layout import Layout
    from lifelong.workspace import Workspace

    layout = Layout(home)
    home.mkdir()
    EditLog.create(layout.log, actor="bench")
    receipt = Workspace(layout, Config()).ingest(path, actor="bench")
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "kind": path.suffix[1:],
                "rows": receipt.accepted,
                "file_mb": round(path.stat().st_size / 1e6, 1),
                "peak_rss_mib": round(used.ru_maxrss / 1024),
                "cpu_s": round(used.ru_utime + used.ru_stime, 1),
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default="10000,100000,1000000")
    parser.add_argument("--wide", type=int, default=0, help="characters of a prompt, at least")
    parser.add_argument("--kinds", default="jsonl,csv")
    parser.add_argument("--directory", type=Path, help="where files and logs may lie for a while")
    parser.add_argument("--ingest", nargs=2, type=Path, metavar=("FILE", "HOME"), help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.ingest:
        ingest(*said.ingest)
        return
    for kind in said.kinds.split(","):
        for rows in map(int, said.rows.split(",")):
            with tempfile.TemporaryDirectory(dir=said.directory) as folder:
                path = Path(folder) / f"facts.{kind}"
                write(path, rows, said.wide)
                command = [sys.executable, __file__, "--ingest", str(path), str(Path(folder) / "home")]
                subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
