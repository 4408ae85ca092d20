"""Progress: a bar for who watches, lines for who reads later, on stderr and never on stdout."""

import io

import pytest
from rich.console import Console

from lifelong.cli.progress import Bar, Lines, progress_bar


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)


def last_bar(console: Console) -> str:
    """The bottom bar as it was left."""
    assert isinstance(console.file, io.StringIO)
    return [line for line in console.file.getvalue().splitlines() if "/" in line][-1]


def test_a_bar_counts_and_ends_full_whatever_was_foreseen() -> None:
    console = terminal()
    with Bar(console) as bar:
        bar.stage("train", 4)
        bar.advance(4)
        bar.stage("audit", 10)
        bar.advance(7)
        bar.advance(5)
    assert "12/12" in last_bar(console)


def test_a_bar_that_is_interrupted_does_not_claim_to_be_full() -> None:
    console = terminal()
    with pytest.raises(KeyboardInterrupt), Bar(console) as bar:
        bar.stage("train", 4)
        bar.advance(1)
        raise KeyboardInterrupt
    assert "1/4" in last_bar(console)


def test_what_follows_a_job_is_shown_below_its_bars() -> None:
    console = terminal()
    with Bar(console) as bar:
        bar.stage("train", 4)
        bar.advance(4)
        bar.done()
        bar.stage("mix", 3)
        bar.advance(3)
        bar.done()
    assert "mix" in last_bar(console)
    assert "3/3" in last_bar(console)


def test_lines_tell_each_stage_once_it_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    with Lines() as lines:
        lines.stage("train", 4)
        lines.advance(3)
        lines.advance(1)
        lines.stage("publish", 1)
        lines.advance(1)
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.partition(" in ")[0] for line in err.splitlines()] == ["train: 4", "publish: 1"]


def test_nobody_watches_a_pipe() -> None:
    assert isinstance(progress_bar(), Lines)
