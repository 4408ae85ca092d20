"""What pyproject.toml allows is what `make test-lowest` installs: no lower bound that nobody ever ran."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
ALLOWED = [*PROJECT["dependencies"], *EXTRAS["signing"], *EXTRAS["datasets"]]


def pins(name: str) -> dict[str, tuple[int, ...]]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {
        package: version(pin)
        for package, _, pin in (line.partition("==") for line in lines)
        if pin and package[0] != "#"
    }


def version(text: str) -> tuple[int, ...]:
    """The first three numbers, so that 2.0 is 2.0.0."""
    found = [int(part) for part in text.split(".")]
    return tuple([*found, 0, 0, 0][:3])


@pytest.mark.parametrize("dependency", ALLOWED)
def test_the_lowest_version_allowed_is_the_one_tested(dependency: str) -> None:
    name, lowest = re.fullmatch(r"([\w-]+)>=([\d.]+)(?:,<\d+)?", dependency).groups()  # type: ignore[union-attr]
    assert pins("constraints-lowest.txt")[name] == version(lowest)
    assert pins("constraints.txt")[name] >= version(lowest)
