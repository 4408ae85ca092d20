"""The verbs that run a workspace from day to day: when jobs run, what people see of them, a move to another base."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from lifelong.config import Config
from lifelong.layout import Layout

if TYPE_CHECKING:
    from editlog.fallback import Fallback
    from editlog.position import AsOf
    from lifelong.executors import Workers
    from lifelong.jobs.progress import Progress
    from lifelong.jobs.rebasing import Rebased
    from lifelong.reports.period import Period
    from lifelong.results import Status
    from lifelong.scheduling.installing import Installed
    from lifelong.scheduling.schedule import Schedule
    from lifelong.scheduling.units import Unit


class Operating(ABC):
    """A home that is run from day to day. `schedule` is that of the configuration where none is given."""

    layout: Layout
    config: Config

    @property
    @abstractmethod
    def reader(self) -> Fallback:
        """The edit log, to ask: or its replica, where a writer holds it for long."""

    @abstractmethod
    def status(self) -> Status:
        """The workspace at a glance."""

    # When jobs run

    def systemd_units(self, schedule: Schedule | None = None) -> list[Unit]:
        """A timer, a service and a failure's service for systemd, as text; raises UsageError for what it cannot say."""
        from lifelong.scheduling.units import systemd_units

        return systemd_units(self.layout.home, schedule or self.config.schedule)

    def crontab_line(self, schedule: Schedule | None = None) -> str:
        """A line for a crontab; raises UsageError for what cron cannot say."""
        from lifelong.scheduling.units import crontab_line

        return crontab_line(self.layout.home, schedule or self.config.schedule)

    def install_schedule(
        self, schedule: Schedule | None = None, *, directory: Path | None = None, dry_run: bool = False
    ) -> Installed:
        """Write the systemd units into `directory` (None: the user's own); starts nothing, and says what does."""
        from lifelong.scheduling.installing import install

        return install(self.layout.home, schedule or self.config.schedule, directory=directory, dry_run=dry_run)

    def serve_schedule(
        self, schedule: Schedule | None = None, *, actor: str | None = None, reason: str | None = None
    ) -> None:
        """Run a job whenever one is due, each in a process of its own, until SIGTERM or SIGINT; main thread only.

        What was missed is caught up once. The last moment dealt with is kept in `schedule.last` of the workspace.
        """
        from lifelong.scheduling.scheduler import Memory, Scheduler, SystemClock, run_command, stopped_by_signals
        from lifelong.scheduling.units import job_command

        clock = SystemClock()
        command = job_command(self.layout.home, actor=actor, reason=reason)
        memory = Memory(self.layout.home / "schedule.last")
        with stopped_by_signals(clock):
            Scheduler(schedule or self.config.schedule, lambda: run_command(command, clock), memory, clock).serve()

    # Where jobs train

    def workers(self, executor: str | None = None) -> Workers | None:
        """Who trains waves: the executor of that name (None: the configuration's); None where the job does so itself.

        Raises UsageError for an unknown one, and for `ray` where Ray is not installed.
        """
        from lifelong.executors import Workers, executor_named

        config = self.config
        found = executor_named(executor or config.executor, workers=config.workers, address=config.ray_address)
        if found is None:
            return None
        return Workers(
            executor=found,
            model=config.model,
            device=config.device,
            dtype=config.dtype,
            threads=config.threads,
            trust_remote_code=config.trust_remote_code,
            chat=config.chat,
        )

    # What people and monitors see

    def report(self, since: AsOf, *, until: AsOf | None = None, out: Path | None = None) -> Period:
        """What became of the workspace since a moment, an event or a job (which is in it); `out`: as a page, too.

        Raises UsageError for a position that the log does not have.
        """
        from lifelong.files import write_atomically
        from lifelong.reports.page import period_page
        from lifelong.reports.period import period

        found = period(self.layout, self.reader, since, until)
        if out:
            write_atomically(out, period_page(found, f"{self.layout.home.name} since {since}").encode())
        return found

    def write_prometheus(self, path: Path) -> None:
        """Write the state as Prometheus text to a file, whole or not at all; node_exporter reads `*.prom`."""
        from editlog.store import utc_now
        from lifelong.reports.gauges import write_gauges

        write_gauges(path, self.status(), utc_now())

    # Another base

    def rebase(
        self,
        out: str | Path,
        *,
        model: str,
        seed: int = 0,
        actor: str | None = None,
        reason: str | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> Rebased:
        """Replay the log onto another base, in a new workspace at `out`; this one is only read, and stays as it is.

        Facts that the new base knows (greedy answers, exact match) are skipped. The same call goes on where one was
        killed. Raises UsageError where `out` holds something else, or the model cannot be had.
        """
        from lifelong.jobs.progress import Silent
        from lifelong.jobs.rebasing import rebase
        from lifelong.workspace import default_actor

        return rebase(
            self,  # type: ignore[arg-type]  # every home that is operated is a Workspace
            Path(out).expanduser().absolute(),
            model=model,
            seed=seed,
            actor=actor or default_actor(),
            reason=reason,
            dry_run=dry_run,
            progress=progress or Silent(),
        )
