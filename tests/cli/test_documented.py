"""Every verb is documented, and its examples are commands with options that exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from lifelong.cli import main


def commands(group: click.Group, *names: str) -> Iterator[tuple[str, click.Command]]:
    """Every verb and noun, however deep, by its words."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        yield " ".join((*names, name)), command
        if isinstance(command, click.Group):
            yield from commands(command, *names, name)


COMMANDS = dict(commands(main))


def examples(command: click.Command) -> list[list[str]]:
    """The words behind `lifelong` in each example, without what only the shell sees."""
    lines = re.findall(r"^ *(?:.*\| *)?lifelong (.*)$", command.help or "", re.MULTILINE)
    return [shlex.split(re.split(r" (?:\||>>?|<) ", line)[0]) for line in lines]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_verb_says_what_it_does_and_shows_an_example(name: str) -> None:
    command = COMMANDS[name]
    assert command.get_short_help_str(120).rstrip(".")
    assert examples(command), f"lifelong {name} shows no example"
    undocumented = [p.name for p in command.params if isinstance(p, click.Option) and not p.help]
    assert undocumented == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_is_a_command_with_options_that_exist(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each example is parsed by the very parser that a user meets; files it names are there, empty."""
    monkeypatch.chdir(tmp_path)
    for example in examples(COMMANDS[name]):
        words = [str(tmp_path / Path(word).name) if word.startswith("/") else word for word in example]
        for path in (Path(word) for word in words if " " not in word and "." in Path(word).name):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        command: click.Command = main
        left = list(words)
        context = click.Context(main, info_name="lifelong")
        while isinstance(command, click.Group) and left:
            if left[0].startswith("-"):
                break
            found = command.get_command(context, left.pop(0))
            assert found is not None, f"{words} names no verb"
            command = found
        command.make_context(command.name, left, parent=context, resilient_parsing=False)
