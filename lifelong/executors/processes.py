"""Tasks in processes of this machine."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from lifelong.executors import ATTEMPTS, Done, Failed, Task
from lifelong.executors.worker import perform


class Processes:
    """`workers` processes, each with a base of its own. `work` performs an encoded task; a test brings another."""

    def __init__(self, workers: int, work: Callable[[str], Done] = perform) -> None:
        self._workers = workers
        self._work = work

    def run(self, tasks: Sequence[Task]) -> Iterator[Done | Failed]:
        """See `Executor.run`. A process that dies takes the whole pool along: a new one does what is left.

        Nobody can say which task killed it, so the last attempt gives each task a pool of its own.
        """
        left = list(tasks)
        for attempt in range(1, ATTEMPTS + 1):
            alone = attempt == ATTEMPTS
            rounds = [[task] for task in left] if alone else [left]
            left = []
            for together in rounds:
                for task, result in self._round(together):
                    if result is not None:
                        yield result
                    elif alone:
                        yield Failed(task.name, "its process died each time")
                    else:
                        left.append(task)
            if not left:
                return

    def _round(self, tasks: list[Task]) -> Iterator[tuple[Task, Done | Failed | None]]:
        """Each task with its result; None where the pool died first."""
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(self._workers, len(tasks)), mp_context=spawn) as pool:
            begun = {pool.submit(self._work, task.encode()): task for task in tasks}
            for future in as_completed(begun):
                task = begun[future]
                try:
                    yield task, future.result()
                except BrokenProcessPool:
                    yield task, None
                except Exception as error:  # noqa: BLE001 - whatever a task raises is that task's failure alone
                    yield task, Failed(task.name, type(error).__name__)
