"""Local models behind the protocol that experiments use."""

import math

import pytest
from athanor_experiments.models import Message, ModelError, ModelSetupError, open_models
from athanor_experiments.models.configuration import Api
from athanor_experiments.models.local import LocalModels

ASKED = [Message("system", "Be brief."), Message("user", "What is beautiful?")]


async def test_a_reply_has_its_length_its_log_probabilities_and_its_usage() -> None:
    models = LocalModels(["zen"])
    reply = await models.reply("zen", ASKED, seed=1, max_tokens=40)
    assert len(reply.text) == 40
    assert reply.logprobs is not None
    assert "".join(reply.logprobs.tokens) == reply.text
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (len("Be brief.What is beautiful?"), 40)

    surprise = models.log_perplexity("zen", ASKED, reply.text)
    assert surprise == pytest.approx(-math.fsum(reply.logprobs.logprobs) / 40)


async def test_replies_go_by_the_seed() -> None:
    models = LocalModels(["zen"])
    first, again, other = [await models.reply("zen", ASKED, seed=seed, max_tokens=40) for seed in (1, 1, 2)]
    assert first == again
    assert first.text != other.text


async def test_the_order_is_part_of_the_name_and_an_equal_model_is_trained_once() -> None:
    models = LocalModels(["zen/2", "zen", "zen"])
    assert models.log_perplexity("zen/2", ASKED, "Beautiful") > models.log_perplexity("zen", ASKED, "Beautiful")
    assert models.log_perplexity("zen", ASKED, "") is None


@pytest.mark.parametrize("name", ["novel", "zen/", "zen/0", "zen/9", "zen/x", "zen/²", "zen/2/3", ""])
def test_a_name_that_there_is_no_model_for_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(ModelSetupError, match="A name is that of a text \\(reference, docstrings, "):
        LocalModels(["zen", name])


async def test_a_model_that_was_not_named_at_the_beginning_does_not_answer() -> None:
    with pytest.raises(ModelError, match="'source' was not trained") as caught:
        await LocalModels(["zen"]).reply("source", ASKED, seed=1, max_tokens=10)
    assert caught.value.to_result()["kind"] == "unknown_model"


async def test_they_are_opened_by_the_name_of_their_provider() -> None:
    async with open_models("local", Api(), ["zen"], 1) as models:
        assert isinstance(models, LocalModels)
