"""Answers judged over real HTTP."""

import pytest
from athanor.experiment.testing import run_experiment
from athanor_experiments.judge import judge
from athanor_experiments.judge.prompts import JUDGE_SYSTEM

from tests.support.chat import KEY, assert_the_key_is_in_none_of_it, configuration
from tests.support.chat_server import Answer, ChatServer, Request, completion


def test_a_judge_over_http_sees_every_pair_in_both_orders_and_ranks() -> None:
    """The judge takes the longer answer, and what is shown first where they are as long."""
    lengths = {"long": 30, "short": 10, "brief": 10}

    def respond(request: Request) -> Answer:
        if request.body["messages"][0]["content"] != JUDGE_SYSTEM:
            return completion("x" * lengths[request.body["model"]])
        _, _, after = request.last.partition("=== Answer A ===\n")
        first, _, after = after.partition("\n=== End of answer A ===")
        _, _, after = after.partition("=== Answer B ===\n")
        second, _, _ = after.partition("\n=== End of answer B ===")
        return completion(f"I prefer length.\nVERDICT: {'B' if len(second) > len(first) else 'A'}")

    config = {
        "models": ["short", "long", "brief"],
        "judge_model": "judge",
        "prompts": ["Say x.", "Say it again."],
        "resamples": 50,
    }
    with ChatServer(respond) as server:
        run = run_experiment(judge, configuration(server, **config), seed=7, capture=True)
    assert run.outcome == "completed"
    assert_the_key_is_in_none_of_it(run)
    (ranking,) = run.results["ranking"]
    assert ranking["ranking"][0]["model"] == "long"
    won = {entry["model"]: (entry["won"], entry["tied"], entry["lost"]) for entry in ranking["ranking"]}
    assert won == {"long": (4, 0, 0), "short": (0, 2, 2), "brief": (0, 2, 2)}
    # Two of three pairs go by the answer, and one by the position, whoever stands there.
    assert ranking["first_position"]["count"] == 8
    assert ranking["first_position"]["of"] == 12
    assert run.results["answer/1/1/2"][0]["finish_reason"] == "stop"
    (pair,) = run.results["comparison/1/1/1/3"]
    assert pair["swapped"]["finish_reason"] == "stop"
    assert (pair["in_order"]["verdict"], pair["swapped"]["verdict"], pair["score"]) == ("A", "A", 0.5)


def test_a_model_that_does_not_answer_is_compared_with_nobody() -> None:
    def respond(request: Request) -> Answer:
        if request.body["model"] == "mute":
            return Answer(400, f"{KEY} may not")
        if request.body["messages"][0]["content"] == JUDGE_SYSTEM:
            return completion("VERDICT: TIE")
        return completion("An answer.")

    config = {"models": ["one", "two", "mute"], "judge_model": "judge", "prompts": ["Say x."], "resamples": 50}
    with ChatServer(respond) as server:
        run = run_experiment(judge, configuration(server, **config), seed=7)
    assert run.outcome == "completed"
    assert_the_key_is_in_none_of_it(run)
    assert run.results["answer/1/1/3"][0]["error"]["kind"] == "http_400"
    assert run.results["comparison/1/1/1/3"][0]["score"] is None
    (ranking,) = run.results["ranking"]
    assert ranking["groups"] == [["one", "two"], ["mute"]]
    assert ranking["verdicts_missing"] == 4


def test_what_failed_in_an_outage_is_judged_again_by_a_later_attempt_and_nothing_else() -> None:
    def respond(request: Request) -> Answer:
        if request.body["messages"][0]["content"] == JUDGE_SYSTEM:
            return completion("VERDICT: A")
        return completion("An answer.")

    def fails(request: Request) -> Answer:
        return Answer(500, "") if "again" in request.last else respond(request)

    config = {"models": ["one", "two"], "judge_model": "judge", "prompts": ["Say x.", "Say it again."], "resamples": 50}
    with ChatServer(fails) as server:
        first = run_experiment(judge, configuration(server, **config), seed=7)
    assert first.outcome == "completed"
    assert first.results["answer/2/1/1"][0]["error"]["kind"] == "http_500"
    with ChatServer(respond) as server:
        again = run_experiment(judge, configuration(server, **config), seed=7, after=first)
        assert len(server.requests) == 4
        assert again.standing_results == run_experiment(judge, configuration(server, **config), seed=7).results


def test_a_judge_that_answers_in_one_order_alone_has_compared_nothing() -> None:
    """What it said there may go by the position alone."""

    def respond(request: Request) -> Answer:
        if request.body["messages"][0]["content"] != JUDGE_SYSTEM:
            return completion(f"An answer of {request.body['model']}.")
        in_order = request.last.index("of one") < request.last.index("of two")
        return completion("VERDICT: A") if in_order else Answer(400, "no")

    config = {"models": ["one", "two"], "judge_model": "judge", "prompts": ["Say x."], "resamples": 50}
    with ChatServer(respond) as server:
        run = run_experiment(judge, configuration(server, **config), seed=7)
    assert run.results["comparison/1/1/1/2"][0]["score"] is None
    assert run.outcome == "failed"
    assert run.failure is not None
    assert "no two answers could be compared" in run.failure.message


@pytest.mark.parametrize(("status", "kind"), [(401, "reported"), (500, "exception")])
def test_when_nothing_could_be_compared_the_run_failed(status: int, kind: str) -> None:
    config = {"models": ["one", "two"], "judge_model": "judge", "prompts": ["Say x."], "resamples": 50}
    with ChatServer(lambda _: Answer(status, "no")) as server:
        run = run_experiment(judge, configuration(server, **config), seed=7)
    assert run.outcome == "failed"
    assert run.failure is not None
    assert run.failure.kind == kind
    assert "no two answers could be compared; the last one: the server answered" in run.failure.message


def test_a_judge_that_gives_no_verdict_anywhere_has_compared_nothing() -> None:
    config = {"models": ["one", "two"], "judge_model": "judge", "prompts": ["Say x."], "resamples": 50}
    with ChatServer(lambda _: completion("dunno")) as server:
        run = run_experiment(judge, configuration(server, **config), seed=7)
    assert run.results["comparison/1/1/1/2"][0]["in_order"]["said"] == "dunno"
    assert run.outcome == "failed"
    assert run.failure is not None
    assert run.failure.kind == "reported", "there is nothing that may pass"
    assert run.failure.message == "no two answers could be compared"


def test_where_an_earlier_attempt_could_compare_nothing_the_next_one_fails_too() -> None:
    """It goes on behind the last checkpoint, and has no error of its own."""
    config = {"models": ["one", "two"], "judge_model": "judge", "prompts": ["Say x."], "resamples": 50}
    with ChatServer(lambda _: Answer(401, "no")) as server:
        whole = run_experiment(judge, configuration(server, **config), seed=7)
        (checkpoint,) = [at for at, event in enumerate(whole.events) if event.kind == "checkpoint"]
        killed = run_experiment(judge, configuration(server, **config), seed=7, kill_after=checkpoint)
        asked = len(server.requests)
        again = run_experiment(judge, configuration(server, **config), seed=7, after=killed)
        assert len(server.requests) == asked
    assert again.outcome == "failed"
    assert again.failure is not None
    assert again.failure.message == "no two answers could be compared"
