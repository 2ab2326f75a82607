# Derived from _async/client.py by tools/derive_sync.py: change that one.

"""The client."""

import time
from typing import Any, Final

from athanor.client import _channel
from athanor.client._sync import transport
from athanor.client._sync.calls import Caller
from athanor.client._sync.closing import Closing
from athanor.client._sync.experiments import Experiments
from athanor.client._sync.instances import Instances
from athanor.client._sync.orchestrators import Orchestrators
from athanor.client._sync.runners import Runners
from athanor.client._sync.runs import Runs
from athanor.client.resources import OrchestratorRecord
from athanor.v1 import orchestrator_service_pb2 as pb
from athanor.v1.experiment_service_pb2_grpc import ExperimentServiceStub
from athanor.v1.instance_service_pb2_grpc import InstanceServiceStub
from athanor.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from athanor.v1.run_service_pb2_grpc import RunServiceStub
from athanor.v1.runner_service_pb2_grpc import RunnerServiceStub

_SERVING: Final = b"\x08\x01"  # a HealthCheckResponse with the status SERVING


class Client(Closing):
    """A client of an orchestrator, or of several that share a database.

        with Client() as client:
            instance = client.instances.create("digits", {"repeats": 3})
            run = instance.start()
            for entry in run.logs(follow=True):
                print(entry.message)
            run.refresh()
            print(run.state)

    `target` is HOST:PORT, or several separated by commas; without one that of ATHANOR_TARGET, else 127.0.0.1:7400. The
    first that answers is called; when it is lost the next one takes its place. `timeout` is the deadline of a call in
    seconds, unless the call says otherwise. A call that may be repeated is made again for up to `retry_for` seconds
    while no orchestrator is available.

    Several threads may use it.
    Raises TargetError for an address of another form.
    """

    def __init__(self, target: str | None = None, *, timeout: float = 30.0, retry_for: float = 10.0) -> None:
        self.target = _channel.resolve_target(target)
        self._orchestrators = Orchestrators(self.target.split(","))
        channel = self._orchestrators.as_channel()
        caller = Caller(self.target, timeout=timeout, retry_for=retry_for, sleep=transport.sleep, clock=time.monotonic)
        self.experiments = Experiments(self, caller, ExperimentServiceStub(channel))
        self.instances = Instances(self, caller, InstanceServiceStub(channel), connect_for=retry_for)
        self.runs = Runs(self, caller, RunServiceStub(channel), channel, connect_for=retry_for)
        self.runners = Runners(self, caller, RunnerServiceStub(channel))
        self._caller = caller
        self._stub = OrchestratorServiceStub(channel)
        # The standard health service has messages of one field each: too little to need their stubs.
        self._check_health: Any = channel.unary_unary("/grpc.health.v1.Health/Check")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.target!r})"

    def orchestrator(self, *, timeout: float | None = None) -> OrchestratorRecord:
        """Return which orchestrator answers. Raises UnimplementedError when it is too old to say."""
        response = self._caller.call(self._stub.GetOrchestrator, pb.GetOrchestratorRequest(), timeout=timeout)
        return OrchestratorRecord(response.orchestrator.version, response.orchestrator.database)

    def healthy(self, *, timeout: float | None = None) -> bool:
        """Return whether the orchestrator can work just now: False while its database takes nothing, or it is stopping.

        Raises UnavailableError when none answers.
        """
        response = self._caller.call(self._check_health, b"", timeout=timeout)
        return response == _SERVING

    def close(self) -> None:
        """Close the connection. Calls under way are cancelled; runs go on."""
        self._orchestrators.close()
