"""What is written of the commands elsewhere than in their help (tests/cli/test_documented.py) agrees with them."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from lifelong.cli import main

ROOT = Path(__file__).resolve().parent.parent


def every_command(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        ctx = click.Context(command, info_name=path)
        for name in command.list_commands(ctx):
            child = command.get_command(ctx, name)
            assert child is not None
            yield from every_command(child, f"{path} {name}")


COMMANDS = dict(every_command(main, "lifelong"))


def test_the_reference_is_what_the_commands_print(tmp_path: Path) -> None:
    words = [sys.executable, "scripts/cli_reference.py", str(tmp_path / "CLI.md")]
    subprocess.run(words, check=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    written = (ROOT / "docs" / "CLI.md").read_text(encoding="utf-8")
    assert written == (tmp_path / "CLI.md").read_text(encoding="utf-8"), "run `make docs`"


def test_the_readme_names_only_commands_that_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    called = re.findall(r"^\$? ?lifelong ([a-z]+)", readme, flags=re.MULTILINE)
    assert called
    assert {f"lifelong {name}" for name in called} <= set(COMMANDS)


def test_the_readme_names_only_make_targets_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, flags=re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)`", readme)) <= targets


@pytest.mark.parametrize("page", ["OPERATIONS.md", "JOBS.md"])
def test_what_an_operator_is_told_to_type_exists(page: str) -> None:
    """At 3 a.m. nobody should have to guess: each verb that the page names has the options that it shows."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    told = re.findall(r"(?:`|^\$ (?:\S+/)?)(lifelong [^`#\n]+)", text, flags=re.MULTILINE)
    assert told
    for line in told:
        words = shlex.split(line.replace("...", ""))[1:]
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        words = words[2:] if words[0] == "--home" else words
        name = max((f"lifelong {' '.join(words[:n])}" for n in (1, 2)), key=lambda name: (name in COMMANDS, len(name)))
        known = {option for command in (main, COMMANDS[name]) for param in command.params for option in param.opts}
        assert options <= known | {"--help"}, line
