"""completion: what a shell needs to complete verbs and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes verbs and options in a shell.

    In ~/.zshrc it belongs behind the line that runs compinit.

    \b
    Examples:
      lifelong completion bash >> ~/.bashrc
      lifelong completion zsh >> ~/.zshrc
      lifelong completion fish > ~/.config/fish/completions/lifelong.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    # Not `source()`: that first runs bash to see whether it is new enough, which is for the one who sources it to see.
    script = kind(ctx.find_root().command, {}, "lifelong", "_LIFELONG_COMPLETE")
    click.echo(script.source_template % script.source_vars())
