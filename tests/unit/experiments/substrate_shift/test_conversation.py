"""A conversation with models that say what the test tells them to."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from athanor_experiments.models import Message, ModelError, Reply
from athanor_experiments.substrate_shift import describe_conversation
from athanor_experiments.substrate_shift.conversation import Conversation, Said, hold, read_verdict
from athanor_experiments.substrate_shift.design import Condition
from athanor_experiments.substrate_shift.detection import outcome_of
from athanor_experiments.substrate_shift.questions import QUESTIONS, SYSTEM, VERDICT

CONDITION = Condition(index=0, pair=1, model_a="one", model_b="two", switch_turn=5, run=3)


class Scripted:
    """Answers by the number of the message, from 1, and remembers what it was shown."""

    def __init__(self, answer: Callable[[int], str] = lambda number: f"answer {number}") -> None:
        self.asked: list[tuple[str, list[Message], int]] = []
        self._answer = answer

    async def reply(self, model: str, messages: Sequence[Message], *, seed: int, max_tokens: int) -> Reply:
        self.asked.append((model, list(messages), seed))
        return Reply(self._answer(len(self.asked)))

    def log_perplexity(self, model: str, messages: Sequence[Message], text: str) -> float | None:
        return None


def held(models: Scripted, *, ask: bool = True, between: Callable[[], None] = lambda: None) -> Conversation:
    return asyncio.run(hold(CONDITION, models, seed=7, max_tokens=50, ask=ask, between=between))


def test_each_model_is_shown_the_whole_of_it_as_its_own() -> None:
    models = Scripted()
    held(models)
    assert [model for model, _, _ in models.asked] == ["one"] * 4 + ["two"] * 7
    _, messages, _ = models.asked[-1]
    assert messages[0] == Message("system", SYSTEM)
    order = [2, 3, 4, 5, 6, 7, 8, 9, 0, 1]  # of the third run
    assert [one.content for one in messages if one.role == "user"] == [*(QUESTIONS[at] for at in order), VERDICT]
    assert [one.content for one in messages if one.role == "assistant"] == [f"answer {n}" for n in range(1, 11)]
    assert len({seed for _, _, seed in models.asked}) == 11, "each reply has a seed of its own"


def test_the_result_says_who_was_asked_what_and_what_came_back() -> None:
    result = held(Scripted(lambda number: "CHANGED\n5" if number == 11 else f"answer {number}")).to_result(None)
    assert result["state"] == "completed"
    assert (result["pair"], result["switch_turn"], result["run"]) == (1, 5, 3)
    assert len(result["turns"]) == 10
    assert result["turns"][4] == {
        "turn": 5,
        "model": "two",
        "question": QUESTIONS[6],
        "question_number": 7,
        "answer": "answer 5",
        "logprobs": None,
        "usage": None,
        "finish_reason": None,
        "log_perplexity_under_first": None,
    }
    assert result["verdict"]["said"] == "changed"
    assert result["verdict"]["said_turn"] == 5
    assert result["verdict"]["model"] == "two"


def test_a_line_about_it_says_how_many_replies_are_cut_off_or_empty() -> None:
    class CutOff(Scripted):
        async def reply(self, model: str, messages: Sequence[Message], *, seed: int, max_tokens: int) -> Reply:
            reply = await super().reply(model, messages, seed=seed, max_tokens=max_tokens)
            return replace(reply, finish_reason="length" if len(self.asked) in (2, 11) else "stop")

    conversation = held(CutOff(lambda number: {3: "", 11: "CHANGED"}.get(number, "yes")))
    line = describe_conversation(conversation, None)
    assert line == (
        "pair_1/switch_5/run_3: one, from turn 5 on two: says changed; 3 of 11 replies are cut off or empty"
    )
    assert conversation.to_result(None)["turns"][1]["finish_reason"] == "length"
    assert conversation.to_result(None)["verdict"]["finish_reason"] == "length"


def test_a_model_that_does_not_answer_ends_it_and_what_was_said_is_kept() -> None:
    def answer(number: int) -> str:
        if number == 4:
            raise ModelError("timeout", "no answer within 60 s")
        return "yes"

    conversation = held(Scripted(answer))
    result = conversation.to_result(None)
    assert result["state"] == "failed"
    assert result["error"] == {"kind": "timeout", "message": "no answer within 60 s"}
    assert len(result["turns"]) == 3
    assert outcome_of(conversation) == "failed"


def test_before_each_turn_it_is_looked_whether_to_go_on() -> None:
    models = Scripted()

    def between() -> None:
        if len(models.asked) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        held(models, between=between)
    assert len(models.asked) == 6


@pytest.mark.parametrize(
    ("text", "said", "turn"),
    [
        ("SAME\nAll of it reads alike.", "same", None),
        ("**Changed**\nAnswer 5. The sentences are shorter.", "changed", 5),
        ("CHANGED\n10", "changed", 10),
        ("CHANGED", "changed", None),
        ("Changed, I think, from 12 on", "changed", None),  # there is no such answer
        ("I am not sure, but SAME", "unclear", None),
        ("SAMENESS is hard to tell", "unclear", None),
        ("", "unclear", None),
        ("Answer: CHANGED\n8", "changed", 8),
        ("**Final answer:** SAME", "same", None),
        ("1. SAME", "same", None),
        ("1. CHANGED\n2. 7", "changed", 7),
        ("1) CHANGED\n2) Answer 7", "changed", 7),
        ("CHANGED\n2. The style is another one.", "changed", 2),
        ("CHANGED\nStarting with answer #4", "changed", 4),
        ("CHANGED from the first answer on, number 4", "changed", None),
        ("CHANGED\nThe last 3 answers differ, beginning at 8", "changed", None),
        ("CHANGED\n3 answers differ", "changed", None),
        ("CHANGED\n3 of them differ", "changed", None),
        ("CHANGED\n4, because 3 of the answers differ", "changed", 4),
        ("CHANGED\nthe 4th answer", "changed", 4),
        ("CHANGED\n4th", "changed", 4),
        ("CHANGED\n2nd of the ten", "changed", 2),
        ("CHANGED\nFrom the 10th on", "changed", 10),
        ("CHANGED\n3RD.", "changed", 3),
        ("CHANGED\n4thly", "changed", None),
        ("CHANGED\nNo. 4", "changed", 4),
        ("CHANGED: no 4", "changed", 4),
        ("CHANGED\nNone of the later ones is like the first.", "changed", None),
        ("CHANGED, not the SAME", "changed", None),
        ("Changed nothing, SAME", "unclear", None),
        ("CHANGED: nothing. 4 of them are short.", "unclear", None),
        ("CHANGED? No, SAME.", "unclear", None),
        ("SAME? No, CHANGED", "unclear", None),
        ("Changed: no", "unclear", None),
        ("SAME, no change", "same", None),
        ("SAME: nothing changed", "same", None),
        ("SAME or CHANGED is hard to say", "unclear", None),
        ("SAME/CHANGED", "unclear", None),
    ],
)
def test_a_verdict_is_read_by_its_first_word(text: str, said: Said, turn: int | None) -> None:
    assert read_verdict(text) == (said, turn)
