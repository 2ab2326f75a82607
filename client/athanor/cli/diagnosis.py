"""What is to be said about a system as it stands: pure functions from what was found to findings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from athanor.cli import broken, pending, words
from athanor.cli.pending import Cause

if TYPE_CHECKING:
    from athanor.client import DiscoveryError, ExperimentRecord, OrchestratorRecord, RunnerRecord, RunRecord

_DEFAULT = "127.0.0.1:7400"
_SOON = timedelta(seconds=10)  # in which a run is given out where there is room; a runner that declines takes 30 s more


class Mark(StrEnum):
    """How good it is."""

    OK = "ok"
    WARN = "warn"  # worth knowing; it may pass by itself
    FAIL = "fail"  # nothing comes of it unless somebody does something


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    mark: Mark
    subject: str
    text: str
    command: str = ""  # that helps, or shows more


@dataclass(frozen=True)
class Fleet:
    """What there is to execute runs."""

    runners: "Sequence[RunnerRecord]"
    experiments: "Sequence[ExperimentRecord]"
    broken: "Sequence[DiscoveryError]"
    now: datetime

    @property
    def connected(self) -> "list[RunnerRecord]":
        """The runners that are there."""
        return [one for one in self.runners if one.connected]


def default_folder(finding: Finding, answered: bool) -> Finding:
    """The default data folder; an orchestrator that has `answered` may keep its data elsewhere, and not need it."""
    return replace(finding, mark=Mark.WARN) if answered and finding.mark is Mark.FAIL else finding


def orchestrator(target: str, milliseconds: float, serving: bool, what: "OrchestratorRecord | None" = None) -> Finding:
    """One that has answered; `what` it is, unless it is too old to say."""
    if not serving:
        text = f"{target} answers, but does not serve: its database takes nothing just now, or it is being stopped"
        return Finding(Mark.FAIL, "orchestrator", f"{text}. Its log says which; runs that are under way go on")
    told = f": version {what.version}, on {what.database}" if what else ""
    return Finding(Mark.OK, "orchestrator", f"{target} serves, and answers in {milliseconds:.1f} ms{told}")


def unreachable(reason: str, target: str, *, local: bool, taken: bool) -> Finding:
    """One that has not answered; `taken`: something listens there all the same."""
    if not local:
        text = f"{reason}. Check that it runs, that this machine reaches it, and that the address is right"
        return Finding(Mark.FAIL, "orchestrator", text, "athanor doctor --target HOST:PORT")
    if taken:
        text = f"{reason}. Something listens there, and it is no orchestrator that works"
        return Finding(Mark.FAIL, "orchestrator", text, "athanor up --listen 127.0.0.1:7401")
    command = "athanor up" if target == _DEFAULT else f"athanor up --listen {target}"
    return Finding(Mark.FAIL, "orchestrator", f"{reason}. Runs that are under way go on without it", command)


def orchestrators(findings: Sequence[Finding], serving: bool) -> list[Finding]:
    """Of several that share a database: one that is away is worth knowing while another serves."""
    if len(findings) == 1 or not serving:
        return list(findings)
    return [replace(one, mark=Mark.WARN) if one.mark is Mark.FAIL else one for one in findings]


def runners(fleet: Fleet) -> list[Finding]:
    """Each runner, and that there is one."""
    found = [_runner(one, fleet.now) for one in fleet.runners]
    if not fleet.connected:
        found.append(Finding(Mark.FAIL, "runners", "none is connected: every run waits", "athanor up"))
    versions = sorted({one.version for one in fleet.connected})
    if len(versions) > 1:
        found.append(Finding(Mark.WARN, "runners", f"they are of different versions: {', '.join(versions)}"))
    return found


def experiments(fleet: Fleet) -> list[Finding]:
    """What can be run, what could not be loaded, and of what there are several versions."""
    names = sorted(one.name for one in fleet.experiments if one.available_runner_count)
    found = list[Finding]()
    if names:
        found.append(Finding(Mark.OK, "experiments", ", ".join(names)))
    elif fleet.connected:
        found.append(
            Finding(Mark.FAIL, "experiments", "the runners have none; name their folder", "athanor up --path FOLDER")
        )
    for error in fleet.broken:
        text = f"could not be loaded: {broken.raised(error.error)}"
        found.append(Finding(Mark.WARN, f"module {error.module}", text, "athanor experiments list --json"))
    for one in fleet.experiments:
        if one.other_versions and one.available_runner_count:
            text = "runners have different code of it; a run takes that of the runner it gets"
            found.append(
                Finding(Mark.WARN, f"experiment {one.name}", text, f"athanor experiments show {one.name} --json")
            )
    return found


def experiment(name: str, fleet: Fleet) -> Finding:
    """Whether a run of an experiment would be executed."""
    subject = f"experiment {name}"
    judgement = pending.judge_experiment(name, fleet.runners)
    some = judgement.runners
    match judgement.cause:
        case Cause.NO_RUNNER:
            return Finding(Mark.FAIL, subject, f"no runner is connected{_was_on(name, fleet)}", "athanor up")
        case Cause.NO_EXPERIMENT:
            return _nobody_has(name, fleet, subject, waits="")
        case Cause.DRAINING:
            text = f"{_with(some, 'that has', 'that have')} it {_verb(some, 'takes', 'take')} no new runs (draining)"
            return Finding(Mark.FAIL, subject, text, f"athanor runners undrain {some[0].id}")
        case Cause.NO_SLOT:
            text = f"{_with(some, 'that has', 'that have')} it {_verb(some, 'has', 'have')} no free slot: a run waits"
            return Finding(Mark.WARN, subject, text, "athanor runs list --state running")
        case _:
            free, slots = sum(max(0, one.slots - len(one.run_ids)) for one in some), sum(one.slots for one in some)
            return Finding(Mark.OK, subject, f"{_with(some, 'has', 'have')} it, and {free} of {slots} slots free")


def run(item: "RunRecord", fleet: Fleet) -> Finding:
    """Where one run stands; of one that waits, what it waits for."""
    subject = f"run {item.id}"
    show = f"athanor runs show {item.id}"
    if item.ended:
        mark = Mark.OK if item.state.value == "COMPLETED" else Mark.WARN
        failure = f": {words.failure(item.failure)}" if item.failure else ""
        return Finding(mark, subject, f"has ended, {item.state.value}{failure}", "" if mark is Mark.OK else show)
    if item.unreachable_since is not None:
        text = f"its runner has been silent for {words.duration(fleet.now - item.unreachable_since)}"
        text += f"; it goes on there, and is given up after {words.duration(item.policy.lost_after)} of silence"
        return Finding(Mark.WARN, subject, text, "athanor runners list")
    if item.state.value != "PENDING":
        return Finding(Mark.OK, subject, f"is {words.state(item)}", f"athanor logs {item.id} -f")
    return _waiting(item, fleet, subject)


def together(findings: Sequence[tuple[str, Finding]]) -> list[Finding]:
    """Return findings of many runs, given with their experiments, those that are alike as one."""
    groups: dict[tuple[str, Finding], list[Finding]] = {}
    for experiment, one in findings:
        alike = Finding(one.mark, "", one.text, one.command)
        groups.setdefault((experiment, alike), []).append(one)
    return [
        group[0]
        if len(group) == 1
        else Finding(alike.mark, f"{len(group)} runs of {experiment}", alike.text, alike.command)
        for (experiment, alike), group in groups.items()
    ]


def _waiting(item: "RunRecord", fleet: Fleet, subject: str) -> Finding:
    name = item.experiment
    judgement = pending.judge(item, fleet.runners, fleet.now)
    some = judgement.runners
    who = f"{_with(some, 'with', 'with')} {name!r}"
    match judgement.cause:
        case Cause.NEXT_ATTEMPT:
            assert item.next_attempt_time is not None
            left = words.duration(item.next_attempt_time - fleet.now)
            text = f"an attempt failed{_why_last(item)}; the next one starts in {left}, not before"
            return Finding(Mark.WARN, subject, text, f"athanor runs show {item.id}")
        case Cause.NO_RUNNER:
            return Finding(Mark.FAIL, subject, f"waits: no runner is connected{_was_on(name, fleet)}", "athanor up")
        case Cause.NO_EXPERIMENT:
            return _nobody_has(name, fleet, subject)
        case Cause.DRAINING:
            text = f"waits: {_with(some, 'that has', 'that have')} {name!r} {_verb(some, 'takes', 'take')} no new runs"
            return Finding(Mark.FAIL, subject, f"{text} (draining)", f"athanor runners undrain {some[0].id}")
        case Cause.NO_SLOT:
            held, slots = sum(len(one.run_ids) for one in some), sum(one.slots for one in some)
            text = f"waits for a slot: {who} {_verb(some, 'executes', 'execute')} {held} of {slots} runs"
            return Finding(Mark.WARN, subject, f"{text}; it is taken in its turn", "athanor runs list --state running")
        case Cause.NOTHING:
            since = item.next_attempt_time or item.create_time or fleet.now
            if fleet.now - since < _SOON:
                return Finding(Mark.OK, subject, "waits for a moment: there is room for it")
            text = f"waits, although {who} {_verb(some, 'has room: it declines', 'have room: they decline')} the run"
            why = "The runner's log says why: no room on its disk, or code that it does not have any more"
            return Finding(Mark.WARN, subject, f"{text}. {why}", "athanor runners list")


def _nobody_has(name: str, fleet: Fleet, subject: str, *, waits: str = "waits: ") -> Finding:
    """Of the connected runners none has the experiment."""
    definition = next((one for one in fleet.experiments if one.name == name), None)
    module = definition.code.module.partition(":")[0] if definition else ""
    text = f"{waits}no connected runner has the experiment {name!r}"
    error = broken.of(definition, fleet.broken) if definition else None
    if error is not None:
        then = "Mend it, and the run starts" if waits else "Mend it, and it is there"
        text += f": its module {module} could not be loaded ({broken.raised(error.error)}). {then}"
        return Finding(Mark.FAIL, subject, text, "athanor experiments list --json")
    where = f" ({module})" if module else ""
    text += f"{_was_on(name, fleet)}. Start a runner with the folder, or the environment, that has it{where}"
    return Finding(Mark.FAIL, subject, text, "athanor up --path FOLDER")


def _was_on(name: str, fleet: Fleet) -> str:
    """Which runner that is away has it."""
    away = [one for one in fleet.runners if not one.connected and name in one.experiments]
    if not away:
        return ""
    newest = max(away, key=lambda one: one.last_seen_time or datetime.min.replace(tzinfo=fleet.now.tzinfo))
    return f"; {newest.display_name or newest.id} has {name!r}, and was last seen {_ago(newest, fleet.now)}"


def _runner(one: "RunnerRecord", now: datetime) -> Finding:
    subject = f"runner {one.display_name or one.id}"
    held = words.count(len(one.run_ids), "run")
    if not one.connected:
        if one.run_ids:
            on = "it goes on there" if len(one.run_ids) == 1 else "they go on there"
            text = (
                f"is away, last seen {_ago(one, now)}, with {held}: {on}. If the machine does not come back, give it up"
            )
            return Finding(Mark.WARN, subject, text, f"athanor runners forget {one.id}")
        return Finding(Mark.OK, subject, f"is away, last seen {_ago(one, now)}, with no run")
    text = f"connected, {len(one.run_ids)} of {one.slots} slots taken, heard {_ago(one, now)}"
    if one.draining:
        return Finding(
            Mark.WARN, subject, f"{text}; draining: it takes no new runs", f"athanor runners undrain {one.id}"
        )
    return Finding(Mark.OK, subject, text)


def _ago(one: "RunnerRecord", now: datetime) -> str:
    return words.ago(one.last_seen_time, now)


def _with(some: "Sequence[RunnerRecord]", one: str, several: str) -> str:
    """The runners by name, or by number, with what joins them to what follows."""
    if len(some) == 1:
        return f"the runner {some[0].display_name or some[0].id} {one}"
    return f"all {len(some)} runners {several}"


def _verb(some: "Sequence[RunnerRecord]", one: str, several: str) -> str:
    return one if len(some) == 1 else several


def _why_last(item: "RunRecord") -> str:
    failure = next((one.failure for one in reversed(item.attempts) if one.failure), None) or item.failure
    return f" with {words.failure(failure)}" if failure else ""
