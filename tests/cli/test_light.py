"""Nothing heavy is imported before it is needed, and `--help` is there at once."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODEL = {"accelerate", "datasets", "faiss", "peft", "safetensors", "torch", "transformers"}
LOG = {"duckdb", "numpy", "pyarrow", "pydantic"}
WATCH = """
import json, sys
from lifelong.cli import main
main(sys.argv[1:], standalone_mode=False)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def loaded_by(*arguments: str) -> set[str]:
    """Top-level packages in memory after a command ran in a process of its own."""
    words = [sys.executable, "-c", WATCH, *arguments]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("words", ["--help", "ask --help", "log list --help"])
def test_help_imports_nothing_heavy(words: str) -> None:
    assert not loaded_by(*words.split()) & (MODEL | LOG | {"rich"})


@pytest.mark.parametrize("words", ["log list", "log verify", "fact history f4", "fact show f4"])
def test_the_log_is_read_without_a_model(home: Path, words: str) -> None:
    assert not loaded_by("--home", str(home), *words.split()) & MODEL


def test_what_is_served_is_looked_at_and_moved_back_without_a_model() -> None:
    """`status`, `plan` and `rollback`: half a second of imports, and not the seconds that torch takes."""
    modules = "lifelong.verbs.overview, lifelong.jobs.rollback, lifelong.snapshots.publishing"
    code = f"import sys, {modules}; print(*sorted({{'torch', 'faiss', 'transformers'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []


def test_help_takes_less_than_0_4_seconds_of_work() -> None:
    def seconds() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = seconds()
    subprocess.run([sys.executable, "-m", "lifelong", "--help"], capture_output=True, check=True, cwd=ROOT)
    assert seconds() - before < 0.4
