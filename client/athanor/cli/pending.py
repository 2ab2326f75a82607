"""Why a run waits, from what is known of the runners: one judgement, which `top` and `doctor` put into words."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import TYPE_CHECKING

from athanor.cli import words

if TYPE_CHECKING:
    from athanor.client import RunnerRecord, RunRecord


class Cause(Enum):
    """What a run that is PENDING waits for."""

    NEXT_ATTEMPT = auto()  # the time of it
    NO_RUNNER = auto()  # none is connected
    NO_EXPERIMENT = auto()  # none that is connected has the experiment
    DRAINING = auto()  # those that have it take no new runs
    NO_SLOT = auto()  # those that take it are full
    NOTHING = auto()  # there is room for it


@dataclass(frozen=True)
class Judgement:
    """Why a run waits."""

    cause: Cause
    runners: "tuple[RunnerRecord, ...]" = ()  # whom it is about: those that have the experiment and, if any, take runs


def judge(run: "RunRecord", runners: "Iterable[RunnerRecord]", now: datetime) -> Judgement:
    """Say what a run that is PENDING waits for."""
    if run.next_attempt_time is not None and run.next_attempt_time > now:
        return Judgement(Cause.NEXT_ATTEMPT)
    return judge_experiment(run.experiment, runners)


def judge_experiment(name: str, runners: "Iterable[RunnerRecord]") -> Judgement:
    """Say what a new run of an experiment would wait for."""
    connected = [runner for runner in runners if runner.connected]
    if not connected:
        return Judgement(Cause.NO_RUNNER)
    having = tuple(runner for runner in connected if name in runner.experiments)
    if not having:
        return Judgement(Cause.NO_EXPERIMENT)
    taking = tuple(runner for runner in having if not runner.draining)
    if not taking:
        return Judgement(Cause.DRAINING, having)
    if all(len(runner.run_ids) >= runner.slots for runner in taking):
        return Judgement(Cause.NO_SLOT, taking)
    return Judgement(Cause.NOTHING, taking)


def why(run: "RunRecord", runners: "Iterable[RunnerRecord]", now: datetime) -> str:
    """Say in some words why a run that is PENDING is not executed; empty when a runner is about to take it."""
    match judge(run, runners, now).cause:
        case Cause.NEXT_ATTEMPT:
            assert run.next_attempt_time is not None
            return f"waits for its next attempt, from {words.clock(run.next_attempt_time)}"
        case Cause.NO_RUNNER | Cause.NO_EXPERIMENT:
            return f"no connected runner has {run.experiment!r}"
        case Cause.DRAINING:
            return "every runner that has it is draining"
        case Cause.NO_SLOT:
            return "waits for a free slot"
        case Cause.NOTHING:
            return ""
