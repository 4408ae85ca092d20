"""Tasks on a Ray cluster (the extra `lifelong[ray]`): one that is there, by its address, or one of our own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from editlog.errors import UsageError
from lifelong.executors import ATTEMPTS, Done, Failed, Task
from lifelong.executors.worker import perform


class RayCluster:
    """A Ray cluster; every node must have this package and the base model. `work` is `perform`, but for tests."""

    def __init__(self, *, workers: int, address: str | None, work: Callable[[str], Done] = perform) -> None:
        try:
            import ray
        except ModuleNotFoundError:
            raise UsageError("the executor ray needs Ray: pip install 'lifelong[ray]'") from None
        self._ray: Any = ray
        self._workers = workers
        self._address = address
        self._work = work

    def run(self, tasks: Sequence[Task]) -> Iterator[Done | Failed]:
        """See `Executor.run`. Ray begins a task again where its worker died; what a task raises is its failure."""
        ray = self._ray
        ours = not ray.is_initialized()
        if ours:
            cpus = {"num_cpus": self._workers} if self._workers and not self._address else {}
            ray.init(
                address=self._address, include_dashboard=None if self._address else False, log_to_driver=False, **cpus
            )
        try:
            remote = ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1)(self._work)
            begun = {remote.remote(task.encode()): task for task in tasks}
            while begun:
                [ready], _ = ray.wait(list(begun), num_returns=1)
                yield self._result(begun.pop(ready), ready)
        finally:
            if ours:
                ray.shutdown()

    def _result(self, task: Task, ready: Any) -> Done | Failed:
        try:
            done: Done = self._ray.get(ready)
        except self._ray.exceptions.RayTaskError as error:
            return Failed(task.name, type(error.cause).__name__)
        except self._ray.exceptions.RayError:
            return Failed(task.name, "its worker died each time")
        return done
