"""What is measured on the base alone is shared by edits that differ only in how they solve for it."""

from __future__ import annotations

from lifelong.editors.measuring import measured_once, shared_measurements


def test_nothing_is_measured_twice_while_measurements_are_shared_and_nothing_is_kept_behind() -> None:
    told: list[str] = []

    def asked(what: str) -> int:
        def measure() -> int:
            told.append(f"measured {what}")
            return len(told)

        return measured_once(what, measure, recalled=lambda: told.append(f"recalled {what}"))

    with shared_measurements():
        assert asked("keys") == asked("keys") == 1
        asked("values")
    assert told == ["measured keys", "recalled keys", "measured values"]
    asked("keys")
    asked("keys")
    assert told[3:] == ["measured keys", "measured keys"]
