"""Hooks: who is told how a job ended, by a command or a web address. A hook that fails is a warning, never a failure.

A command is a list of words, run without a shell; it gets the message, one JSON object, on its standard input, and is
stopped after `timeout` seconds. A webhook gets the same by POST. Neither the address nor what the other side answered
is ever logged: an address may hold a secret. A secret for a header is read from a file, not from the configuration.
"""

from __future__ import annotations

import json
import logging
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

_log = logging.getLogger("lifelong.hooks")
Word = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00]*$")]
Address = Annotated[str, Field(max_length=4096, pattern=r"^https?://[^\s\x00-\x1f]+$")]
_MAX_SECRET = 4096


class Hook(BaseModel):
    """Where to tell: `command`, `webhook`, or both. `bearer_file` holds a token for the webhook's Authorization."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: list[Word] | None = Field(default=None, min_length=1)
    webhook: Address | None = None
    bearer_file: Word | None = None
    timeout: Annotated[float, Field(gt=0, le=600)] = 10.0


class Hooks(BaseModel):
    """`failure`: a job's audit stopped it, or it ended by an error; `success`: any other job that did something."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    failure: Hook = Hook()
    success: Hook = Hook()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """An address is told where it is: a redirect could carry a token anywhere."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow none."""


def tell(hook: Hook, message: dict[str, Any], home: Path) -> bool:
    """Tell a hook; True where nothing went wrong. Relative paths are from `home`. Raises nothing."""
    body = json.dumps(message, ensure_ascii=False, allow_nan=False).encode()
    well = True
    if hook.command:
        well &= _run(hook.command, body, hook.timeout, home)
    if hook.webhook:
        well &= _post(hook.webhook, body, hook, home)
    return well


def _run(words: list[str], body: bytes, timeout: float, home: Path) -> bool:
    try:
        done = subprocess.run(words, input=body, timeout=timeout, cwd=home, check=False, stdout=subprocess.DEVNULL)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        _log.warning("the hook's command %s did not run to its end: %s", words[0], type(error).__name__)
        return False
    if done.returncode:
        _log.warning("the hook's command %s ended with exit code %d", words[0], done.returncode)
    return done.returncode == 0


def _post(address: str, body: bytes, hook: Hook, home: Path) -> bool:
    headers = {"Content-Type": "application/json", "User-Agent": "lifelong"}
    try:
        if hook.bearer_file:
            with (home / Path(hook.bearer_file).expanduser()).open(encoding="ascii") as file:
                headers["Authorization"] = f"Bearer {file.read(_MAX_SECRET).strip()}"
        request = urllib.request.Request(address, data=body, headers=headers, method="POST")  # noqa: S310 - http(s) only
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=hook.timeout) as answer:
            answer.read(1)
    except urllib.error.HTTPError as error:
        _log.warning("the webhook answered with status %d", error.code)
        return False
    except (OSError, ValueError) as error:  # URLError and timeouts are OSErrors; a bad token is a ValueError
        _log.warning("the webhook was not reached: %s", type(error).__name__)
        return False
    return True
