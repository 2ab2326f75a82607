"""What no request may contain, and that each fault names its field."""

import pytest
from athanor.v1 import instance_pb2, instance_service_pb2, run_policy_pb2, run_service_pb2
from athanor_orchestrator.domain.errors import InvalidFields
from athanor_orchestrator.domain.ids import new_id
from athanor_orchestrator.rpc import convert
from athanor_orchestrator.rpc.validate import Faults, check_message
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message


def fields_of(faults: Faults) -> list[str]:
    with pytest.raises(InvalidFields) as caught:
        faults.settle()
    return [violation.field for violation in caught.value.violations]


GOOD = "01a1fada-838e-7fa0-9bef-9a1b847f1cde"


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (run_service_pb2.CancelRunRequest(reason="a\0b"), "reason"),
        (instance_service_pb2.CreateInstanceRequest(instance=instance_pb2.Instance(name="\0")), "instance.name"),
        (run_service_pb2.StartRunRequest(labels={"k": "\0"}), "labels"),
        (run_service_pb2.StartRunRequest(labels={"\0": "v"}), "labels"),
        (
            run_service_pb2.WatchRunRequest(filter=run_service_pb2.RunEventFilter(text="\0")),
            "filter.text",
        ),
        (run_service_pb2.ListRunsRequest(states=[1, 99]), "states"),
        (run_service_pb2.ListRunsRequest(view=7), "view"),
        (
            run_service_pb2.ListRunEventsRequest(filter=run_service_pb2.RunEventFilter(minimum_level=15)),
            "filter.minimum_level",
        ),
        (run_service_pb2.ListRunEventsRequest(filter=run_service_pb2.RunEventFilter(kinds=[9])), "filter.kinds"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_nul_and_unknown_enum_values_are_refused_wherever_they_stand(request_: Message, field: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        check_message(request_)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_an_ordinary_request_passes() -> None:
    check_message(run_service_pb2.ListRunsRequest(states=[1, 5], labels={"a": ""}, view=run_service_pb2.RUN_VIEW_FULL))


@pytest.mark.parametrize("id", ["", "x", GOOD.upper(), GOOD.replace("-", ""), f"{{{GOOD}}}", f" {GOOD}", f"{GOOD}\n"])
def test_an_id_of_another_form_is_refused(id: str) -> None:
    faults = Faults()
    faults.id("id", id)
    assert fields_of(faults) == ["id"]


def test_an_id_passes_and_an_optional_one_may_be_missing() -> None:
    faults = Faults()
    faults.id("id", new_id())
    faults.id("instance_id", "", optional=True)
    faults.settle()


def test_names_have_1_to_200_characters_of_any_script() -> None:
    faults = Faults()
    faults.name("name", "漢" * 200)
    faults.settle()
    faults.name("name", "漢" * 201)
    faults.name("experiment", "")
    assert fields_of(faults) == ["name", "experiment"]


def test_labels_are_bounded_in_number_and_length() -> None:
    faults = Faults()
    faults.labels("labels", {str(n): "v" * 200 for n in range(64)})
    faults.settle()
    faults.labels("labels", {str(n): "" for n in range(65)})
    faults.labels("labels", {"": "v"})
    faults.labels("labels", {"k" * 201: "v"})
    faults.labels("labels", {"k": "v" * 201})
    assert fields_of(faults) == ["labels"] * 4


def test_a_key_is_measured_in_bytes() -> None:
    faults = Faults()
    faults.key("key", "é" * 250)
    faults.settle()
    faults.key("key", "é" * 251)
    assert fields_of(faults) == ["key"]


def test_a_mask_names_known_fields() -> None:
    faults = Faults()
    faults.mask("update_mask", [], ("name",))
    faults.mask("update_mask", ["name", "experiment", "id"], ("name",))
    assert fields_of(faults) == ["update_mask"] * 3


@pytest.mark.parametrize("seconds", [2**63 - 1, -(2**63), 10**15])
def test_a_duration_beyond_all_bounds_is_refused_by_its_field(seconds: int) -> None:
    faults = Faults()
    message = run_policy_pb2.RunPolicy(timeout=Duration(seconds=seconds))
    convert.policy_record(faults, "policy", message)
    assert fields_of(faults) == ["policy.timeout"]


def test_every_fault_of_a_request_is_told_at_once() -> None:
    faults = Faults()
    faults.id("id", "x")
    faults.not_negative("page_size", -5)
    faults.specified("states", [1, 0])
    assert fields_of(faults) == ["id", "page_size", "states"]
