"""Hooks tell somebody how a job ended, and nothing they do can harm it or give a secret away."""

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lifelong.jobs.hooks import Hook, tell

MESSAGE = {"job": "job-7", "status": "audit-failed", "home": "/srv/edits; rm -rf $HOME"}


class Listener(BaseHTTPRequestHandler):
    """Keeps what it was told; answers as its path says."""

    told: list[tuple[dict[str, str], Any]]
    address: str

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.told.append((dict(self.headers), json.loads(body)))
        self.send_response(int(self.path[1:4]))
        if self.path == "/302":
            self.send_header("Location", "/200")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def listener() -> Iterator[type[Listener]]:
    mine = type("Mine", (Listener,), {"told": []})
    server = HTTPServer(("127.0.0.1", 0), mine)
    mine.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield mine
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_command_gets_the_message_on_its_standard_input(tmp_path: Path) -> None:
    hook = Hook(command=["sh", "-c", 'cat > "$1"', "sh", "told; touch x.json"], timeout=60)
    assert tell(hook, MESSAGE, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["told; touch x.json"]
    assert json.loads((tmp_path / "told; touch x.json").read_bytes()) == MESSAGE


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["/no/such/program"], "FileNotFoundError"),
        (["sh", "-c", "exit 3"], "exit code 3"),
        (["sleep", "60"], "TimeoutExpired"),
    ],
)
def test_a_command_that_fails_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, command: list[str], said: str
) -> None:
    assert not tell(Hook(command=command, timeout=0.5), MESSAGE, tmp_path)
    assert said in caplog.text


def test_a_webhook_gets_the_message_and_the_token_of_a_file(listener: Any, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n", encoding="ascii")
    assert tell(Hook(webhook=f"{listener.address}/200", bearer_file="token", timeout=60), MESSAGE, tmp_path)
    [(headers, body)] = listener.told
    assert body == MESSAGE
    assert headers["Authorization"] == "Bearer s3cret"


@pytest.mark.parametrize("path", ["/500?key=s3cret", "/302"])
def test_a_webhook_that_refuses_is_a_warning_without_the_address(
    listener: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert not tell(Hook(webhook=f"{listener.address}{path}", timeout=60), MESSAGE, tmp_path)
    assert f"status {path[1:4]}" in caplog.text
    assert "s3cret" not in caplog.text
    assert len(listener.told) == 1


def test_a_webhook_that_is_not_there_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hook = Hook(webhook="http://127.0.0.1:9/s3cret", bearer_file="token", timeout=1)
    assert not tell(hook, MESSAGE, tmp_path)
    (tmp_path / "token").write_text("s3cret\nHost: evil", encoding="ascii")
    assert not tell(hook, MESSAGE, tmp_path)
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("wrong", [{"webhook": "file:///etc/passwd"}, {"command": "rm -rf /"}, {"command": []}])
def test_what_is_no_hook_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Hook.model_validate(wrong)
