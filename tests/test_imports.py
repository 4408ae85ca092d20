"""The arrows of ARCHITECTURE.md, held by reading every import statement; and the files' length.

`cli -> benching -> workspace -> verbs, jobs, evaluation -> models/edited -> editors, anchors, experts -> models`;
everyone may read `editlog` and `policies`, which import neither `lifelong` nor each other.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 500
PURE = {
    "__future__", "bisect", "collections", "dataclasses", "datetime", "enum", "functools", "hashlib", "heapq",
    "itertools", "json", "math", "numpy", "operator", "policies", "pydantic", "random", "re", "statistics",
    "tomllib", "typing", "unicodedata", "zoneinfo",
}  # fmt: skip
MECHANISMS = {"accelerate", "datasets", "faiss", "peft", "safetensors", "torch", "transformers"}


def modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Dotted names of everything a module imports, wherever in the file it does so."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute in this house"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def packages(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


# A package stands where its name does; a module that stands apart from its package is named with it.
LAYERS = (
    {"models.chat", "models.loading", "models.placement"},
    {"config", "files", "formatting", "hub", "layout", "results", "scheduling", "withheld"}
    | {"models", "jobs.hooks", "jobs.progress"},
    {"anchors", "editors", "executors", "experts", "snapshots.serving", "snapshots.snapshot"},
    {"models.edited"},
    {"evaluation", "export", "jobs", "reports", "snapshots", "verbs"},
    {"workspace", "jobs.merging", "jobs.rebasing", "jobs.running", "jobs.telling"}
    | {"verbs.checkup", "verbs.founding", "verbs.looking", "verbs.operating"},
    {"benching"},
    {"cli"},
)


def layer(module: str) -> int:
    """How high a module of `lifelong` stands, by its longest name that has a layer."""
    parts = module.split(".")
    for name in (".".join(parts[:2]), parts[0]):
        for height, members in enumerate(LAYERS):
            if name in members:
                return height
    raise AssertionError(f"lifelong/{module} has no layer yet: give it one here and in ARCHITECTURE.md")


def api_or(name: str) -> str:
    """What is under `lifelong` of an imported name; `import lifelong` is the API itself."""
    parts = name.split(".")
    place = ROOT / "lifelong" / "/".join(parts[1:2])
    return ".".join(parts[1:]) if parts[1:] and (place.exists() or place.with_suffix(".py").exists()) else "workspace"


@pytest.mark.parametrize("path", modules("lifelong"), ids=lambda path: str(path.relative_to(ROOT)))
def test_mechanisms_import_downwards(path: Path) -> None:
    own = ".".join(path.relative_to(ROOT / "lifelong").with_suffix("").parts)
    if own in ("__init__", "__main__"):
        return
    upwards = {
        name for name in imported(path) if name.partition(".")[0] == "lifelong" and layer(api_or(name)) > layer(own)
    }
    assert not upwards


def test_the_log_knows_nothing_of_models() -> None:
    for path in modules("editlog"):
        assert not packages(path) & (MECHANISMS | {"lifelong", "policies"}), path


def test_policies_are_pure() -> None:
    for path in modules("policies"):
        assert packages(path) <= PURE, f"{path}: a policy decides on plain data and does no I/O"
        assert "open(" not in path.read_text(encoding="utf-8"), path


def test_one_place_opens_duckdb() -> None:
    everywhere = modules("editlog", "policies", "lifelong")
    assert {path.relative_to(ROOT).parts[0] for path in everywhere if "duckdb" in packages(path)} == {"editlog"}
    openers = [path for path in everywhere if "duckdb.connect(" in path.read_text(encoding="utf-8")]
    assert names(openers) == ["editlog/session.py"]


def test_one_place_imports_faiss() -> None:
    assert len([path for path in modules("lifelong") if "faiss" in packages(path)]) <= 1


def test_files_stay_short() -> None:
    outside = ("pretraining", "benchmarks", "examples", "scripts", "tests")
    for path in modules("editlog", "policies", "lifelong", *outside):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES, path
