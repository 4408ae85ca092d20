"""A bench that was killed carries on behind the last thing it finished."""

from __future__ import annotations

import pytest

from editlog.errors import UsageError
from lifelong.benching.kept import Kept


def test_what_was_finished_is_not_made_again(tmp_path):
    made: list[str] = []

    def make(name: str):
        made.append(name)
        return {"made": name, "share": 0.5, "none": None}

    for _ in range(2):
        kept = Kept(tmp_path / "bench").within("seed-0")
        assert kept.json("job-1", lambda: make("job-1")) == {"made": "job-1", "share": 0.5, "none": None}
        assert kept.lines("rows", lambda: ({"row": i, "text": "a\u2028b"} for i in range(2)))[1]["text"] == "a\u2028b"
    assert made == ["job-1"]


def test_what_failed_is_made_again(tmp_path):
    kept = Kept(tmp_path)
    with pytest.raises(ZeroDivisionError):
        kept.json("job-1", lambda: 1 / 0)
    assert kept.json("job-1", lambda: 2) == 2


def test_a_folder_is_for_one_bench_only(tmp_path):
    Kept(tmp_path).claim({"recipe": "default", "stream": "a"})
    Kept(tmp_path).claim({"recipe": "default", "stream": "a"})
    with pytest.raises(UsageError, match="holds a bench with another stream; ask for the same again"):
        Kept(tmp_path).claim({"recipe": "default", "stream": "b"})
