#!/usr/bin/env python3
"""The health checks of the containers: exit status 0 when it is well, 1 with a line that says why when not.

health.py orchestrator HOST:PORT        it serves, by grpc.health.v1: its database takes what is written
health.py runner HOST:PORT NAME         the orchestrator has a connected runner of that name
"""

import sys

import grpc
from athanor.v1 import runner_service_pb2, runner_service_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

TIMEOUT_S = 5.0


def orchestrator(channel: grpc.Channel) -> str | None:
    """What is wrong with it; None when nothing is."""
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
    serving = health_pb2.HealthCheckResponse.SERVING
    return None if answer.status == serving else health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


def runner(channel: grpc.Channel, name: str) -> str | None:
    """What is wrong with it; None when nothing is."""
    stub = runner_service_pb2_grpc.RunnerServiceStub(channel)
    request = runner_service_pb2.ListRunnersRequest(page_size=1000)
    while True:
        answer = stub.ListRunners(request, timeout=TIMEOUT_S)
        if any(found.connected and found.display_name == name for found in answer.runners):
            return None
        if not answer.next_page_token:
            return f"no runner {name} is connected"
        request.page_token = answer.next_page_token


def main(what: str, target: str, *name: str) -> int:
    """Check, and say what is wrong."""
    with grpc.insecure_channel(target) as channel:
        try:
            wrong = orchestrator(channel) if what == "orchestrator" else runner(channel, *name)
        except grpc.RpcError as error:
            wrong = f"{error.code().name}: {error.details()}"
    if wrong:
        sys.stderr.write(f"{wrong}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
