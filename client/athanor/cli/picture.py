"""All runs and runners as they stand: what `athanor top` shows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from athanor.cli import pending, words

if TYPE_CHECKING:
    from athanor import client
    from athanor.client import RunnerRecord, RunRecord

RUN_COLUMNS = ("ID", "EXPERIMENT", "STATE", "TOOK", "EVENTS/S", "RESULTS", "RUNNER", "PROGRESS")
RUNNER_COLUMNS = ("ID", "NAME", "STATE", "SLOTS", "SEEN", "EXPERIMENTS")
_LINGER = 60.0  # seconds for which a run is shown once it has ended
_ORDER = {"RUNNING": 0, "PENDING": 1}  # what has ended comes behind


@dataclass
class Picture:
    """What has been heard. Times are monotonic, in seconds."""

    runs: "dict[str, RunRecord]" = field(default_factory=dict["str", "RunRecord"])
    runners: "Sequence[RunnerRecord]" = ()
    notice: str = ""
    _ended: dict[str, float] = field(default_factory=dict[str, float])  # when that was heard of
    _counts: dict[str, tuple[float, int]] = field(default_factory=dict[str, tuple[float, int]])  # events, and when
    _rates: dict[str, float] = field(default_factory=dict[str, float])  # events a second
    _unseen: set[str] = field(default_factory=set[str])  # since it began again

    def take(self, item: "client.RunsItem", now: float) -> None:
        """Take one item of the watch of all runs."""
        from athanor import client

        self.notice = ""
        match item:
            case client.Begun():
                self._unseen = {id for id, run in self.runs.items() if not run.ended}
            case client.RunChanged(run):
                self._unseen.discard(run.id)
                self._put(run, now)
            case client.RunDeleted(id):
                self._drop(id)
            case _:  # what was live before, and was not given again, has ended meanwhile, or was deleted
                for id in self._unseen:
                    self._drop(id)
                self._unseen = set()

    def measure(self, runs: "Iterable[RunRecord]", runners: "Sequence[RunnerRecord]", now: float) -> None:
        """Take the live runs and the runners as they were listed: of progress the watch does not tell."""
        self.runners = runners
        for run in runs:
            before = self._counts.get(run.id)
            if before and now > before[0]:
                self._rates[run.id] = max(0, run.last_sequence - before[1]) / (now - before[0])
            self._counts[run.id] = now, run.last_sequence
            known = self.runs.get(run.id)
            if known is None or not known.ended:  # the watch may have told of its end since
                self._put(run, now)
        for id, since in list(self._ended.items()):
            if now - since > _LINGER:
                self._drop(id)

    def sorted_runs(self) -> "list[RunRecord]":
        """Running ones first, then those that wait, the oldest first; then those that have ended, the newest first."""
        return sorted(self.runs.values(), key=_place)

    def run_rows(self, ids: dict[str, str]) -> list[tuple[str, ...]]:
        """A row for each run; `ids` are the ids as they are shown."""
        names = {id: runner.display_name or runner.id for runner in self.runners for id in runner.run_ids}
        return [
            (
                ids.get(run.id, run.id),
                run.experiment,
                words.state(run),
                words.elapsed(run),
                rate(self._rates.get(run.id)) if run.state.value == "RUNNING" else "",
                str(run.result_count),
                names.get(run.id, ""),
                self._about(run),
            )
            for run in self.sorted_runs()
        ]

    def runner_rows(self, ids: dict[str, str]) -> list[tuple[str, ...]]:
        """A row for each runner, those that are connected first; `ids` as in `run_rows`."""
        ordered = sorted(self.runners, key=lambda item: (not item.connected, item.display_name, item.id))
        return [runner_row(item, ids) for item in ordered]

    def headline(self) -> str:
        """All of it in one line."""
        states = [run.state.value for run in self.runs.values()]
        connected = [item for item in self.runners if item.connected]
        slots = sum(item.slots for item in connected)
        used = sum(len(item.run_ids) for item in connected)
        counts = f"{states.count('RUNNING')} running, {states.count('PENDING')} pending"
        return (
            f"{counts}; {words.count(len(connected), 'runner')} connected, {used} of {words.count(slots, 'slot')} used"
        )

    def _about(self, run: "RunRecord") -> str:
        if run.ended:
            return words.one_line(words.failure(run.failure))
        if run.state.value == "PENDING":
            return pending.why(run, self.runners, datetime.now(UTC))
        return words.one_line(words.progress(run.progress))

    def _put(self, run: "RunRecord", now: float) -> None:
        known = self.runs.get(run.id)
        if known and known.progress and not run.progress and not run.ended:
            run = replace(run, progress=known.progress)
        self.runs[run.id] = run
        if run.ended:
            self._ended.setdefault(run.id, now)

    def _drop(self, id: str) -> None:
        for table in (self.runs, self._ended, self._counts, self._rates):
            table.pop(id, None)


def runner_row(item: "RunnerRecord", ids: dict[str, str]) -> tuple[str, ...]:
    """One runner in words, as RUNNER_COLUMNS has them."""
    return (
        ids.get(item.id, item.id),
        item.display_name,
        runner_state(item),
        f"{len(item.run_ids)}/{item.slots}",
        words.ago(item.last_seen_time),
        ", ".join(item.experiments),
    )


def runner_state(item: "RunnerRecord") -> str:
    """Whether it is there, and takes runs."""
    state = "connected" if item.connected else "away"
    if not item.draining:
        return state
    return "draining" if item.connected else "away, draining"


def rate(value: float | None) -> str:
    """Events a second, to two digits or so."""
    if value is None:
        return ""
    return f"{value:.1f}" if 0 < value < 9.95 else f"{value:.0f}"


def _place(run: "RunRecord") -> tuple[int, float]:
    moment = run.end_time or run.create_time
    seconds = moment.timestamp() if moment else 0.0
    return (2, -seconds) if run.ended else (_ORDER.get(run.state.value, 1), seconds)
