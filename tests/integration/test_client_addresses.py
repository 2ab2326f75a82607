"""A client that knows several orchestrators, over real connections; what each of them does is told by the test."""

import socket
import time
from collections.abc import AsyncIterator

import grpc
import pytest
from athanor.client import AsyncClient, NotFoundError, UnavailableError

from tests.support.fake_orchestrator import FakeOrchestrator, Refusal

STOPPING = Refusal(grpc.StatusCode.UNAVAILABLE, "the orchestrator is stopping", retry_after=5)


@pytest.fixture
async def two() -> AsyncIterator[tuple[FakeOrchestrator, FakeOrchestrator]]:
    fakes = FakeOrchestrator(), FakeOrchestrator()
    for fake in fakes:
        await fake.start()
        fake.add_experiment("hello", configuration_schema_json='{"type":"object"}')
    yield fakes
    for fake in fakes:
        if fake.server:
            await fake.kill()


@pytest.fixture
def nobody() -> str:
    """An address at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def deaf():
    """An address that takes connections and says nothing: an orchestrator that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def both(two) -> str:
    return f"{two[0].target},{two[1].target}"


async def test_the_first_is_called_as_long_as_it_answers(two):
    async with AsyncClient(both(two)) as client:
        for _ in range(5):
            await client.experiments.get("hello")
    assert len(two[0].called("GetExperiment")) == 5
    assert two[1].called("GetExperiment") == []


async def test_a_call_that_must_not_be_repeated_goes_to_the_one_that_is_there(two, nobody):
    async with AsyncClient(f"{nobody},{two[1].target}") as client:
        with pytest.raises(NotFoundError):
            await client.instances.delete("no such instance")
    assert len(two[1].called("DeleteInstance")) == 1


async def test_one_that_hangs_is_passed_over_within_a_second_or_so(two, deaf):
    async with AsyncClient(f"{deaf},{two[1].target}") as client:
        began = time.monotonic()
        await client.experiments.get("hello")
        assert time.monotonic() - began < 4
        began = time.monotonic()
        await client.experiments.get("hello")
        assert time.monotonic() - began < 0.9, "and not asked again"


async def test_a_call_to_one_that_is_stopping_is_made_at_the_other_at_once(two):
    async with AsyncClient(both(two)) as client:
        two[0].refusals["CreateInstance"] = [STOPPING]
        began = time.monotonic()
        await client.instances.create("hello")
        assert time.monotonic() - began < 2
    (first,), (second,) = two[0].called("CreateInstance"), two[1].called("CreateInstance")
    assert first.request_id == second.request_id


async def test_a_call_after_one_was_killed_goes_to_the_other(two):
    async with AsyncClient(both(two)) as client:
        await client.experiments.get("hello")
        await two[0].kill()
        await client.instances.create("hello")
        with pytest.raises(NotFoundError):
            await client.instances.delete("no such instance")


async def test_when_none_is_there_all_are_named(nobody, deaf):
    async with AsyncClient(f"{nobody},{deaf}", retry_for=0.5) as client:
        with pytest.raises(UnavailableError) as caught:
            await client.experiments.get("hello", timeout=8)
    assert nobody in str(caught.value)
    assert deaf in str(caught.value)
    assert "HOST:PORT,HOST:PORT" in caught.value.advice


async def test_a_closed_client_says_so(two):
    client = AsyncClient(both(two))
    await client.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await client.experiments.get("hello")
    with pytest.raises(RuntimeError, match="closed"):
        async for _ in client.runs.watch("x"):
            pass
