# Derived from _async/run.py by tools/derive_sync.py: change that one.

"""A run that knows its client."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, overload

from athanor.client._bound import Bound, renew
from athanor.client._outage import Interruption
from athanor.client._sync.listing import Listing
from athanor.client._sync.run_watch import LogWatch, RunWatch
from athanor.client._sync.watch import BatchWatch
from athanor.client.enums import LogLevel
from athanor.client.event_batch import EventBatch
from athanor.client.events import Event, EventFilter, LogEntry
from athanor.client.resources import RunRecord, Verification

if TYPE_CHECKING:
    from athanor.client._sync.client import Client
    from athanor.client._sync.instance import Instance
    from athanor.client.results import Results


class Run(Bound["Client"], RunRecord):
    """One execution of an instance, as it stood when it was last asked for.

    `refresh`, `wait` and `cancel` bring this object itself up to date, and so does watching it. Leaving any of them,
    by an error, a timeout or Ctrl-C, leaves the run alone.
    """

    _record = RunRecord
    _shown = ("experiment", "state")

    def refresh(self, *, timeout: float | None = None) -> Self:
        """Bring it up to date, with its configuration and attempts, and return it.

        Raises NotFoundError when it has been deleted.
        """
        renew(self, self._client.runs.get(self, timeout=timeout))
        return self

    def wait(self, timeout: float | None = None, *, give_up_after: float | None = None) -> Self:
        """Wait until it has ended, and return it, however it ended: see `state` and `failure`.

        Raises WaitTimeoutError when it has not ended after `timeout` seconds; the run goes on. A lost orchestrator is
        waited for, for as long as it takes, or for `give_up_after` seconds (UnavailableError).

        Example:
            if (run.wait(3600)).failure:
                print(run.failure.kind, run.failure.message)
        """
        if not self.ended:
            renew(self, self._client.runs.wait(self, timeout=timeout, give_up_after=give_up_after))
        return self

    def cancel(self, reason: str = "", *, wait: bool | float = False, timeout: float | None = None) -> Self:
        """Ask for its cancellation and return it as it stands, at once; with `wait`, when it has ended.

        `wait` may be the number of seconds to wait at most (WaitTimeoutError). The run may still complete, or fail:
        `state` says how it ended. Cancelling again is harmless.
        Raises RunTerminalError when it had completed or failed.
        """
        renew(self, self._client.runs.cancel(self, reason=reason, timeout=timeout))
        if wait is False:
            return self
        return self.wait(None if wait is True else wait)

    def delete(self, *, allow_missing: bool = False, timeout: float | None = None) -> None:
        """Delete the run and its log. Raises RunLiveError while it is live; see `client.runs.delete`."""
        self._client.runs.delete(self, allow_missing=allow_missing, timeout=timeout)

    def instance(self, *, timeout: float | None = None) -> "Instance":
        """Return the instance that it is a run of. Raises NotFoundError when that has been deleted."""
        return self._client.instances.get(self.instance_id, timeout=timeout)

    def verify(self, *, timeout: float | None = None) -> Verification:
        """Have its whole log checked; see `client.runs.verify`."""
        return self._client.runs.verify(self, timeout=timeout)

    @overload
    def logs(
        self,
        *,
        level: LogLevel | str | None = None,
        text: str = "",
        attempt: int = 0,
        after_sequence: int = 0,
        descending: bool = False,
        limit: int | None = None,
        follow: Literal[False] = False,
    ) -> Listing[LogEntry]: ...
    @overload
    def logs(
        self,
        *,
        level: LogLevel | str | None = None,
        text: str = "",
        attempt: int = 0,
        after_sequence: int = 0,
        follow: Literal[True],
    ) -> LogWatch: ...
    def logs(
        self,
        *,
        level: LogLevel | str | None = None,
        text: str = "",
        attempt: int = 0,
        after_sequence: int = 0,
        descending: bool = False,
        limit: int | None = None,
        follow: bool = False,
    ) -> Listing[LogEntry] | LogWatch:
        """Iterate over its log entries: at least `level` (`"warn"`), containing `text`, of one attempt.

        What is there now; `descending` with a `limit` gives the newest ones, newest first. With `follow` it goes on
        until the run has ended. The orchestrator selects: what does not fit is not sent.

        Example:
            for entry in run.logs(level="warn", follow=True):
                print(entry)
        """
        if follow:
            if descending or limit is not None:
                raise ValueError("logs that are followed come in their order and without a limit")
            return self._client.runs.logs(
                self, level=level, text=text, attempt=attempt, after_sequence=after_sequence, follow=True
            )
        return self._client.runs.logs(
            self,
            level=level,
            text=text,
            attempt=attempt,
            after_sequence=after_sequence,
            descending=descending,
            limit=limit,
        )

    def events(
        self,
        *,
        filter: EventFilter | None = None,
        after_sequence: int = 0,
        descending: bool = False,
        limit: int | None = None,
    ) -> Listing[Event]:
        """Iterate over what is in its log now; `watch` follows it instead."""
        return self._client.runs.events(
            self, filter=filter, after_sequence=after_sequence, descending=descending, limit=limit
        )

    def results(self, *, key: str = "", include_superseded: bool = False) -> "Results":
        """Return its results that stand by now, by key, all values of a key in order; see `athanor.client.results`.

        With `include_superseded` also those that a later attempt has superseded. They are all held in memory: of
        millions, iterate over `client.runs.results(run)` instead, or `export` them.

        Example:
            results = run.results()
            print(results["loss"], results.last("loss"))
        """
        from athanor.client.results import Results

        listing = self._client.runs.results(self, key=key, include_superseded=include_superseded)
        return Results(listing.all(), include_superseded=include_superseded)

    def watch(
        self,
        *,
        after_sequence: int = 0,
        filter: EventFilter | None = None,
        give_up_after: float | None = None,
        on_interruption: Callable[[Interruption], None] | None = None,
    ) -> RunWatch:
        """Follow it from any position of its log to its end, event by event; see `client.runs.watch`."""
        return self._client.runs.watch(
            self,
            after_sequence=after_sequence,
            filter=filter,
            give_up_after=give_up_after,
            on_interruption=on_interruption,
        )

    def watch_batches(
        self,
        *,
        after_sequence: int = 0,
        filter: EventFilter | None = None,
        give_up_after: float | None = None,
        on_interruption: Callable[[Interruption], None] | None = None,
    ) -> BatchWatch:
        """Follow it as `watch` does, its events in batches of about 256 KiB; see `client.runs.watch_batches`."""
        return self._client.runs.watch_batches(
            self,
            after_sequence=after_sequence,
            filter=filter,
            give_up_after=give_up_after,
            on_interruption=on_interruption,
        )

    def live(self, *, lines: int = 10, interval: float = 0.25) -> Self:
        """Show it below the cell of a notebook while it goes on: state, progress, newest log lines and results.

        The view shows the newest `lines` of each, and is renewed at most every `interval` seconds. It ends with the
        run; interrupting the cell ends the watching only. Returns the run as it was last seen. Raises MissingExtraError
        without IPython.
        """
        from athanor.client import notebook

        with notebook.showing(lines, interval) as view:
            with self.watch(after_sequence=notebook.near_end(self)) as watch:
                for item in watch:
                    view.take(item)
        return self

    def export(
        self,
        path: str | Path,
        *,
        format: str | None = None,
        what: Literal["events", "results"] = "results",
        follow: bool = False,
    ) -> int:
        """Write the results that stand, or all events, to a file, and return how many those are.

        `format` is one of `athanor.client.export`; without one the ending of the file's name says it. What is recorded
        by now is written; with `follow` all of it, once the run has ended, the events while it goes on. However many
        they are, no more than a page of them is held in memory. Raises ValueError for a format that there is not.

        Example:
            run.export("losses.csv")
            run.export("log.parquet", what="events", follow=True)
        """
        from athanor.client.export import open_writer

        count = 0
        with open_writer(path, format, what) as writer:
            if what == "events" and follow:
                with self.watch_batches() as watch:
                    for item in watch:
                        if isinstance(item, EventBatch):
                            writer.write(item)
                            count += len(item)
                return count
            if follow:
                self.wait()  # a later attempt may supersede what an earlier one has recorded
            listing = self._client.runs.results(self) if what == "results" else self.events()
            for page in listing.pages():
                writer.write(page.items)
                count += len(page.items)
        return count
