"""What a chat API answers: the text is needed, the rest is taken where it can be read."""

import json
from typing import Any

import pytest
from athanor_experiments.models import Logprobs, Reply, Usage
from athanor_experiments.models.completion import read_completion, without_thoughts


def body(message: Any = None, usage: Any = None, **choice: Any) -> str:
    said = {"message": {"content": "Fine."} if message is None else message}
    return json.dumps({"choices": [said | choice], "usage": usage})


def test_all_of_it_is_read() -> None:
    tokens = [{"token": "Fi", "logprob": -0.5, "bytes": None}, {"token": "ne.", "logprob": -1}]
    text = body(usage={"prompt_tokens": 3, "completion_tokens": 2}, logprobs={"content": tokens}, finish_reason="stop")
    assert read_completion(text) == Reply("Fine.", Usage(3, 2), Logprobs(("Fi", "ne."), (-0.5, -1.0)), "stop")


@pytest.mark.parametrize(
    "beside",
    [
        {"logprobs": []},
        {"logprobs": None},
        {"logprobs": {"content": None}},
        {"logprobs": {"content": []}},
        {"logprobs": {"content": [{"token": "x"}]}},
        {"logprobs": {"content": [{"token": "x", "logprob": None}]}},
        {"logprobs": {"content": [{"token": "x", "logprob": float("-inf")}]}},
        {"logprobs": {"tokens": ["x"], "token_logprobs": [-1]}},
        {"usage": {}},
        {"usage": []},
        {"usage": {"prompt_tokens": 5, "completion_tokens": None}},
        {"usage": {"prompt_tokens": -5}},
        {"finish_reason": 3},
        {"message": {"content": "Fine.", "refusal": {"x": 1}}},
    ],
    ids=json.dumps,
)
def test_what_is_beside_the_text_and_odd_is_left_out(beside: dict[str, Any]) -> None:
    assert read_completion(body(**beside)) == Reply("Fine.")


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": [{"type": "text", "text": "Fi"}, {"type": "thinking"}, {"type": "text", "text": "ne."}]}, "Fine."),
        ({"content": []}, ""),
        ({"content": None, "reasoning_content": "Hm."}, ""),
        ({"content": None, "refusal": "I would rather not."}, "I would rather not."),
        ({}, ""),
    ],
)
def test_a_text_may_be_in_parts_or_missing(message: dict[str, Any], text: str) -> None:
    assert read_completion(body(message)).text == text


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("not JSON", "the answer: Invalid JSON: expected"),
        ("{}", "choices: Field required"),
        ('{"choices": []}', "choices: List should have at least 1 item"),
        ('{"choices": [{}]}', "choices/0/message: Field required"),
        (body({"content": 7}), "choices/0/message/content/str: Input should be a valid string"),
    ],
)
def test_without_a_text_there_is_no_reply(answer: str, says: str) -> None:
    with pytest.raises(ValueError, match=f"^{says}"):
        read_completion(answer)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("CHANGED", "CHANGED"),
        ("<think>SAME, or not?</think>\n\nCHANGED", "CHANGED"),
        ("\n<think>\n</think>CHANGED", "CHANGED"),
        ("It began before.</think>CHANGED", "CHANGED"),
        ("<think>SAME, I think, bec", ""),  # cut off
        ("I would write <think>so</think>.", "I would write <think>so</think>."),
        ("", ""),
    ],
)
def test_what_a_model_thought_is_not_what_it_said(written: str, said: str) -> None:
    assert without_thoughts(written) == said
