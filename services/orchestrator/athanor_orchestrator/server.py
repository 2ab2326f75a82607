"""The composition root: everything is built here, leaf to root, started in order, and stopped in order.

Start: the database, because nothing may be answered before its schema is right; the listening socket, so that a taken
port ends the start before anything moves; the loops; the calls; and health last, because it says that all of it is
there.

Stop: health first, so that others look elsewhere; then runners and watchers are told, because the end of a server tells
open streams nothing; then calls get their grace; the loops go when no call needs them; and the database is last,
because everything writes to it until then.
"""

import asyncio
import logging
from typing import Any, cast

from athanor.runner.v1 import dispatch_service_pb2, dispatch_service_pb2_grpc
from athanor.v1 import (
    experiment_service_pb2,
    instance_service_pb2,
    orchestrator_service_pb2,
    run_service_pb2,
    runner_service_pb2,
)
from google.protobuf.descriptor import ServiceDescriptor
from grpc import aio

from athanor_orchestrator import __version__
from athanor_orchestrator.domain.clock import Clock, SystemClock
from athanor_orchestrator.engine.catalogue import Catalogue
from athanor_orchestrator.engine.deletion import Deletion
from athanor_orchestrator.engine.fleet import Fleet
from athanor_orchestrator.engine.instances import Instances
from athanor_orchestrator.engine.run_log import RunLog
from athanor_orchestrator.engine.runner_side import RunnerSide
from athanor_orchestrator.engine.runs import Runs
from athanor_orchestrator.engine.storage_health import StorageHealth
from athanor_orchestrator.engine.subscription import Subscriptions
from athanor_orchestrator.engine.verification import Verification
from athanor_orchestrator.engine.wakeups import Wakeups
from athanor_orchestrator.engine.watching import Watching
from athanor_orchestrator.rpc import handlers, standard
from athanor_orchestrator.rpc.dispatch import DispatchServicer
from athanor_orchestrator.rpc.experiments import ExperimentServicer
from athanor_orchestrator.rpc.instances import InstanceServicer
from athanor_orchestrator.rpc.interceptor import ErrorInterceptor
from athanor_orchestrator.rpc.orchestrator import OrchestratorServicer
from athanor_orchestrator.rpc.runners import RunnerServicer
from athanor_orchestrator.rpc.runs import RunServicer
from athanor_orchestrator.rpc.watch import Watches
from athanor_orchestrator.settings import Settings
from athanor_orchestrator.storage.database import Database

logger = logging.getLogger(__name__)

OPTIONS = (
    ("grpc.so_reuseport", 0),  # else a second server takes the same port, silently
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),  # without it a stopped peer is noticed after 70 s
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),  # below what clients send, else they get GOAWAY
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.bdp_probe", 0),  # else a reader that does not read absorbs megabytes
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ("grpc.max_send_message_length", 4 * 1024 * 1024),
)


class PortTaken(Exception):
    """Somebody else listens there, or the address is not this machine's."""


class Orchestrator:
    """One running orchestrator."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        """Build it; nothing is opened yet."""
        self.settings = settings
        self.port = 0  # the one it listens on, once it has started
        self._clock = clock or SystemClock()
        self._wakeups = Wakeups()
        self._server = aio.server(interceptors=(ErrorInterceptor(),), options=OPTIONS)
        self._loops: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the database and serve. Raises errors of `domain.errors` for the database, OSError, PortTaken."""
        settings = self.settings
        if not settings.database_url:
            settings.data.mkdir(parents=True, exist_ok=True)
        self.database = await asyncio.to_thread(
            Database.open, settings.storage_url, clock=self._clock, on_commit=self._wakeups.publish
        )
        self.database.start(asyncio.get_running_loop())
        try:
            self._compose()
            self.port = self._listen()
        except BaseException:
            await self.database.close()
            raise
        self._loops = asyncio.create_task(self._run_loops(), name="orchestrator: loops")
        await self._server.start()
        await self._health.say(True)

    def _compose(self) -> None:
        """Build the parts and mount them, leaf to root."""
        database, wakeups, timings = self.database, self._wakeups, self.settings.timings

        self._runner_side = RunnerSide(database, wakeups, self._clock, timings)
        self._deletion = Deletion(database, wakeups)
        catalogue = Catalogue(database)
        side = self._runner_side
        subscriptions = Subscriptions(database, wakeups, side.progress, side.tails, self._clock, timings)
        self.watches = Watches(subscriptions, Watching(database, wakeups, timings))

        mounted: dict[ServiceDescriptor, object] = {
            _service(experiment_service_pb2, "ExperimentService"): ExperimentServicer(catalogue),
            _service(instance_service_pb2, "InstanceService"): InstanceServicer(
                Instances(database, catalogue), self.watches
            ),
            _service(run_service_pb2, "RunService"): RunServicer(
                Runs(database), RunLog(database), Verification(database), self.watches
            ),
            _service(runner_service_pb2, "RunnerService"): RunnerServicer(Fleet(database, timings)),
            _service(orchestrator_service_pb2, "OrchestratorService"): OrchestratorServicer(
                __version__, self.settings.database_name
            ),
        }
        for descriptor, servicer in mounted.items():
            self._server.add_generic_rpc_handlers((handlers.mount(descriptor, servicer),))
        dispatch_service_pb2_grpc.add_DispatchServiceServicer_to_server(
            DispatchServicer(self._runner_side), self._server
        )

        names = [descriptor.full_name for descriptor in mounted]
        names.append(_service(dispatch_service_pb2, "DispatchService").full_name)
        self._health = standard.Health(names)
        self._health.mount(self._server)
        standard.mount_reflection(self._server, (*names, standard.HEALTH))
        self._storage_health = StorageHealth(database, timings, self._health.say)

    def _listen(self) -> int:
        host, port = self.settings.host, self.settings.port
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            return self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise PortTaken(
                f"cannot listen on {address}: the port is taken, or the address not this machine's"
            ) from error

    async def _run_loops(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._runner_side.run(), name="runner side")
            group.create_task(self._deletion.run(), name="deletion")
            group.create_task(self._storage_health.run(), name="storage health")

    async def failed(self) -> None:
        """Wait until a loop dies, which none should, and raise what it died of."""
        assert self._loops is not None
        await asyncio.shield(self._loops)

    async def stop(self) -> None:
        """Stop in order; see the module's text."""
        await self._health.stop()
        await self._runner_side.drain()
        self.watches.stop()
        await self._server.stop(self.settings.stop_grace)
        if self._loops is not None:
            self._loops.cancel()
            await asyncio.wait({self._loops})
        await self.database.close()


def _service(module: object, name: str) -> ServiceDescriptor:
    return cast(Any, module).DESCRIPTOR.services_by_name[name]
