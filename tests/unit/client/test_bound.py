"""Bound objects: records that know their client."""

import copy
import dataclasses
import pickle
from typing import Any

import athanor
import pytest
from athanor.client import (
    AsyncExperiment,
    AsyncRun,
    AsyncRunner,
    Experiment,
    ExperimentRecord,
    Instance,
    InstanceRecord,
    Run,
    Runner,
    RunnerRecord,
    RunRecord,
    RunState,
)
from athanor.client._bound import filter_id, id_of, renew

RECORD = RunRecord("r", "i", "digits", RunState.RUNNING, configuration_json='{"a":1}', labels={"k": "v"})
LATER = dataclasses.replace(RECORD, state=RunState.COMPLETED, configuration_json='{"a":2}')
CLIENT: Any = object()


def test_it_is_its_record_with_all_fields():
    run = Run.bind(RECORD, CLIENT)
    assert isinstance(run, RunRecord)
    assert [getattr(run, field.name) for field in dataclasses.fields(RunRecord)] == [
        getattr(RECORD, field.name) for field in dataclasses.fields(RunRecord)
    ]
    assert run.configuration == {"a": 1}
    assert not run.ended


def test_it_is_frozen_as_its_record_is():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Run.bind(RECORD, CLIENT).state = RunState.FAILED


def test_it_is_brought_up_to_date_in_place_and_forgets_what_was_made_of_the_old():
    run = Run.bind(RECORD, CLIENT)
    assert run.configuration == {"a": 1}
    renew(run, LATER)
    assert run.ended
    assert run.configuration == {"a": 2}
    assert run._client is CLIENT


def test_equal_are_those_with_the_same_fields_whoever_holds_them():
    run = Run.bind(RECORD, CLIENT)
    assert run == RECORD
    assert run == RECORD
    assert run == AsyncRun.bind(RECORD, object())
    assert run != Run.bind(LATER, CLIENT)
    assert run != "r"
    assert Experiment.bind(ExperimentRecord("x", "", ""), CLIENT) != Runner.bind(RunnerRecord("x"), CLIENT)


def test_it_stays_in_the_sets_in_which_it_is():
    run = Run.bind(RECORD, CLIENT)
    held = {run}
    renew(run, LATER)
    assert run in held
    assert hash(run) == hash(AsyncRun.bind(RECORD, CLIENT))


def test_its_repr_is_short():
    assert repr(Run.bind(RECORD, CLIENT)) == "Run('r', experiment='digits', state=RUNNING)"
    assert repr(AsyncRun.bind(RECORD, CLIENT)).startswith("AsyncRun('r', ")
    instance = InstanceRecord("i", "digits", "mine")
    assert repr(Instance.bind(instance, CLIENT)) == "Instance('i', experiment='digits', name='mine')"
    assert repr(AsyncExperiment.bind(ExperimentRecord("e", "E", ""), CLIENT)) == "AsyncExperiment('e', title='E')"
    runner = RunnerRecord("x", "lab", connected=True)
    assert repr(AsyncRunner.bind(runner, CLIENT)) == "AsyncRunner('x', display_name='lab', connected=True)"


@pytest.mark.parametrize("kind", [Run, AsyncRun])
def test_a_notebook_shows_it_as_its_record(kind):
    assert kind.bind(RECORD, CLIENT)._repr_html_() == RECORD._repr_html_()
    assert "digits" in RECORD._repr_html_()


def test_a_part_of_a_client_says_of_which():
    with athanor.connect("lab") as client:
        assert repr(client.runs) == "<Runs of Client('lab:7400')>"
        assert repr(client.experiments) == "<Experiments of Client('lab:7400')>"


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_stays_as_it_is_and_keeps_the_client(duplicate):
    run = Run.bind(RECORD, CLIENT)
    before = duplicate(run)
    renew(run, LATER)
    assert before == RECORD
    assert before._client is CLIENT


def test_what_was_pickled_can_be_read_and_says_why_it_can_be_asked_no_more():
    run = Run.bind(RECORD, CLIENT)
    assert run.configuration == {"a": 1}
    again = pickle.loads(pickle.dumps(run))
    assert type(again) is Run
    assert again == run
    assert again.configuration == {"a": 1}
    with pytest.raises(RuntimeError, match=r"this Run has no client, .* get it again from a client, by its id"):
        again.refresh()


def test_one_made_by_hand_says_the_same():
    experiment = Experiment("hello", "Hello", "")
    with pytest.raises(RuntimeError, match="by its name"):
        experiment.refresh()


def test_ids_are_taken_as_such_or_from_what_has_them():
    assert id_of("x", RunnerRecord) == "x"
    assert id_of(RECORD, RunRecord) == id_of(Run.bind(RECORD, CLIENT), RunRecord) == "r"
    assert id_of(ExperimentRecord("hello", "", ""), ExperimentRecord) == "hello"
    assert id_of(InstanceRecord("i", "hello", "n"), InstanceRecord) == "i"
    assert id_of(RunnerRecord("x"), RunnerRecord) == "x"
    assert filter_id(None, RunRecord) == filter_id("", RunRecord) == ""


@pytest.mark.parametrize("name", ["Run", "Instance", "Experiment", "Runner"])
def test_both_clients_give_objects_with_the_same_methods(name):
    import athanor.client as module

    blocking, awaiting = getattr(module, name), getattr(module, f"Async{name}")
    assert [part for part in vars(blocking) if not part.startswith("__")] == [
        part for part in vars(awaiting) if not part.startswith("__")
    ]
