"""The server itself: health, reflection, its port, and that a stop is in order."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from athanor.v1 import instance_service_pb2, run_service_pb2
from athanor_orchestrator.domain.errors import StorageUnavailable
from athanor_orchestrator.server import Orchestrator, PortTaken
from athanor_orchestrator.settings import Settings
from google.protobuf import descriptor_pb2
from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from tests.support.api import Api, refused, serving

SERVICES = {
    "athanor.v1.ExperimentService",
    "athanor.v1.InstanceService",
    "athanor.v1.RunService",
    "athanor.v1.RunnerService",
    "athanor.v1.OrchestratorService",
    "athanor.runner.v1.DispatchService",
}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """Not about the database: SQLite is enough."""
    async with serving(f"sqlite:///{tmp_path / 'athanor.db'}") as served:
        yield served


async def test_health_is_told_for_the_server_and_each_service(api: Api) -> None:
    stub = health_pb2_grpc.HealthStub(api.channel)
    for service in ("", *SERVICES):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    unknown = await refused(stub.Check(health_pb2.HealthCheckRequest(service="nobody")))
    assert unknown.code is StatusCode.NOT_FOUND


async def test_while_it_stops_it_is_not_serving(api: Api) -> None:
    stub = health_pb2_grpc.HealthStub(api.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="athanor.v1.RunService"))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    stopping = asyncio.create_task(api.orchestrator.stop())
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    watch.cancel()
    await stopping


async def reflect(api: Api, version: str, **question: Any) -> Any:
    call = api.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )()
    await call.write(reflection_pb2.ServerReflectionRequest(**question))
    answer = await call.read()
    await call.done_writing()
    assert await call.read() is aio.EOF
    return answer


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_tells_the_whole_contract_under_both_of_its_names(api: Api, version: str) -> None:
    listed = (await reflect(api, version, list_services="")).list_services_response.service
    names = {service.name for service in listed}
    assert names > SERVICES
    assert {f"grpc.reflection.{v}.ServerReflection" for v in ("v1", "v1alpha")} < names
    assert "grpc.health.v1.Health" in names
    for service in names:
        answer = await reflect(api, version, file_containing_symbol=service)
        files = [
            descriptor_pb2.FileDescriptorProto.FromString(raw)
            for raw in answer.file_descriptor_response.file_descriptor_proto
        ]
        assert any(f"{file.package}.{each.name}" == service for file in files for each in file.service)


@pytest.mark.parametrize("symbol", ["google.rpc.ErrorInfo", "google.rpc.BadRequest", "google.rpc.ResourceInfo"])
async def test_reflection_knows_the_details_of_errors(api: Api, symbol: str) -> None:
    answer = await reflect(api, "v1", file_containing_symbol=symbol)
    assert answer.file_descriptor_response.file_descriptor_proto


async def test_a_port_that_is_taken_is_refused_and_the_database_is_let_go(api: Api, tmp_path: Path) -> None:
    def at(port: int) -> Orchestrator:
        url = f"sqlite:///{tmp_path / 'other.db'}"
        return Orchestrator(Settings(host="127.0.0.1", port=port, data=tmp_path, database_url=url))

    with pytest.raises(PortTaken, match=f"cannot listen on 127.0.0.1:{api.orchestrator.port}: the port is taken"):
        await at(api.orchestrator.port).start()
    second = at(0)
    await second.start()
    await second.stop()


async def test_a_stop_lets_a_call_that_is_under_way_finish(api: Api) -> None:
    await api.define()
    entered, leave = asyncio.Event(), asyncio.Event()
    write = api.orchestrator.database.write

    async def slow(command: Any) -> Any:
        entered.set()
        await leave.wait()
        return await write(command)

    api.orchestrator.database.write = slow  # type: ignore[method-assign]
    call = asyncio.create_task(api.create_instance())
    await entered.wait()
    stopping = asyncio.create_task(api.orchestrator.stop())
    await asyncio.sleep(0.05)
    leave.set()
    assert (await call).id
    await stopping


async def test_a_database_that_cannot_be_written_is_unavailable_and_says_when_to_come_back(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.define()

    async def broken(_command: object) -> None:
        raise StorageUnavailable("the disk is full", 2.0)

    monkeypatch.setattr(api.orchestrator.database, "write", broken)
    request = instance_service_pb2.CreateInstanceRequest()
    request.instance.experiment, request.instance.name = "grid", "n"
    refusal = await refused(api.instances.CreateInstance(request))
    assert (refusal.code, refusal.reason) == (StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")


async def test_a_bug_in_one_call_is_internal_there_and_harms_no_other(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_query: object) -> None:
        raise ZeroDivisionError("the secret")

    with monkeypatch.context() as patch:
        patch.setattr(api.orchestrator.database, "read", broken)
        for call in (
            api.runs.ListRuns(run_service_pb2.ListRunsRequest()),
            api.runs.WatchRun(run_service_pb2.WatchRunRequest(id="0198aaaa-0000-7000-8000-000000000000")),
        ):
            refusal = await refused(call)
            assert refusal.code is StatusCode.INTERNAL
            assert "secret" not in refusal.message
            assert refusal.message.split()[2].rstrip(":") in caplog.text
    assert not (await api.runs.ListRuns(run_service_pb2.ListRunsRequest())).runs
