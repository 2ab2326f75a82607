"""Whole conversations over real HTTP, whatever the server does."""

from typing import Any

import pytest
from athanor.experiment import RunContext, experiment
from athanor.experiment.testing import run_experiment
from athanor_experiments.substrate_shift import substrate_shift
from athanor_experiments.substrate_shift.configuration import Config
from athanor_experiments.substrate_shift.questions import VERDICT

from tests.support.chat import KEY, assert_the_key_is_in_none_of_it, configuration
from tests.support.chat_server import Answer, ChatServer, Request, completion


def shift(server: ChatServer, runs: int = 1, **changes: Any) -> dict[str, Any]:
    pairs = [{"model_a": "one", "model_b": "two"}]
    return configuration(server, pairs=pairs, runs_per_pair=runs, parallelism=3, **changes)


def notices(request: Request) -> Answer:
    """A model that notices every change: it knows, because all that it said before is signed."""
    model, last = request.body["model"], request.last
    if last != VERDICT:
        return completion(f"Signed, {model}.", logprobs={"Signed,": -0.1, f" {model}.": -0.2})
    authors = {message["content"] for message in request.body["messages"] if message["role"] == "assistant"}
    return completion("SAME" if authors == {f"Signed, {model}."} else "CHANGED\n3")


def test_conversations_over_http_in_spite_of_all_that_goes_wrong() -> None:
    """Every third request fails in another way, and none of it is in the numbers."""
    troubles = [
        Answer(429, "", {"Retry-After": "0"}),
        Answer(500, f"Bearer {KEY}"),
        Answer(200, "not JSON"),
        Answer(502, ""),
    ]

    def respond(request: Request) -> Answer:
        third, rest = divmod(request.number, 3)
        return troubles[third % 4] if rest == 0 else notices(request)

    with ChatServer(respond) as server:
        config = shift(server, runs=2)
        config["api"]["max_tries"] = 20
        run = run_experiment(substrate_shift, config, seed=7, capture=True)
    assert run.outcome == "completed"
    assert_the_key_is_in_none_of_it(run)
    assert server.most_at_once <= 3

    (summary,) = run.results["summary"]
    assert (summary["method"], summary["texts"]) == ("verdict", None)
    pair = summary["pairs"]["pair_1"]
    assert (pair["detection"]["count"], pair["detection"]["of"]) == (8, 8)
    assert (pair["false_alarm"]["count"], pair["false_alarm"]["of"]) == (0, 2)
    assert pair["threshold"] is None

    (result,) = run.results["pair_1/switch_3/run_2"]
    assert [turn["model"] for turn in result["turns"]] == ["one"] * 2 + ["two"] * 8
    assert result["turns"][0]["logprobs"] == {"tokens": ["Signed,", " one."], "logprobs": [-0.1, -0.2]}
    assert result["turns"][0]["usage"] == {"prompt_tokens": 12, "completion_tokens": 3}
    assert result["verdict"]["said_turn"] == 3


def test_a_model_that_always_says_changed_is_found_out_by_a_pair_of_itself() -> None:
    def respond(request: Request) -> Answer:
        return completion("CHANGED" if request.body["model"] == "two" else "SAME")

    pairs = [{"model_a": "one", "model_b": "two"}, {"model_a": "two", "model_b": "two"}]
    with ChatServer(respond) as server:
        run = run_experiment(substrate_shift, configuration(server, pairs=pairs, runs_per_pair=2), seed=7)
    found = run.results["summary"][0]["pairs"]
    assert (found["pair_1"]["detection"]["rate"], found["pair_1"]["false_alarm"]["rate"]) == (1, 0)
    assert found["pair_1"]["judged_by"] == {"detection": "two", "false_alarm": "one"}
    assert (found["pair_2"]["detection"]["rate"], found["pair_2"]["false_alarm"]["rate"]) == (1, 1)
    assert [entry.message for entry in run.logs if entry.level == "warn"] == []


def test_as_many_conversations_go_on_at_once_as_are_allowed() -> None:
    with ChatServer(notices) as server:
        run_experiment(substrate_shift, shift(server, runs=2), seed=7)
    assert server.most_at_once == 3


