"""Completion in a real shell: its own machinery is asked what it would offer behind `lifelong re`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from lifelong.cli import main

# What each shell is told to say which words it would offer, once it has read the script that `completion` prints.
ASKED = {
    "bash": "COMP_WORDS=(lifelong {words}); COMP_CWORD={place}; _lifelong_completion lifelong;"
    ' printf "%s\\n" "${{COMPREPLY[@]}}"',
    "zsh": "words=(lifelong {words}); CURRENT=$(({place} + 1)); compadd() {{ print -l -- ${{(P)@[-1]}} }};"
    " _describe() {{ print -l -- ${{(P)3}} }}; _lifelong_completion",
    "fish": 'complete --do-complete "lifelong {words}"',
}
REVERSING = {"retract", "revert", "reject", "rebuild", "rebase", "report", "recipes"}


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH that begins with a command `lifelong` of this checkout."""
    command = tmp_path / "bin" / "lifelong"
    command.parent.mkdir()
    root = Path(__file__).parent.parent.parent
    # As pip writes it: click takes the command's name from its file.
    lines = [f"#!{sys.executable}", "import sys", f"sys.path.insert(0, {str(root)!r})"]
    command.write_text("\n".join([*lines, "from lifelong.cli import main", "main()", ""]))
    command.chmod(0o755)
    return f"{command.parent}:{os.environ['PATH']}"


def offered(shell: str, path: str, folder: Path, words: str) -> set[str]:
    """The words that the shell offers for the last one of a line that begins with `lifelong`."""
    printed = CliRunner().invoke(main, ["completion", shell])
    assert printed.exit_code == 0
    script = folder / f"completion.{shell}"
    script.write_text(printed.output)
    begin = "autoload -U compinit && compinit -D; " if shell == "zsh" else ""
    asked = ASKED[shell].format(words=words, place=len(words.split()))
    done = subprocess.run(
        [shell, "-c", f"{begin}. {script}; {asked}"],
        env={"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return {line.split("\t")[0].split(":")[0].strip() for line in done.stdout.splitlines()}


@pytest.mark.parametrize("shell", ASKED)
def test_a_shell_completes_verbs_and_options(shell: str, path: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here")
    assert offered(shell, path, tmp_path, "re") >= REVERSING
    assert offered(shell, path, tmp_path, "log re") == {"recover", "redact"}
    assert "--device" in offered(shell, path, tmp_path, "init --d")


@pytest.mark.parametrize(
    ("shell", "answer"), [("bash", "plain,retract"), ("zsh", "retract"), ("fish", "plain,retract")]
)
def test_the_command_answers_each_shell(shell: str, answer: str) -> None:
    """The half of it that needs no such shell: what the scripts ask of the command."""
    asked = {"_LIFELONG_COMPLETE": f"{shell}_complete", "COMP_WORDS": "lifelong re", "COMP_CWORD": "1"}
    asked["COMP_CWORD"] = "re" if shell == "fish" else "1"
    said = CliRunner().invoke(main, [], prog_name="lifelong", env=asked).output
    assert answer in {line.split("\t")[0] for line in said.splitlines()}
