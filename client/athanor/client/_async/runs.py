"""`client.runs`: start, observe, cancel and compare runs."""

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast, overload

from athanor.client import _decode, _encode
from athanor.client._async import transport
from athanor.client._async.calls import Caller
from athanor.client._async.listing import AsyncListing
from athanor.client._async.run import AsyncRun
from athanor.client._async.run_watch import AsyncLogWatch, AsyncRunWatch
from athanor.client._async.watch import AsyncBatchWatch
from athanor.client._async.watch_all import AsyncChangeWatch, runs_item
from athanor.client._bound import ExperimentRef, InstanceRef, Part, RunRef, filter_id, id_of, renew
from athanor.client._outage import Interruption
from athanor.client._page import Page
from athanor.client._period import Period, When
from athanor.client.changes import RunsItem
from athanor.client.enums import EventKind, LogLevel, RunState
from athanor.client.errors import DeadlineExceededError, ProtocolError, UnavailableError, WaitTimeoutError
from athanor.client.events import Event, EventFilter, LogEntry, Result
from athanor.client.resources import ExperimentRecord, InstanceRecord, RunPolicy, RunRecord, Verification
from athanor.v1 import run_service_pb2 as pb

if TYPE_CHECKING:
    from athanor.client._async.client import AsyncClient
    from athanor.client.compare import Comparison
    from athanor.v1.run_service_pb2_grpc import RunServiceAsyncStub

# A long log takes long to read, and an orchestrator that is gone is noticed without a deadline.
_VERIFY_TIMEOUT = 3600.0  # seconds
_LAST_LOOK = 2.0  # seconds, when the time to wait is over