def test_a_failed_conversation_is_a_result_and_does_not_end_the_run_and_is_not_repeated() -> None:
    def respond(request: Request) -> Answer:
        if request.body["model"] == "two":
            return Answer(404, f"no model two for {KEY}")
        return notices(request)

    with ChatServer(respond) as server:
        run = run_experiment(substrate_shift, shift(server), seed=7)
        assert run.outcome == "completed"
        assert_the_key_is_in_none_of_it(run)
        (result,) = run.results["pair_1/switch_7/run_1"]
        assert result["state"] == "failed"
        assert result["error"]["kind"] == "http_404"
        assert len(result["turns"]) == 6
        pair = run.results["summary"][0]["pairs"]["pair_1"]
        assert (pair["failed"], pair["detection"]["rate"], pair["false_alarm"]["of"]) == (4, None, 1)
        warned = [entry.message for entry in run.logs if entry.level == "warn"]
        assert len(warned) == 6
        assert "pair_1: two answers at the end of each switch and of no control" in warned[0]
        assert warned[-1] == "pair_1: one and then two: too few conversations to tell: 4 of 5 failed"

        asked = len(server.requests)
        again = run_experiment(substrate_shift, shift(server), seed=7, after=run)
        assert len(server.requests) == asked, "a later attempt repeats none, failed ones included"
        assert again.standing_results["summary"][-1] == run.results["summary"][0]


def test_killed_over_http_it_goes_on_where_it_was() -> None:
    with ChatServer(notices) as server:
        whole = run_experiment(substrate_shift, shift(server), seed=7)
        for events in (1, 4, 8):
            killed = run_experiment(substrate_shift, shift(server), seed=7, kill_after=events)
            # Another server: at this one, requests of the killed attempt may still arrive.
            with ChatServer(notices) as other:
                rest = run_experiment(substrate_shift, shift(other), seed=7, after=killed)
            assert rest.standing_results == whole.results
            assert len(other.requests) == 11 * (5 - len(killed.checkpoints))


def test_cancelled_in_the_middle_of_conversations_it_goes_no_further_than_their_next_turn() -> None:
    """All begin at once; half of them fail at their first turn, and with the first such result comes the request."""

    def respond(request: Request) -> Answer:
        return Answer(404, "gone") if request.body["model"] == "gone" else notices(request)

    with ChatServer(respond) as server:
        pairs = [{"model_a": "gone", "model_b": "gone"}, {"model_a": "one", "model_b": "one"}]
        config = configuration(server, pairs=pairs, runs_per_pair=1, parallelism=10)
        run = run_experiment(substrate_shift, config, seed=7, cancel_after=2)
    assert run.outcome == "cancelled"
    assert run.results
    assert all(result["state"] == "failed" for (result,) in run.results.values())
    assert 0 < len([request for request in server.requests if request.body["model"] == "one"]) < 5 * 11


def test_without_the_variable_the_run_fails_and_says_which() -> None:
    with ChatServer(notices) as server:
        config = shift(server)
        config["api"]["api_key_env"] = "ATHANOR_TEST_NO_SUCH_KEY"
        run = run_experiment(substrate_shift, config, seed=7)
    assert run.outcome == "failed"
    assert run.failure is not None
    assert run.failure.kind == "reported"
    assert "the environment variable ATHANOR_TEST_NO_SUCH_KEY is not set" in run.failure.message
    assert server.requests == []


