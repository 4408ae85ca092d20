"""The scheduler in the foreground, on a clock of our own: what is due runs once, what was missed runs once."""

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lifelong.scheduling.schedule import Schedule
from lifelong.scheduling.scheduler import Memory, Scheduler, SystemClock, run_command, stopped_by_signals

NIGHTLY = Schedule(cron="30 2 * * *", timezone="UTC")
EVENING = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
BUSY = 75


class VirtualClock:
    """A clock that moves when somebody waits, jumps when told to, and asks to stop at `end`."""

    def __init__(self, start: datetime, end: datetime) -> None:
        self._now = start
        self._end = end
        self.jumps: list[tuple[datetime, timedelta]] = []

    def now(self) -> datetime:
        return self._now

    def wait(self, seconds: float) -> bool:
        self._now += timedelta(seconds=seconds)
        if self.jumps and self._now >= self.jumps[0][0]:
            self._now += self.jumps.pop(0)[1]
        return self._now >= self._end


class Jobs:
    """Counts the jobs, with the moment of each; ends with the exit codes given, then with 0."""

    def __init__(self, clock: VirtualClock, *codes: int) -> None:
        self._clock = clock
        self._codes = list(codes)
        self.at: list[datetime] = []

    def __call__(self) -> int:
        self.at.append(self._clock.now())
        return self._codes.pop(0) if self._codes else 0


def nights(clock: VirtualClock, memory: Path, *codes: int) -> list[str]:
    """Serve until the clock's end; when the jobs ran, as `21 02:30`."""
    jobs = Jobs(clock, *codes)
    Scheduler(NIGHTLY, jobs, Memory(memory), clock).serve()
    return [f"{at:%d %H:%M}" for at in jobs.at]


def test_a_job_runs_each_night_and_none_on_the_first_start(tmp_path: Path) -> None:
    clock = VirtualClock(EVENING, EVENING + 72 * HOUR)
    assert nights(clock, tmp_path / "last") == ["21 02:30", "22 02:30", "23 02:30"]


def test_nights_that_were_missed_are_caught_up_once(tmp_path: Path) -> None:
    nights(VirtualClock(EVENING, EVENING + 12 * HOUR), tmp_path / "last")
    week = VirtualClock(EVENING + 6 * 24 * HOUR, EVENING + 7 * 24 * HOUR)
    assert nights(week, tmp_path / "last") == ["26 18:00", "27 02:30"]


def test_a_restart_runs_nothing_twice(tmp_path: Path) -> None:
    for hours in range(0, 48, 4):
        start = EVENING + hours * HOUR
        clock = VirtualClock(start, start + 4 * HOUR)
        expected = [f"{21 + hours // 24} 02:30"] if hours % 24 == 8 else []
        assert nights(clock, tmp_path / "last") == expected


def test_a_clock_that_jumps_back_runs_the_night_once(tmp_path: Path) -> None:
    clock = VirtualClock(EVENING, EVENING + 24 * HOUR)
    clock.jumps = [(EVENING + 9 * HOUR, -2 * HOUR)]
    assert nights(clock, tmp_path / "last") == ["21 02:30"]


def test_a_machine_that_slept_through_the_night_runs_it_when_it_wakes(tmp_path: Path) -> None:
    clock = VirtualClock(EVENING, EVENING + 30 * HOUR)
    clock.jumps = [(EVENING + 2 * HOUR, 13 * HOUR)]
    assert nights(clock, tmp_path / "last") == ["21 09:00"]


def test_a_moment_remembered_from_a_wrong_clock_is_forgotten(tmp_path: Path) -> None:
    Memory(tmp_path / "last").keep(datetime(2038, 1, 19, tzinfo=UTC))
    clock = VirtualClock(EVENING, EVENING + 24 * HOUR)
    assert nights(clock, tmp_path / "last") == ["21 02:30"]


def test_a_memory_that_cannot_be_read_is_a_first_start(tmp_path: Path) -> None:
    (tmp_path / "last").write_bytes(b"\xff\x00 tomorrow")
    clock = VirtualClock(EVENING, EVENING + 24 * HOUR)
    assert nights(clock, tmp_path / "last") == ["21 02:30"]


def test_a_busy_workspace_is_tried_again_soon_and_then_left_for_the_next_night(tmp_path: Path) -> None:
    clock = VirtualClock(EVENING, EVENING + 12 * HOUR)
    assert nights(clock, tmp_path / "last", BUSY, BUSY) == ["21 02:30", "21 02:35", "21 02:40"]
    clock = VirtualClock(EVENING, EVENING + 48 * HOUR)
    ran = nights(clock, tmp_path / "other", *[BUSY] * 12)
    assert ran[11:] == ["21 03:25", "22 02:30"]


def test_a_job_that_fails_does_not_stop_the_nights_after_it(tmp_path: Path) -> None:
    clock = VirtualClock(EVENING, EVENING + 48 * HOUR)
    assert nights(clock, tmp_path / "last", 4, -9) == ["21 02:30", "22 02:30"]


def test_a_job_that_was_interrupted_by_a_stop_is_due_again_at_the_next_start(tmp_path: Path) -> None:
    clock = VirtualClock(EVENING, EVENING + 48 * HOUR)

    def stopped_in_the_middle() -> int:
        clock._end = clock.now()
        return 130

    Scheduler(NIGHTLY, stopped_in_the_middle, Memory(tmp_path / "last"), clock).serve()
    later = VirtualClock(clock.now() + HOUR, clock.now() + 4 * HOUR)
    assert nights(later, tmp_path / "last") == ["21 03:30"]


def test_a_job_is_a_process_and_its_exit_code_is_ours() -> None:
    assert run_command([sys.executable, "-c", "raise SystemExit(3)"], SystemClock()) == 3


def test_a_stop_interrupts_the_job_as_a_ctrl_c_would() -> None:
    clock = SystemClock()
    clock.stop.set()
    with stopped_by_signals(clock):
        assert run_command(["sleep", "60"], clock) == -signal.SIGINT


def test_sigterm_ends_the_scheduler_cleanly(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from lifelong.scheduling.schedule import Schedule\n"
        "from lifelong.scheduling.scheduler import Memory, Scheduler, SystemClock, stopped_by_signals\n"
        "clock = SystemClock()\n"
        "with stopped_by_signals(clock):\n"
        "    print('ready', flush=True)\n"
        "    Scheduler(Schedule(), lambda: 1, Memory(pathlib.Path(sys.argv[1])), clock).serve()\n"
        "print('stopped')\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "last")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        running.send_signal(signal.SIGTERM)
        assert running.stdout.read() == "stopped\n"
    assert running.returncode == 0
