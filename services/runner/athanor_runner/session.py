"""One session with an orchestrator: Hello, Welcome, then heartbeats, definitions and assignments until it ends."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor.v1 import experiment_pb2, experiment_service_pb2, run_policy_pb2
from google.protobuf import duration_pb2

from athanor_runner.catalogue import Catalogue, Definition, Description, difference
from athanor_runner.lease import Pulse
from athanor_runner.ports import Clock, Connection, ControlStream, StreamEnded
from athanor_runner.report import Reporter, Terms
from athanor_runner.roster import Declined, Roster
from athanor_runner.settings import Timings
from athanor_runner.supervise import until_first_ends

log = logging.getLogger(__name__)

PROTOCOL = 1
SILENCE_INTERVALS = 6  # heartbeats without an answer after which the connection is given up and made anew
SHORTEST_SILENCE = 5.0  # seconds; less is no silence, however often heartbeats are sent


class Refused(Exception):
    """The orchestrator does not want this runner. `retry_after` in seconds; None: ever."""

    def __init__(self, reason: str, retry_after: float | None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Reconnect(Exception):
    """The orchestrator asks to come back after some seconds; the runs go on."""

    def __init__(self, after: float) -> None:
        super().__init__(f"the orchestrator goes away for about {after:g} s")
        self.after = after


@dataclass(frozen=True)
class Identity:
    """What a runner says about itself."""

    runner_id: str
    display_name: str
    version: str
    slots: int


class Session:
    """One session. Its stream is read by one task and written by one task."""

    def __init__(
        self,
        connection: Connection,
        roster: Roster,
        catalogue: Catalogue,
        reporter: Reporter,
        clock: Clock,
        timings: Timings,
    ) -> None:
        self._connection = connection
        self._roster = roster
        self._catalogue = catalogue
        self._reporter = reporter
        self._clock = clock
        self._timings = timings
        self._outbox: asyncio.Queue[pb.ConnectRequest] = asyncio.Queue()
        self._named: dict[int, tuple[list[str], list[str]]] = {}  # by nonce: leases and gone leases of a heartbeat
        self._refusing = False  # the orchestrator asked not to be given work back by this session
        self._beat_now = asyncio.Event()

    def beat(self) -> None:
        """Has a heartbeat sent at once, because something in it has changed."""
        self._beat_now.set()

    async def run(self, identity: Identity, number: int, on_welcome: Callable[[], None]) -> None:
        """Holds the session until it ends. Raises StreamEnded, Refused or Reconnect."""
        stream = self._connection.connect()
        try:
            held = await self._roster.held()
            hello_sent_at = self._clock.boot_time()
            await self._introduce(stream, identity, number, held)
            welcome = await self._welcome(stream)
            self._roster.judge(held, welcome.verdicts, hello_sent_at)
            on_welcome()
            pulse = Pulse(_seconds(welcome.heartbeat_interval) or 5.0, hello_sent_at, self._clock.boot_time())
            terms = Terms(welcome.session_id, welcome.max_delivery_bytes, welcome.max_unacknowledged_bytes)
            await until_first_ends(
                session_reader=self._read(stream, pulse),
                session_writer=self._write(stream),
                session_heartbeats=self._beat(pulse),
                session_definitions=self._tell_definitions(),
                session_declines=self._pass_declines(),
                session_report=self._reporter.run(self._connection, terms),
            )
        finally:
            stream.cancel()

    def leave(self, reason: str) -> None:
        """Says that the runner leaves on purpose; the session ends soon afterwards."""
        self._outbox.put_nowait(pb.ConnectRequest(goodbye=pb.Goodbye(reason=reason)))

    async def _introduce(
        self, stream: ControlStream, identity: Identity, number: int, held: list[pb.HeldAttempt]
    ) -> None:
        hello = pb.Hello(
            runner_id=identity.runner_id,
            display_name=identity.display_name,
            session_number=number,
            protocol_min=PROTOCOL,
            protocol_max=PROTOCOL,
            version=identity.version,
            slots=identity.slots,
            held_attempts=held,
        )
        await stream.send(pb.ConnectRequest(hello=hello))

    async def _welcome(self, stream: ControlStream) -> pb.Welcome:
        try:
            async with asyncio.timeout(self._timings.welcome):
                while True:
                    response = await stream.receive()
                    match response.WhichOneof("message"):
                        case "welcome":
                            return response.welcome
                        case "refusal":
                            refusal = response.refusal
                            again = _seconds(refusal.retry_after) if refusal.HasField("retry_after") else None
                            raise Refused(refusal.reason, again)
                        case "drain" if response.drain.reconnect:
                            raise Reconnect(_seconds(response.drain.reconnect_after))
                        case _:
                            continue
        except TimeoutError:
            raise StreamEnded(f"no Welcome within {self._timings.welcome:g} s") from None

    async def _read(self, stream: ControlStream, pulse: Pulse) -> None:
        while True:
            response = await stream.receive()
            match response.WhichOneof("message"):
                case "assignment":
                    self._assigned(response.assignment, pulse)
                case "cancel":
                    self._roster.cancel(response.cancel)
                case "heartbeat_reply":
                    await self._answered(response.heartbeat_reply, pulse)
                case "drain":
                    if response.drain.reconnect:
                        raise Reconnect(_seconds(response.drain.reconnect_after))
                    self._refusing = True
                case _:
                    log.debug("a message of a kind that this version does not know was left out")

    async def _write(self, stream: ControlStream) -> None:
        while True:
            message = await self._outbox.get()
            await stream.send(message)
            if message.HasField("goodbye"):
                await stream.finish()
                raise StreamEnded("the runner has left")

    async def _beat(self, pulse: Pulse) -> None:
        while True:
            now = self._clock.boot_time()
            silence = pulse.silent_for(now)
            if silence > max(SHORTEST_SILENCE, SILENCE_INTERVALS * pulse.interval) and pulse.awake(now):
                raise StreamEnded(f"no heartbeat was answered for {silence:.0f} s")
            nonce = pulse.beat(now)
            leases, gone = self._roster.leases(), list(self._roster.gone)
            self._named[nonce] = (leases, gone)
            self._outbox.put_nowait(
                pb.ConnectRequest(
                    heartbeat=pb.Heartbeat(
                        nonce=nonce, lease_ids=leases, gone_lease_ids=gone, draining=self._roster.draining
                    )
                )
            )
            self._beat_now.clear()
            try:
                async with asyncio.timeout(pulse.interval):
                    await self._beat_now.wait()
            except TimeoutError:
                pass

    async def _answered(self, reply: pb.HeartbeatReply, pulse: Pulse) -> None:
        sent_at = pulse.answered(reply.nonce)
        named = self._named.pop(reply.nonce, None)
        for nonce in [older for older in self._named if older < reply.nonce]:
            del self._named[nonce]
        for cancel in reply.cancels:
            self._roster.cancel(cancel)
        over = {fence.lease_id for fence in reply.fences}
        for fence in reply.fences:
            self._roster.fence(fence.lease_id, fence.reason)
        if sent_at is not None and named is not None:
            leases, gone = named
            self._roster.renewed((lease_id for lease_id in leases if lease_id not in over), sent_at)
            await self._roster.gone_known(gone)

    def _assigned(self, assignment: pb.Assignment, pulse: Pulse) -> None:
        try:
            if self._refusing:
                raise Declined(pb.DECLINE_REASON_DRAINING, "the orchestrator asked for no more work to be taken")
            self._roster.accept(assignment, pulse.answered_at, pulse.awake(self._clock.boot_time()))
        except Declined as declined:
            log.info("run %s is declined: %s", assignment.run_id, declined.detail)
            decline = pb.Decline(lease_id=assignment.lease_id, reason=declined.reason, detail=declined.detail)
            self._outbox.put_nowait(pb.ConnectRequest(decline=decline))

    async def _pass_declines(self) -> None:
        while True:
            decline = await self._roster.declines.get()
            self._outbox.put_nowait(pb.ConnectRequest(decline=decline))

    async def _tell_definitions(self) -> None:
        told = Description()
        known: Description | None = None
        while True:
            known = await self._catalogue.wait_changed(known)
            change = difference(told, known)
            told = known
            for definition in change.definitions:
                self._tell(pb.Definition(experiment=_experiment(definition)))
            for name in change.gone:
                self._tell(pb.Definition(removal=pb.Removal(experiment=name)))
            for module, error in change.errors:
                found = experiment_service_pb2.DiscoveryError(module=module, error=error)
                self._tell(pb.Definition(error=found))

    def _tell(self, definition: pb.Definition) -> None:
        self._outbox.put_nowait(pb.ConnectRequest(definition=definition))


def _experiment(definition: Definition) -> experiment_pb2.Experiment:
    code = definition.code
    return experiment_pb2.Experiment(
        name=definition.name,
        title=definition.title,
        description=definition.description,
        configuration_schema_json=definition.configuration_schema_json,
        default_configuration_json=definition.default_configuration_json,
        code=experiment_pb2.CodeVersion(
            digest=code.digest,
            module=code.module,
            distribution=code.distribution,
            git_commit=code.git_commit,
            git_dirty=code.git_dirty,
        ),
        default_policy=_policy(definition),
    )


def _policy(definition: Definition) -> run_policy_pb2.RunPolicy:
    said = definition.policy
    policy = run_policy_pb2.RunPolicy()
    for seconds, target in (
        (said.timeout_s, policy.timeout),
        (said.cancel_grace_period_s, policy.cancel_grace_period),
        (said.retry_backoff_s, policy.retry_backoff),
        (said.lost_after_s, policy.lost_after),
    ):
        if seconds is not None:
            target.FromMicroseconds(round(seconds * 1_000_000))
            target.SetInParent()  # zero is said, too
    if said.max_attempts is not None:
        policy.max_attempts = said.max_attempts
    return policy


def _seconds(duration: duration_pb2.Duration) -> float:
    return duration.ToTimedelta().total_seconds()
