"""What a process says as JSON lines: one object a line, with the job, whatever the message holds."""

import contextvars
import json
import logging
from collections.abc import Iterator

import pytest

from lifelong.reports.logs import LoggedProgress, name_job, speak


@pytest.fixture(autouse=True)
def quiet_again() -> Iterator[None]:
    logger = logging.getLogger("lifelong")
    before = logger.handlers, logger.level, logger.propagate
    yield
    logger.handlers, logger.level, logger.propagate = before


def stages_of_a_job() -> None:
    with LoggedProgress() as progress:
        name_job("job-9")
        progress.stage("train", 20)
        progress.advance(12)
        progress.advance(8)
        progress.stage("audit", 5)


def test_the_stages_of_a_job_are_lines_that_name_it(capsys: pytest.CaptureFixture[str]) -> None:
    speak("json")
    contextvars.copy_context().run(stages_of_a_job)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["message"] for line in lines] == ["train begins", "train is done", "audit begins", "audit is done"]
    assert {line["job"] for line in lines} == {"job-9"}
    assert lines[1]["done"] == 20


def test_a_message_of_two_lines_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    speak("json")
    logging.getLogger("lifelong.x").warning("two\nlines %s", '"')
    [line] = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert told["message"] == 'two\nlines "'
    assert told["level"] == "warning"
    assert told["job"] is None


def test_speaking_again_changes_the_format_and_says_nothing_twice(capsys: pytest.CaptureFixture[str]) -> None:
    speak("json")
    speak("text")
    logging.getLogger("lifelong.x").info("plain")
    assert capsys.readouterr().err == "plain\n"
