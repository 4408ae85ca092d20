"""Tasks performed elsewhere: to the same experts as here, again where a worker dies, given up alone where they fail."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from editlog.errors import UsageError
from lifelong.executors import Done, Executor, Failed, Task, executor_named
from lifelong.executors.processes import Processes

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'lifelong[ray]'")
Records = Sequence[dict[str, Any]]
SMALL_WAVES = {"grouping": {"mini_batch": 4, "wave": 4}}


def task(name: str, folder: Path | None = None) -> Task:
    """A task whose lesson is a folder to leave marks in."""
    return Task(name, "base", str(folder), "cpu", "float32", False, False, 1, "{}", (({"prompt": name},),), 0, 1)


def marked(task: Task) -> int:
    """How often the task was begun, this time included."""
    folder = Path(task.model)
    (folder / f"{task.name}-{os.getpid()}-{len(list(folder.iterdir()))}").touch()
    return len(list(folder.glob(f"{task.name}-*")))


def temperamental(encoded: str) -> Done:
    """Work that always dies, dies once, raises, or is done, as the task's name says."""
    task = Task.decode(encoded)
    times = marked(task)
    if task.name == "dies" or (task.name == "dies-once" and times == 1):
        os.kill(os.getpid(), 9)
    if task.name == "raises":
        raise ValueError("words of a fact that nobody may log")
    return Done(task.name, (), {})


def test_a_task_crosses_as_json() -> None:
    assert Task.decode(task("a").encode()) == task("a")


def test_an_executor_is_found_by_name() -> None:
    assert executor_named("local", workers=0, address=None) is None
    assert isinstance(executor_named("local", workers=2, address=None), Processes)
    with pytest.raises(UsageError, match="the executors are: local, ray"):
        executor_named("slurm", workers=0, address=None)


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_a_person_is_told_what_to_install() -> None:
    with pytest.raises(UsageError, match=r"pip install 'lifelong\[ray\]'"):
        executor_named("ray", workers=0, address=None)


def made(kind: str) -> Executor:
    if kind == "processes":
        return Processes(2, temperamental)
    from ray import cloudpickle

    from lifelong.executors.ray import RayCluster

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # no worker can import a test
    return RayCluster(workers=2, address=None, work=temperamental)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["processes", pytest.param("ray", marks=needs_ray)])
def test_a_worker_that_dies_is_replaced_and_a_task_that_fails_is_given_up_alone(kind: str, tmp_path: Path) -> None:
    names = ["well", "dies-once", "raises", "dies", "well-too"]
    results = {one.name: one for one in made(kind).run([task(name, tmp_path) for name in names])}
    assert sorted(results) == sorted(names)
    assert {name for name, one in results.items() if isinstance(one, Done)} == {"well", "dies-once", "well-too"}
    raised, died = results["raises"], results["dies"]
    assert isinstance(raised, Failed)
    assert raised.reason == "ValueError"
    assert isinstance(died, Failed)
    assert "died" in died.reason


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["processes", pytest.param("ray", marks=needs_ray)])
def test_workers_reach_the_same_experts_as_the_job_itself(
    executor: str, tmp_path: Path, make_workspace: Callable[..., Any], facts: Records, write_facts: Callable[..., Path]
) -> None:
    here, there = (make_workspace(tmp_path / name, **SMALL_WAVES) for name in ("here", "there"))
    for one in (here, there):
        one.ingest(write_facts(facts))
    here.run()
    workers = {"workers": 2, "executor": "ray" if executor == "ray" else "local"}
    there.config = there.config.model_copy(update=workers)
    there.run()
    assert {row.hash for row in here.experts()} == {row.hash for row in there.experts()}


@pytest.mark.slow
def test_a_wave_that_nobody_can_train_fails_its_facts_and_not_the_job(
    tmp_path: Path,
    make_workspace: Callable[..., Any],
    facts: Records,
    write_facts: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class OneFails(Processes):
        def run(self, tasks: Sequence[Task]) -> Any:
            yield Failed(tasks[0].name, "its process died each time")
            yield from super().run(tasks[1:])

    workspace = make_workspace(tmp_path / "home", **SMALL_WAVES)
    workspace.ingest(write_facts(facts))
    workspace.config = workspace.config.model_copy(update={"workers": 1})
    monkeypatch.setattr("lifelong.executors.processes.Processes", OneFails)
    report = workspace.run()
    assert {one["code"] for one in report.failed} == {"not-trained"}
    assert len(report.failed) == 4
    assert len(report.applied) == len(facts) - 4
    assert report.exit_code == 3


class Hands:
    """An executor that hands back what it is told to."""

    def __init__(self, packs: Sequence[bytes], outcomes: dict[str, Any]) -> None:
        self._packs, self._outcomes = tuple(packs), outcomes

    def run(self, tasks: Sequence[Task]) -> Iterator[Done | Failed]:
        yield from (Done(one.name, self._packs, self._outcomes) for one in tasks)


def test_what_a_worker_hands_back_is_checked_like_any_file(
    tmp_path: Path, base: Any, recipe: Any, facts: Records, edit: Any
) -> None:
    from editlog.fact import Fact
    from lifelong.executors import Workers
    from lifelong.experts.pack import alike, encode_pack
    from lifelong.jobs.training import Trainer

    asked = {number: Fact.model_validate(record) for number, record in enumerate(facts, start=1)}
    groups = tuple((number,) for number in asked)
    packs = [encode_pack(part)[1] for part in alike(edit.experts)]
    outcomes = {digest: asdict(outcome) for digest, outcome in edit.outcomes.items()}

    def untrained(name: str, hands: Hands) -> set[str]:
        trainer = Trainer(base, recipe, tmp_path / name, seed=0)
        workers = Workers(hands, "-", "cpu", "float32", 1)
        trainer.train_ahead(workers, asked, [groups], advance=lambda _: None)
        trainer.fit(asked, groups)
        return set(trainer.untrained.values())

    first, second, *_ = outcomes
    damaged = {"what its worker handed back is damaged"}
    assert untrained("well", Hands(packs, outcomes)) == set()
    assert untrained("swapped", Hands(packs, {**outcomes, first: outcomes[second]})) == damaged
    assert untrained("no pack", Hands([b"not a pack"], outcomes)) == damaged
    assert untrained("cut off", Hands([packs[0][:-1]], outcomes)) == damaged
    assert untrained("too few", Hands(packs, {first: outcomes[first]})) == {"its worker left facts out"}
