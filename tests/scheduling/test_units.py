"""Units and crontab lines call the command line and nothing else, whatever a path is made of."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from editlog.errors import UsageError
from lifelong.scheduling.installing import install, user_units
from lifelong.scheduling.schedule import Schedule
from lifelong.scheduling.units import crontab_line, job_command, systemd_units, unit_name

NIGHTLY = Schedule(cron="30 2 * * 1-5", timezone="Europe/Vienna")
AWKWARD = Path('/srv/it\'s 100% "ours" $HOME ünï; reboot #')


def unit(kind: str, home: Path = AWKWARD) -> str:
    texts = {one.name.removeprefix(unit_name(home)): one.text for one in systemd_units(home, NIGHTLY)}
    return texts[kind]


def settings(text: str) -> list[str]:
    return [line for line in text.splitlines() if "=" in line and not line.startswith("#")]


def test_the_timer_catches_up_and_the_service_says_which_ends_are_well() -> None:
    assert "Persistent=true" in settings(unit(".timer"))
    assert "OnCalendar=Mon,Tue,Wed,Thu,Fri *-*-* 02:30:00 Europe/Vienna" in settings(unit(".timer"))
    service = settings(unit(".service"))
    assert "SuccessExitStatus=3" in service
    assert "RestartForceExitStatus=75" in service
    assert f"OnFailure={unit_name(AWKWARD)}-failed.service" in service


def test_a_path_is_one_word_for_systemd_whatever_is_in_it() -> None:
    [line] = [line for line in settings(unit(".service")) if line.startswith("ExecStart=")]
    assert '"/srv/it\'s 100%% \\"ours\\" $$HOME ünï; reboot #"' in line
    assert line.startswith(f'ExecStart="{sys.executable}" "-m" "lifelong" "--home" ')


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine")
@pytest.mark.parametrize("home", [Path("/srv/edits"), AWKWARD])
def test_systemd_accepts_the_units(home: Path, tmp_path: Path) -> None:
    units = systemd_units(home, NIGHTLY)
    for one in units:
        (tmp_path / one.name).write_text(one.text, encoding="utf-8")
    words = ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / one.name) for one in units)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) not in done.stderr, done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine")
@pytest.mark.parametrize("cron", ["30 2 * * *", "*/7 1,5 1-7 2-5 MON", "0 4 13 * FRI", "0 0 * * 0"])
def test_systemd_and_the_scheduler_mean_the_same_moment(cron: str) -> None:
    from datetime import UTC, datetime

    schedule = Schedule(cron=cron, timezone="America/New_York")
    words = ["systemd-analyze", "calendar", *schedule.on_calendar()]
    shown = subprocess.run(
        words, capture_output=True, text=True, check=True, env={"TZ": "UTC", "PATH": "/usr/bin:/bin"}
    )
    elapses = [line.split() for line in shown.stdout.splitlines() if "(in UTC)" in line or "Next elapse" in line]
    named = [datetime.fromisoformat(f"{words[-3]} {words[-2]}+00:00") for words in elapses if words[-1] == "UTC"]
    assert min(named) == schedule.next_after(datetime.now(UTC))


def test_a_crontab_line_is_read_back_as_the_very_command() -> None:
    zone, line = crontab_line(AWKWARD, NIGHTLY).splitlines()[-2:]
    assert zone == "CRON_TZ=Europe/Vienna"
    assert line.startswith("30 2 * * 1-5 ")
    command = line.removeprefix("30 2 * * 1-5 ")
    assert "%" not in command.replace(r"\%", "")  # cron ends a command at a bare one
    assert shlex.split(command.replace(r"\%", "%")) == job_command(AWKWARD)


@pytest.mark.parametrize("path", ["/srv/two\nlines", "/srv/a\x00b", "/srv/\udce9"])
def test_a_path_that_cannot_be_said_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="cannot stand in a systemd unit"):
        systemd_units(Path(path), NIGHTLY)
    with pytest.raises(UsageError, match="cannot stand in a crontab"):
        crontab_line(Path(path), NIGHTLY)


def test_two_workspaces_of_one_name_have_units_of_their_own() -> None:
    assert unit_name(Path("/srv/a/edits")) != unit_name(Path("/srv/b/edits"))
    assert unit_name(AWKWARD).isascii()


def test_installing_writes_the_units_once_and_says_what_comes_next(tmp_path: Path) -> None:
    first = install(Path("/srv/edits"), NIGHTLY, directory=tmp_path / "user", dry_run=True)
    assert len(first.changed) == 3
    assert not (tmp_path / "user").exists()
    done = install(Path("/srv/edits"), NIGHTLY, directory=tmp_path / "user")
    assert sorted(str(path) for path in (tmp_path / "user").iterdir()) == sorted(done.changed)
    assert any("enable --now" in command for command in done.next)
    assert install(Path("/srv/edits"), NIGHTLY, directory=tmp_path / "user").changed == []


def test_without_systemd_a_person_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="crontab -e"):
        install(Path("/srv/edits"), NIGHTLY)


def test_the_users_units_lie_where_systemd_looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert user_units() == tmp_path / "systemd" / "user"
