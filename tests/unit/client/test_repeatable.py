"""Every unary call of the contract: the caller's deadline reaches it, and what does harm twice is not made again."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from athanor.client import Client
from athanor.v1 import (
    experiment_service_pb2,
    instance_service_pb2,
    orchestrator_service_pb2,
    run_service_pb2,
    runner_service_pb2,
)

SERVICES = (
    experiment_service_pb2,
    instance_service_pb2,
    orchestrator_service_pb2,
    run_service_pb2,
    runner_service_pb2,
)

# What is asked for, and whether it is made again.
CALLS: list[tuple[str, bool, Callable[[Client], object]]] = [
    ("GetExperiment", True, lambda client: client.experiments.get("x", timeout=7.5)),
    ("ListExperiments", True, lambda client: client.experiments.list(timeout=7.5).all()),
    ("ValidateConfiguration", True, lambda client: client.experiments.validate("x", timeout=7.5)),
    ("CreateInstance", True, lambda client: client.instances.create("x", timeout=7.5)),
    ("GetInstance", True, lambda client: client.instances.get("i", timeout=7.5)),
    ("ListInstances", True, lambda client: client.instances.list(timeout=7.5).first()),
    ("UpdateInstance", True, lambda client: client.instances.update("i", name="n", timeout=7.5)),
    ("UpdateInstance", False, lambda client: client.instances.update("i", name="n", etag="1", timeout=7.5)),
    ("DeleteInstance", False, lambda client: client.instances.delete("i", timeout=7.5)),
    ("DeleteInstance", True, lambda client: client.instances.delete("i", allow_missing=True, timeout=7.5)),
    ("StartRun", True, lambda client: client.runs.start("i", timeout=7.5)),
    ("GetRun", True, lambda client: client.runs.get("r", timeout=7.5)),
    ("ListRuns", True, lambda client: client.runs.list(timeout=7.5).all()),
    ("CancelRun", True, lambda client: client.runs.cancel("r", timeout=7.5)),
    ("DeleteRun", False, lambda client: client.runs.delete("r", timeout=7.5)),
    ("DeleteRun", True, lambda client: client.runs.delete("r", allow_missing=True, timeout=7.5)),
    ("ListRunEvents", True, lambda client: client.runs.events("r", timeout=7.5).all()),
    ("ListResults", True, lambda client: client.runs.results("r", timeout=7.5).all()),
    ("VerifyRun", True, lambda client: client.runs.verify("r", timeout=7.5)),
    ("GetRunner", True, lambda client: client.runners.get("x", timeout=7.5)),
    ("ListRunners", True, lambda client: client.runners.list(timeout=7.5).all()),
    ("DrainRunner", True, lambda client: client.runners.drain("x", timeout=7.5)),
    ("UndrainRunner", True, lambda client: client.runners.undrain("x", timeout=7.5)),
    ("ForgetRunner", False, lambda client: client.runners.forget("x", timeout=7.5)),
    ("GetOrchestrator", True, lambda client: client.orchestrator(timeout=7.5)),
]


class Called(Exception):
    """A call was made."""


class Recorder:
    """Takes a call instead of making it."""

    def call(self, method: Any, request: Any, *, timeout: float | None = None, repeatable: bool = True) -> Any:
        raise Called(
            type(request).__name__.removesuffix("Request"), timeout, repeatable, getattr(request, "request_id", None)
        )


@pytest.fixture
def client() -> Iterator[Client]:
    with Client("h:1") as client:
        for part in (client, client.experiments, client.instances, client.runs, client.runners):
            part._caller = Recorder()  # type: ignore[assignment]
        yield client


@pytest.mark.parametrize(("name", "repeatable", "make"), CALLS)
def test_a_call_is_made_again_only_where_that_does_no_harm(client, name, repeatable, make):
    with pytest.raises(Called) as made:
        make(client)
    called, timeout, may_repeat, request_id = made.value.args
    assert (called, timeout, may_repeat) == (name, 7.5, repeatable)
    if request_id is not None:
        assert len(request_id) == 32, "what makes something carries an id of its own"


def test_no_call_of_the_contract_is_forgotten_here():
    methods = [m for module in SERVICES for s in module.DESCRIPTOR.services_by_name.values() for m in s.methods]
    assert {name for name, *_ in CALLS} == {method.name for method in methods if not method.server_streaming}


def test_two_calls_that_make_something_have_different_ids(client):
    drawn = set[str]()
    for _ in range(3):
        with pytest.raises(Called) as made:
            client.runs.start("i")
        drawn.add(made.value.args[3])
    assert len(drawn) == 3
