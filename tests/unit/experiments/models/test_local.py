"""Local models behind the protocol that experiments use."""

import hashlib
import math

import pytest
from athanor_experiments.models import Message, ModelError, ModelSetupError, local, open_models, texts
from athanor_experiments.models.configuration import Api
from athanor_experiments.models.local import LocalModels
from athanor_experiments.models.ngram import NgramModel

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


async def test_an_equal_model_is_trained_once_by_whatever_name(monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[int] = []

    class Counted(NgramModel):
        def __init__(self, text: str, order: int) -> None:
            trained.append(order)
            super().__init__(text, order)

    monkeypatch.setattr(local, "NgramModel", Counted)
    models = LocalModels(["zen/2", "zen", "zen", "zen/5", "zen/05"])
    assert trained == [2, 5]
    by_name = [await models.reply(name, ASKED, seed=1, max_tokens=40) for name in ("zen", "zen/5", "zen/05")]
    assert by_name[0] == by_name[1] == by_name[2]


async def test_the_order_is_part_of_the_name() -> None:
    models = LocalModels(["zen/2", "zen"])
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


def test_the_texts_that_they_were_trained_on_are_told_by_their_digests() -> None:
    """They come from the Python at hand, and another version of it may have others."""
    told = LocalModels(["zen", "zen/2", "opcodes"]).texts
    assert told == {name: hashlib.sha256(texts.read(name).encode()).hexdigest() for name in ("zen", "opcodes")}


async def test_they_are_opened_by_the_name_of_their_provider() -> None:
    async with open_models("local", Api(), ["zen"], 1) as models:
        assert isinstance(models, LocalModels)