class AsyncRuns(Part):
    """Runs and their logs. Where an id is asked for, the run itself, or the instance itself, will do."""

    def __init__(
        self,
        client: "AsyncClient",
        caller: Caller,
        stub: "RunServiceAsyncStub",
        channel: transport.Channel,
        *,
        connect_for: float,
    ) -> None:
        self._client = client
        self._caller = caller
        self._stub = stub
        # By itself, because a batch of events is wanted as the bytes in which it comes.
        self._watch_run: Any = channel.unary_stream(
            "/athanor.v1.RunService/WatchRun", request_serializer=pb.WatchRunRequest.SerializeToString
        )
        self._connect_for = connect_for

    async def start(
        self,
        instance_id: InstanceRef,
        *,
        policy: RunPolicy | None = None,
        seed: int | None = None,
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> AsyncRun:
        """Start a run of an instance; a runner takes it as soon as one has room.

        `policy` overrides parts of the experiment's own. `seed` is drawn by the orchestrator when it is not given.
        `request_id` makes repeating the call harmless, also by another process; one is drawn when it is not given.
        Raises NotFoundError when there is no such instance.
        """
        request = pb.StartRunRequest(
            instance_id=id_of(instance_id, InstanceRecord),
            policy=_encode.policy(policy),
            seed=_encode.seed(seed),
            labels=_encode.labels(labels),
            request_id=request_id or uuid.uuid4().hex,
        )
        response = await self._caller.call(self._stub.StartRun, request, timeout=timeout)
        return AsyncRun.bind(_decode.run(response.run), self._client)

    async def get(self, id: RunRef, *, timeout: float | None = None) -> AsyncRun:
        """Return one run. Raises NotFoundError when there is none."""
        response = await self._caller.call(
            self._stub.GetRun, pb.GetRunRequest(id=id_of(id, RunRecord)), timeout=timeout
        )
        return AsyncRun.bind(_decode.run(response.run), self._client)

    def list(
        self,
        *,
        instance_id: InstanceRef | None = None,
        experiment: ExperimentRef | None = None,
        states: Collection[RunState | str] | str | None = None,
        labels: Mapping[str, str] | None = None,
        since: When | None = None,
        until: When | None = None,
        full: bool = False,
        limit: int | None = None,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncListing[AsyncRun]:
        """Iterate over runs, newest first: at most `limit` of those that fit every filter.

        `states` is one, or several, by name (`"running"`); `labels` those that a run carries all of. `full` also brings
        configurations and attempts.

        `since` and `until` bound when a run was created, `since <= create_time < until`: each a datetime with a time
        zone, or a timedelta, which is how long before this call. Here, not at the orchestrator: what is newer than
        `until` is read and left out, and the listing ends at the first run that is older than `since`.
        Raises ValueError for a datetime without a time zone.

        Example:
            from datetime import timedelta

            async for run in client.runs.list(states="failed", since=timedelta(hours=1), limit=20):
                print(run.id, run.failure)
        """
        period = Period.of(since, until)
        # What is left out does not count for the limit.
        size = _page_size(page_size, limit) if until is None else page_size or 1000
        view = pb.RUN_VIEW_FULL if full else pb.RUN_VIEW_BASIC

        async def fetch(token: str) -> Page[AsyncRun]:
            request = pb.ListRunsRequest(
                instance_id=filter_id(instance_id, InstanceRecord),
                experiment=filter_id(experiment, ExperimentRecord),
                states=_encode.run_states(states),
                labels=_encode.labels(labels),
                view=view,
                page_size=size,
                page_token=token,
            )
            response = await self._caller.call(self._stub.ListRuns, request, timeout=timeout)
            items = (AsyncRun.bind(_decode.run(item), self._client) for item in response.runs)
            return period.cut(Page(tuple(items), response.next_page_token))

        return AsyncListing(fetch, limit=limit)

    async def cancel(self, id: RunRef, *, reason: str = "", timeout: float | None = None) -> AsyncRun:
        """Ask for cancellation and return the run as it stands, at once; `wait` for its end to learn its outcome.

        Cancelling again is harmless. Raises RunTerminalError when it has completed or failed.
        """
        request = pb.CancelRunRequest(id=id_of(id, RunRecord), reason=_encode.text(reason, "reason"))
        response = await self._caller.call(self._stub.CancelRun, request, timeout=timeout)
        return AsyncRun.bind(_decode.run(response.run), self._client)

    async def delete(self, id: RunRef, *, allow_missing: bool = False, timeout: float | None = None) -> None:
        """Delete a run and its log.

        Raises RunLiveError while it is live, NotFoundError when there is none (unless `allow_missing`).
        """
        request = pb.DeleteRunRequest(id=id_of(id, RunRecord), allow_missing=allow_missing)
        await self._caller.call(self._stub.DeleteRun, request, timeout=timeout, repeatable=allow_missing)

    async def verify(self, run_id: RunRef, *, timeout: float | None = None) -> Verification:
        """Have a run's whole log checked: is every event there, as it was stored, and is that all that was recorded.

        A million events take some ten seconds; `timeout` is an hour unless given. Of a live run what is there by now is
        checked. What is wrong is in the answer, not raised. Raises NotFoundError when there is no such run.
        """
        request = pb.VerifyRunRequest(id=id_of(run_id, RunRecord))
        seconds = _VERIFY_TIMEOUT if timeout is None else timeout
        response = await self._caller.call(self._stub.VerifyRun, request, timeout=seconds)
        return _decode.verification(id_of(run_id, RunRecord), response)

    def events(
        self,
        run_id: RunRef,
        *,
        filter: EventFilter | None = None,
        after_sequence: int = 0,
        descending: bool = False,
        limit: int | None = None,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncListing[Event]:
        """Iterate over what is in a run's log now. `descending` begins with the newest; `watch` follows it instead."""
        selected = _encode.event_filter(filter)

        async def fetch(token: str) -> Page[Event]:
            request = pb.ListRunEventsRequest(
                run_id=id_of(run_id, RunRecord),
                filter=selected,
                after_sequence=after_sequence,
                descending=descending,
                page_size=_page_size(page_size, limit),
                page_token=token,
            )
            response = await self._caller.call(self._stub.ListRunEvents, request, timeout=timeout)
            return Page(tuple(map(_decode.event, response.events)), response.next_page_token)

        return AsyncListing(fetch, limit=limit)

    @overload
    def logs(
        self,
        run_id: RunRef,
        *,
        level: LogLevel | str | None = None,
        text: str = "",
        attempt: int = 0,
        after_sequence: int = 0,
        descending: bool = False,
        limit: int | None = None,
        follow: Literal[False] = False,
        timeout: float | None = None,
    ) -> AsyncListing[LogEntry]: ...
    @overload
    def logs(
        self,
        run_id: RunRef,
        *,
        level: LogLevel | str | None = None,
        text: str = "",
        attempt: int = 0,
        after_sequence: int = 0,
        follow: Literal[True],
    ) -> AsyncLogWatch: ...
    def logs(
        self,
        run_id: RunRef,
        *,
        level: LogLevel | str | None = None,
        text: str = "",
        attempt: int = 0,
        after_sequence: int = 0,
        descending: bool = False,
        limit: int | None = None,
        follow: bool = False,
        timeout: float | None = None,
    ) -> AsyncListing[LogEntry] | AsyncLogWatch:
        """Iterate over the log entries of a run: at least `level`, containing `text`, of one attempt.

        `level` is a LogLevel or its name, `"warn"`. `descending` with a `limit` gives the newest ones, newest first.
        With `follow` it goes on until the run has ended; there is no newest one then, and no limit: stop to iterate.
        """
        wanted = EventFilter(
            kinds=(EventKind.LOG,),
            minimum_level=None if level is None else LogLevel(level),
            text=text,
            attempt=attempt,
        )
        if follow:
            if descending or limit is not None:
                raise ValueError("logs that are followed come in their order and without a limit")
            return AsyncLogWatch(self.watch(run_id, filter=wanted, after_sequence=after_sequence))
        listing = self.events(
            run_id,
            filter=wanted,
            after_sequence=after_sequence,
            descending=descending,
            limit=limit,
            timeout=timeout,
        )
        return cast("AsyncListing[LogEntry]", listing)

    def results(
        self,
        run_id: RunRef,
        *,
        key: str = "",
        include_superseded: bool = False,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncListing[Result]:
        """Iterate over the results of a run that stand, in the order in which they were recorded."""

        async def fetch(token: str) -> Page[Result]:
            request = pb.ListResultsRequest(
                run_id=id_of(run_id, RunRecord),
                key=key,
                include_superseded=include_superseded,
                page_size=page_size,
                page_token=token,
            )
            response = await self._caller.call(self._stub.ListResults, request, timeout=timeout)
            return Page(tuple(map(_decode.result, response.results)), response.next_page_token)

        return AsyncListing(fetch)

    def watch(
        self,
        run_id: RunRef,
        *,
        after_sequence: int = 0,
        filter: EventFilter | None = None,
        give_up_after: float | None = None,
        on_interruption: Callable[[Interruption], None] | None = None,
    ) -> AsyncRunWatch:
        """Follow a run from any position of its log to its end; see AsyncRunWatch.

        A lost orchestrator is waited for, for as long as it takes, or for `give_up_after` seconds (UnavailableError);
        `on_interruption` is told of each time when there is no other to go on with at once. One that has never answered
        is given up after the client's `retry_for`. Raises NotFoundError when there is no such run, or no longer,
        PositionOutOfRangeError when the log does not reach `after_sequence`.

        When the run itself is given, rather than its id, it is brought up to date with each RunUpdated.
        """
        return AsyncRunWatch(self._batches(run_id, after_sequence, filter, give_up_after, on_interruption, opened=True))

    def watch_batches(
        self,
        run_id: RunRef,
        *,
        after_sequence: int = 0,
        filter: EventFilter | None = None,
        give_up_after: float | None = None,
        on_interruption: Callable[[Interruption], None] | None = None,
    ) -> AsyncBatchWatch:
        """Follow a run as `watch` does, its events in batches of about 256 KiB; see AsyncBatchWatch, EventBatch.

        For who passes a log on, or reads one of millions of events: what is not looked at costs next to nothing.
        """
        return self._batches(run_id, after_sequence, filter, give_up_after, on_interruption)

    def _batches(
        self,
        run_id: RunRef,
        after_sequence: int,
        filter: EventFilter | None,
        give_up_after: float | None,
        on_interruption: Callable[[Interruption], None] | None,
        *,
        opened: bool = False,
        time_limit: float | None = None,
    ) -> AsyncBatchWatch:
        id = id_of(run_id, RunRecord)
        selected = _encode.event_filter(filter)
        for name, value in (("give_up_after", give_up_after), ("timeout", time_limit)):
            if value is not None:
                _encode.seconds(value, name)

        def open_call(position: int) -> transport.WatchCall:
            return self._watch_run(pb.WatchRunRequest(id=id, after_sequence=position, filter=selected))

        return AsyncBatchWatch(
            open_call,
            target=self._caller.target,
            run_id=id,
            opened=opened,
            after_sequence=after_sequence,
            filtered=filter is not None and filter != EventFilter(),
            connect_for=self._connect_for,
            give_up_after=give_up_after,
            time_limit=time_limit,
            on_interruption=on_interruption,
            on_run=partial(renew, run_id) if isinstance(run_id, AsyncRun) else None,
        )

    def watch_all(
        self,
        *,
        instance_id: InstanceRef | None = None,
        experiment: ExperimentRef | None = None,
        labels: Mapping[str, str] | None = None,
        active_only: bool = False,
        full: bool = False,
        give_up_after: float | None = None,
        on_interruption: Callable[[Interruption], None] | None = None,
    ) -> AsyncChangeWatch[RunsItem]:
        """Watch all runs that fit every filter: as they stand, then each that changes; see `athanor.client.changes`.

        `active_only` leaves out those that had ended when it began. `full` also brings configurations and attempts.
        A lost orchestrator is waited for as in `watch`.
        """
        request = pb.WatchRunsRequest(
            instance_id=filter_id(instance_id, InstanceRecord),
            experiment=filter_id(experiment, ExperimentRecord),
            labels=_encode.labels(labels),
            active_only=active_only,
            view=pb.RUN_VIEW_FULL if full else pb.RUN_VIEW_BASIC,
        )

        def open_call() -> transport.WatchCall:
            call: Any = self._stub.WatchRuns(request)
            return call

        return AsyncChangeWatch(
            open_call,
            runs_item,
            target=self._caller.target,
            connect_for=self._connect_for,
            give_up_after=give_up_after,
            on_interruption=on_interruption,
        )

    async def wait(
        self, run_id: RunRef, *, timeout: float | None = None, give_up_after: float | None = None
    ) -> AsyncRun:
        """Wait until a run has ended and return it, however it ended: see its `state` and `failure`.

        Raises WaitTimeoutError when it has not ended after `timeout` seconds; the run goes on. A lost orchestrator is
        waited for as in `watch`.
        """
        only_lifecycle = EventFilter(kinds=(EventKind.LIFECYCLE,))
        try:
            async with self._batches(run_id, 0, only_lifecycle, give_up_after, None, time_limit=timeout) as watch:
                async for _ in watch:
                    pass
                if watch.run is None:
                    raise ProtocolError(f"the watch of run {id_of(run_id, RunRecord)} ended without the run")
                return AsyncRun.bind(watch.run, self._client)
        except WaitTimeoutError:
            # So short a time may be over before anything was heard: what is said of the run has to be so.
            try:
                run = await self.get(run_id, timeout=_LAST_LOOK)
            except (UnavailableError, DeadlineExceededError):
                run = None
            if run is None or not run.ended:
                raise
            return run

    async def compare(
        self, runs: RunRef | Iterable[RunRef], *, metrics: Iterable[str] | None = None, confidence: float = 0.95
    ) -> "Comparison":
        """Compare runs, or show one: the configuration paths that differ, and results; see `athanor.client.compare`.

        Runs that are under way are compared by what they have recorded so far. `metrics` keeps these results alone, by
        key or by name. `confidence` is that of the intervals over repeats. Raises NotFoundError when a run does not
        exist, ValueError when no run has one of the metrics.

        Example:
            comparison = await client.runs.compare(await client.runs.list(labels={"sweep": "lr"}).all())
            print(comparison.to_pandas())
        """
        from athanor.client.compare import compare

        given = [runs] if isinstance(runs, str | RunRecord | InstanceRecord) else runs
        chosen = {run.id: run for run in [await self.get(run) for run in given]}  # with their configurations
        instances = dict.fromkeys(run.instance_id for run in chosen.values())
        names = {id: (await self._client.instances.get(id)).name for id in instances}
        results = {id: await self.results(id).all() for id in chosen}
        return compare(chosen.values(), results, metrics=metrics, confidence=confidence, names=names)


def _page_size(page_size: int, limit: int | None) -> int:
    """Ask for no more than is wanted."""
    return limit if limit is not None and 0 < limit < 1000 and not page_size else page_size