def test_replies_that_are_too_long_for_a_result_do_not_end_the_run() -> None:
    """The longest answers and log-probabilities that are taken fit into one result together; longer ones are left."""

    def respond(request: Request) -> Answer:
        if request.body["model"] == "endless":
            return completion("x" * 150_000)
        tokens = 8000 if request.body["model"] == "telling" else 2900
        return completion("\u00e9" * 16_000, logprobs={f"t{number}": -0.1234 for number in range(tokens)})

    pairs = [{"model_a": "endless", "model_b": "endless"}, {"model_a": "telling", "model_b": "within"}]
    with ChatServer(respond) as server:
        run = run_experiment(substrate_shift, configuration(server, pairs=pairs, runs_per_pair=1), seed=7)
    assert run.outcome == "completed"
    (endless,) = run.results["pair_1/switch_0/run_1"]
    assert endless["error"]["kind"] == "too_long"
    assert len([one for one in server.requests if one.body["model"] == "endless"]) == 5, "it is not paid for again"
    (within,) = run.results["pair_2/switch_3/run_1"]
    assert within["state"] == "completed"
    assert within["turns"][0]["logprobs"] is None
    assert len(within["turns"][2]["logprobs"]["tokens"]) == 2900


def test_what_failed_in_an_outage_is_held_again_by_a_later_attempt_and_nothing_else() -> None:
    def respond(request: Request) -> Answer:
        return Answer(503, "") if request.body["model"] == "two" else notices(request)

    with ChatServer(respond) as server:
        config = shift(server)
        config["api"]["max_tries"] = 1
        first = run_experiment(substrate_shift, config, seed=7)
    assert first.outcome == "completed", "one of five conversations was held"
    assert {key: value[0]["state"] for key, value in first.results.items() if key != "summary"} == {
        f"pair_1/switch_{turn}/run_1": "failed" if turn else "completed" for turn in (0, 3, 5, 7, 9)
    }
    with ChatServer(notices) as server:
        again = run_experiment(substrate_shift, shift(server), seed=7, after=first)
        assert len(server.requests) == 4 * 11
        whole = run_experiment(substrate_shift, shift(server), seed=7)
    assert again.standing_results == whole.results, "with one result for each conversation"


@experiment(name="substrate_shift", max_attempts=2)
async def twice(ctx: RunContext[Config]) -> None:
    await substrate_shift(ctx)


def test_an_outage_of_a_part_of_it_is_another_attempt_where_the_run_has_one_left() -> None:
    def respond(request: Request) -> Answer:
        return Answer(503, "") if request.body["model"] == "two" else notices(request)

    with ChatServer(respond) as server:
        config = shift(server)
        config["api"]["max_tries"] = 1
        first = run_experiment(twice, config, seed=7)
    assert first.outcome == "failed"
    assert first.failure is not None
    assert first.failure.kind == "exception", "after `fail` no other attempt is made"
    assert "4 of 5 failed for a reason that may pass, and are tried again" in first.failure.message
    assert len(first.results) == 5, "those that failed are results too"
    with ChatServer(notices) as server:
        last = run_experiment(twice, shift(server), seed=7, after=first)
        assert len(server.requests) == 4 * 11
    assert last.outcome == "completed"
    assert last.standing_results["summary"][0]["pairs"]["pair_1"]["failed"] == 0


@pytest.mark.parametrize(("status", "kind"), [(401, "reported"), (503, "exception")])
def test_when_all_conversations_failed_so_did_the_run(status: int, kind: str) -> None:
    """Where it may be otherwise at another time, another attempt is made, which is not after `fail`."""
    with ChatServer(lambda _: Answer(status, "not now")) as server:
        config = shift(server)
        config["api"]["max_tries"] = 1
        run = run_experiment(substrate_shift, config, seed=7)
    assert run.outcome == "failed"
    assert run.failure is not None
    assert run.failure.kind == kind
    said = f"all 5 conversations failed; the last one: the server answered {status}: not now"
    assert run.failure.message.endswith(said)
    assert len([key for key in run.results if key.startswith("pair_1/")]) == 5


def test_a_wrong_key_costs_no_request_for_each_conversation() -> None:
    with ChatServer(lambda _: Answer(401, "wrong key")) as server:
        run = run_experiment(substrate_shift, shift(server, runs=10), seed=7)
    assert run.outcome == "failed"
    failed = [value for key, (value,) in run.results.items() if key.startswith("pair_1/")]
    assert [one["error"] for one in failed] == [
        {"kind": "http_401", "message": "the server answered 401: wrong key"}
    ] * 50
    assert len(server.requests) <= 3, "those that were under way at once"
