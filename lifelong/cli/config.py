"""config show, config validate: the workspace's configuration, and the recipe as it is in force."""

from __future__ import annotations

from pathlib import Path

import click

from lifelong.cli import text
from lifelong.cli.shell import emit, reads, workspace


@click.group()
def config() -> None:
    """Look at the workspace's configuration.

    \b
    Examples:
      lifelong config show
      lifelong config validate
    """


@config.command()
@reads
def show(as_json: bool, home: Path | None) -> None:
    """Show lifelong.toml as it is understood, and every dial of the recipe with its overrides applied.

    \b
    Example:
      lifelong config show
    """
    opened = workspace(home)
    data = {
        "home": str(opened.home),
        **opened.config.model_dump(mode="json"),
        "recipe": opened.recipe.model_dump(mode="json"),
    }
    emit(data, as_json, lambda: text.tree(data))


@config.command()
@reads
def validate(as_json: bool, home: Path | None) -> None:
    """Check lifelong.toml and the recipe it names, and change nothing. Exit code 2 and the reason if it cannot be used.

    \b
    Example:
      lifelong config validate
    """
    opened = workspace(home)
    data = {"config": str(opened.layout.config), "recipe": opened.recipe.name, "valid": True}
    emit(data, as_json, lambda: f"{data['config']} can be used (recipe {data['recipe']}).")
