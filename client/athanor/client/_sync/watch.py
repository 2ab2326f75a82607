# Derived from _async/watch.py by tools/derive_sync.py: change that one.

"""Following a run: one iterator, however many connections that takes. Its log comes in batches."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import grpc

from athanor.client import _backoff, _decode, _framing, _outage, _status
from athanor.client._outage import Interruption
from athanor.client._sync import transport
from athanor.client._sync.closing import Closing
from athanor.client.errors import AthanorError, ProtocolError, UnavailableError, WaitTimeoutError
from athanor.client.event_batch import BatchItem, EventBatch
from athanor.client.events import ProgressUpdated, RunUpdated
from athanor.client.resources import RunRecord
from athanor.v1 import run_service_pb2

# The orchestrator says something every 5 s or so. gRPC's keepalive notices a dead connection, but not an orchestrator
# that stands still behind a live one; this does.
SILENCE = 30.0  # seconds


@dataclass(frozen=True)
class Ports:
    """What moves by itself."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = transport.sleep


class BatchWatch(Closing):
    """An iterator over a run: `for item in client.runs.watch_batches(run_id): ...`.

    Gives RunUpdated (first, at every change, and last), every event of the log once and in order, in an EventBatch with
    others, and ProgressUpdated. It ends after the run has ended and all of its log has been given. When the connection
    breaks, or the orchestrator restarts, it connects again, to any of the client's orchestrators, and goes on behind
    the last event, for as long as that takes. It holds nothing of what it has given.

    Stopping to iterate, or Ctrl-C, ends the watching only; iterating again goes on where it stopped. Not for use
    by several threads at once. `with` closes the stream at a place of your choice.
    """

    def __init__(
        self,
        open_call: Callable[[int], transport.WatchCall],
        *,
        target: str,
        run_id: str = "",
        opened: bool = False,
        after_sequence: int = 0,
        filtered: bool = False,
        connect_for: float = 10.0,
        give_up_after: float | None = None,
        time_limit: float | None = None,
        on_interruption: Callable[[Interruption], None] | None = None,
        on_run: Callable[[RunRecord], None] | None = None,
        ports: Ports | None = None,
    ) -> None:
        """`open_call` opens a stream behind a position. When it has gone on for `time_limit` seconds it raises
        WaitTimeoutError. `on_run` is told of the run each time it comes.
        """
        self._open_call = open_call
        self._target = target
        self._run_id = run_id
        self._orchestrators = target.count(",") + 1
        self._position = after_sequence
        self._filtered = filtered
        self._opened = opened  # a batch is opened as it comes: one that is not what it is said to be is not given
        self._connect_for = connect_for
        self._give_up_after = give_up_after
        self._time_limit = time_limit
        self._on_interruption = on_interruption
        self._on_run = on_run
        self._ports = ports or Ports()
        self._until = None if time_limit is None else self._ports.clock() + time_limit

        self._reader: transport.Reader | None = None
        self._at_start = True  # nothing has come on this stream yet
        self._run: RunRecord | None = None
        self._run_was_last = False  # the item given last was that run
        self._ended = False
        self._outage = _outage.Outage()

    @property
    def position(self) -> int:
        """Sequence up to which everything has been given: a watch after it misses nothing and repeats nothing."""
        return self._position

    @property
    def run(self) -> RunRecord | None:
        """The run as it was last given; None before the first item."""
        return self._run

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> BatchItem:
        while not self._ended:
            item = self._advance()
            if item is not None:
                return item
        raise StopIteration

    def close(self) -> None:
        """End the watching. The run goes on."""
        self._ended = True
        self._drop_call()

    def _advance(self) -> BatchItem | None:
        """Take one response from the stream, or deal with the end of the stream."""
        patience = self._patience()
        if self._reader is None:
            self._reader = transport.Reader(self._open_call(self._position))
            self._at_start = True
        try:
            response = self._reader.read(patience)
            if response is transport.EOF:
                return self._finish()
            return self._accept(response)
        except grpc.RpcError as error:
            self._interrupted(_outage.judge(_status.read(error)), self._exception(error))
        except TimeoutError:
            if patience < SILENCE:
                raise self._out_of_time() from None
            self._drop_call(leave=True)
            silent = UnavailableError(self._target, f"it was silent for {SILENCE:g} s", "")
            self._interrupted(_outage.Verdict.PASSING, silent)
        except ProtocolError as error:
            self._interrupted(_outage.Verdict.DOUBTFUL, error)
        except transport.Interrupt:
            # A read that was broken off is not gone on with: the next item, if there is to be one, comes on another.
            self._drop_call()
            raise
        return None

    def _patience(self) -> float:
        """For how many seconds to wait for what comes next. Raises WaitTimeoutError when there are none left."""
        if self._until is None:
            return SILENCE
        left = self._until - self._ports.clock()
        if left <= 0:
            raise self._out_of_time()
        return min(SILENCE, left)

    def _out_of_time(self) -> WaitTimeoutError:
        """End the watching, and return what says that the caller's time is over."""
        self._ended = True
        self._drop_call()
        return WaitTimeoutError(self._run_id, self._time_limit or 0.0)

    def _accept(self, response: bytes) -> BatchItem | None:
        first, self._at_start = self._at_start, False
        self._outage.reached()
        batch = _framing.batch(response)
        if batch is not None:
            item = self._accept_batch(EventBatch(batch))
            leads_on = item is not None
        else:
            item = self._take(_framing.parse(run_service_pb2.WatchRunResponse, response), first)
            leads_on = True
        # The first item may be all that works; and a batch in which nothing is new leads nowhere either.
        if leads_on and not first:
            self._outage.over()
        return item

    def _take(self, response: run_service_pb2.WatchRunResponse, first: bool) -> BatchItem | None:
        match response.WhichOneof("item"):
            case "run":
                return self._accept_run(_decode.run(response.run), first)
            case "batch":
                return self._accept_batch(EventBatch(response.batch.SerializeToString()))
            case "progress":
                self._run_was_last = False
                return ProgressUpdated(_decode.progress(response.progress))
            case "position":
                self._position = max(self._position, response.position.sequence)
            case _:
                pass  # something newer than this client
        return None

    def _accept_run(self, run: RunRecord, first: bool) -> BatchItem | None:
        if self._on_run:
            self._on_run(run)
        # A new connection begins with the run, and a stream ends with it: what the caller has just seen is not news.
        if run == self._run and (first or self._run_was_last):
            return None
        self._run = run
        self._run_was_last = True
        return RunUpdated(run)

    def _accept_batch(self, batch: EventBatch) -> EventBatch | None:
        if batch.last_sequence <= self._position:
            return None  # given already
        batch = batch.behind(self._position)
        if not self._filtered and batch.first_sequence != self._position + 1:
            raise ProtocolError(f"event {batch.first_sequence} came behind event {self._position}: some are missing")
        if not self._filtered and not batch.contiguous:
            raise ProtocolError(
                f"{len(batch)} events came from {batch.first_sequence} to {batch.last_sequence}: some are missing"
            )
        if self._opened:
            batch.check()
        self._position = batch.last_sequence
        self._run_was_last = False
        return batch

    def _finish(self) -> BatchItem | None:
        """The stream ended regularly: that is the end of the run, if the run and all of its log are here."""
        run = self._run
        if run is None or not run.ended:
            raise ProtocolError("the orchestrator ended the stream of a run that has not ended")
        if not self._filtered and self._position < run.last_sequence:
            raise ProtocolError(f"the stream ended at event {self._position} of {run.last_sequence}")
        self._ended = True
        self._drop_call()
        if self._run_was_last:
            return None
        self._run_was_last = True
        return RunUpdated(run)

    def _interrupted(self, verdict: _outage.Verdict, error: AthanorError) -> None:
        """Wait before the next try; or give up by raising `error`."""
        self._drop_call()
        now = self._ports.clock()
        limit = self._connect_for if self._run is None else self._give_up_after
        if not self._outage.worth_another_try(verdict, now, limit):
            self._ended = True
            raise error from None  # a traceback through gRPC helps nobody; it is in the context
        rounds, another = divmod(self._outage.failures, self._orchestrators)
        if another:
            return  # which need not be waited for
        delay = _backoff.delay(rounds)
        if self._on_interruption:
            self._on_interruption(Interruption(error, rounds, delay))
        self._ports.sleep(min(delay, self._patience()))

    def _exception(self, error: grpc.RpcError) -> AthanorError:
        return _status.exception(_status.read(error), target=self._target, timeout=SILENCE)

    def _drop_call(self, *, leave: bool = False) -> None:
        if self._reader is not None:
            self._reader.close(leave=leave)
            self._reader = None
