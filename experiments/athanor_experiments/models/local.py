"""Models that need no network: n-gram models, trained on the spot from texts that Python ships.

A name is that of a text, and the order of the model when it is another than DEFAULT_ORDER: `reference`, `source/3`.
Such a model does not understand what it is asked. It goes on from the last few characters of the last message, in the
manner of its text; what can be studied with it is how the text of different models is told apart, and the harness.
"""

import asyncio
import hashlib
import math
import random
from collections.abc import Sequence

from athanor_experiments.models import Logprobs, Message, ModelError, ModelSetupError, Reply, Usage
from athanor_experiments.models import texts as shipped
from athanor_experiments.models.ngram import NgramModel, normalize

DEFAULT_ORDER = 5
HIGHEST_ORDER = 8


class LocalModels:
    """Some local models, trained when this is made; see `Models`. They share a processor, whatever the parallelism."""

    def __init__(self, names: Sequence[str]) -> None:
        """Train each of the models once, whatever it is called. Raises ModelSetupError for one that there is not."""
        kinds = {name: _kind(name) for name in names}
        texts = {text: _read(text) for text, _ in kinds.values()}
        trained = {kind: NgramModel(texts[kind[0]], kind[1]) for kind in dict.fromkeys(kinds.values())}
        self._models = {name: trained[kind] for name, kind in kinds.items()}
        self.texts = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}

    async def reply(self, model: str, messages: Sequence[Message], *, seed: int, max_tokens: int) -> Reply:
        """Draw `max_tokens` characters; see `Models.reply`. The same seed and last message give the same reply."""
        # Others get their turn: nothing below waits for anything.
        await asyncio.sleep(0)
        writer, history = self._writer(model), _history(messages)
        text = writer.sample(max_tokens, random.Random(seed), history)
        logprobs = Logprobs(tuple(text), tuple(writer.log_probabilities(text, history)))
        return Reply(text, Usage(sum(len(message.content) for message in messages), len(text)), logprobs)

    def log_perplexity(self, model: str, messages: Sequence[Message], text: str) -> float | None:
        """Nats a character; see `Models.log_perplexity`."""
        read = normalize(text)
        return math.log(self._writer(model).perplexity(read, _history(messages))) if read else None

    def _writer(self, name: str) -> NgramModel:
        try:
            return self._models[name]
        except KeyError:
            raise ModelError("unknown_model", f"the model {name!r} was not trained") from None


def _kind(name: str) -> tuple[str, int]:
    """The text and the order of the model of a name. Raises ModelSetupError."""
    text, _, order = name.partition("/")
    if text not in shipped.TEXTS or not (
        name == text or (order.isascii() and order.isdigit() and 1 <= int(order) <= HIGHEST_ORDER)
    ):
        raise ModelSetupError(
            f"there is no local model {name!r}. A name is that of a text ({', '.join(shipped.TEXTS)}), "
            f"and the order of the model if wanted, from 1 to {HIGHEST_ORDER}, as in 'reference/4'"
        )
    return text, int(order or DEFAULT_ORDER)


def _read(text: str) -> str:
    try:
        return shipped.read(text)
    except OSError as error:
        raise ModelSetupError(str(error)) from None


def _history(messages: Sequence[Message]) -> str:
    """What the reply stands behind."""
    return normalize(messages[-1].content if messages else "") + "\n\n"
