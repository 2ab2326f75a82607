"""A page token is of use for its own listing and filters, and for nothing else."""

import base64

import pytest
from athanor.v1 import experiment_service_pb2, instance_service_pb2, run_service_pb2
from athanor_orchestrator.domain.errors import InvalidFields, PageTokenInvalid
from athanor_orchestrator.rpc import paging
from athanor_orchestrator.rpc.validate import Faults
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st


def listing(**fields: object) -> run_service_pb2.ListRunsRequest:
    return run_service_pb2.ListRunsRequest(**fields)  # type: ignore[arg-type]


def test_a_token_leads_back_to_its_position() -> None:
    request = listing(experiment="digits", labels={"a": "1", "b": "2"})
    token = paging.token(request, "0198-x")
    assert paging.position(listing(experiment="digits", labels={"b": "2", "a": "1"}), token, "") == "0198-x"
    events = run_service_pb2.ListRunEventsRequest(run_id="r")
    assert paging.position(events, paging.token(events, 5_000_000_000), 0) == 5_000_000_000


def test_without_a_token_a_listing_begins_at_its_start_and_the_last_page_has_none() -> None:
    assert paging.position(listing(), "", "") == ""
    assert paging.token(listing(), None) == ""


def test_the_size_of_pages_and_how_much_of_each_item_may_change_on_the_way() -> None:
    token = paging.token(listing(page_size=10), "x")
    assert (
        paging.position(listing(page_size=500, view=run_service_pb2.RUN_VIEW_FULL, page_token=token), token, "") == "x"
    )


@pytest.mark.parametrize(
    "other",
    [
        listing(experiment="digits"),
        listing(instance_id="i"),
        listing(states=[1]),
        listing(labels={"a": "1"}),
        instance_service_pb2.ListInstancesRequest(),
        experiment_service_pb2.ListExperimentsRequest(),
    ],
    ids=lambda request: f"{type(request).__name__} {request}".strip(),
)
def test_a_token_of_another_listing_or_other_filters_is_refused(other: Message) -> None:
    with pytest.raises(PageTokenInvalid):
        paging.position(other, paging.token(listing(), "x"), "")


@given(st.text(min_size=1))
def test_a_token_that_nobody_made_is_refused(token: str) -> None:
    with pytest.raises(PageTokenInvalid):
        paging.position(listing(), token, "")


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_token_that_was_changed_is_refused(where: int, flip: int) -> None:
    token = paging.token(listing(), "0198-x")
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    raw[where % len(raw)] ^= flip
    with pytest.raises(PageTokenInvalid):
        paging.position(listing(), base64.urlsafe_b64encode(raw).decode().rstrip("="), "")


@pytest.mark.parametrize(("asked", "given"), [(0, 100), (1, 1), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)])
def test_page_sizes_have_a_default_and_a_cap(asked: int, given: int) -> None:
    assert paging.size(Faults(), asked) == given


def test_a_negative_page_size_is_refused() -> None:
    faults = Faults()
    paging.size(faults, -1)
    with pytest.raises(InvalidFields, match="page_size: must not be negative; is -1"):
        faults.settle()
