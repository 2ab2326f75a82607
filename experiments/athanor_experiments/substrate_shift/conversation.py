"""One conversation of ten turns, and whether the change was noticed."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from athanor_experiments.models import Message, ModelError, Models, Reply
from athanor_experiments.seeds import derive
from athanor_experiments.substrate_shift.design import TURNS, Condition, question_order
from athanor_experiments.substrate_shift.questions import QUESTIONS, SYSTEM, VERDICT

Said = Literal["same", "changed", "unclear"]
Outcome = Said | Literal["failed"] | float | list[float]
"""What the statistics need of a conversation: what the model said; or that it failed; or the change of perplexity; or,
of a control, which the threshold is set on, the log-perplexity of each answer under the first model."""

DECIMALS = 4
"""Of log-perplexities. What is recorded is also what is computed with, so that anybody can do it again."""


# Some number their lines, or say what comes: "1. SAME", "Answer: CHANGED". Some ask themselves, or "changed nothing".
_SAID = re.compile(
    r"[\W\d_]*(?:(?:final\s+)?(?:answer|verdict)[\W_]+)?"
    r"(SAME|CHANGED(?![^\w\n]+(?:nothing|none|no(?!\W*\d))\b))\b(?!\s*(?:/|or\b)|[^\w\n]*\?)",
    re.IGNORECASE,
)
_FIRST_CHANGED = re.compile(
    r"[\W_]*(?:2[.)]\s+(?=\D{0,30}\d))?(?:(?:at|from|in|with|is|was|the|first|starting|beginning|answer|number|turn|no)\b[\W_]*){0,6}?"
    r"(\d{1,2})(?:(?:st|nd|rd|th)\b|\b(?!\s*(?:answers|of)\b))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and its answer."""

    number: int  # from 1
    model: str
    question: int  # its place in QUESTIONS, from 0
    reply: Reply
    log_perplexity: float | None  # of the answer under the first model, in nats a token; None when it does not tell

    def to_result(self) -> dict[str, Any]:
        """Say it as part of a result."""
        return {
            "turn": self.number,
            "model": self.model,
            "question": QUESTIONS[self.question],
            "question_number": self.question + 1,
            **_reply_result(self.reply),
            "log_perplexity_under_first": self.log_perplexity,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the model that answers last says at the end."""

    model: str
    reply: Reply
    said: Said
    turn: int | None  # from which on it thinks that another model wrote

    def to_result(self) -> dict[str, Any]:
        """Say it as part of a result."""
        return {"model": self.model, "said": self.said, "said_turn": self.turn, **_reply_result(self.reply)}


@dataclass(slots=True)
class Conversation:
    """What was said, as far as it went."""

    condition: Condition
    turns: list[Turn] = field(default_factory=list[Turn])
    verdict: Verdict | None = None  # None: it was not asked for
    error: ModelError | None = None

    @property
    def replies(self) -> list[Reply]:
        """All of them, with that at the end."""
        return [turn.reply for turn in self.turns] + ([] if self.verdict is None else [self.verdict.reply])

    @property
    def log_perplexities(self) -> list[float]:
        """Those of the answers under the first model, turn by turn; empty when the first model does not tell."""
        return [turn.log_perplexity for turn in self.turns if turn.log_perplexity is not None]

    def to_result(self, change: float | None) -> dict[str, Any]:
        """Say all of it. `change` is the greatest change of log-perplexity, where that is known."""
        condition = self.condition
        return {
            "state": "completed" if self.error is None else "failed",
            "error": None if self.error is None else self.error.to_result(),
            "pair": condition.pair,
            "model_a": condition.model_a,
            "model_b": condition.model_b,
            "switch_turn": condition.switch_turn,
            "run": condition.run,
            "verdict": None if self.verdict is None else self.verdict.to_result(),
            "log_perplexity_change": change,
            "turns": [turn.to_result() for turn in self.turns],
        }


async def hold(
    condition: Condition, models: Models, *, seed: int, max_tokens: int, ask: bool, between: Callable[[], None]
) -> Conversation:
    """Hold a conversation. A model that does not answer ends it, and is its `error`.

    Args:
        seed: of the run; each reply has one of its own, made from it. max_tokens: the longest answer. ask: whether the
        model is asked at the end if it has noticed anything. between: called before each turn; what it raises is
        raised.
    """
    held = Conversation(condition)
    messages = [Message("system", SYSTEM)]

    async def say(text: str, turn: int) -> Reply:
        between()
        messages.append(Message("user", text))
        reply_seed = derive(seed, condition.key, turn)
        return await models.reply(condition.model_at(turn), messages, seed=reply_seed, max_tokens=max_tokens)

    try:
        for turn, question in enumerate(question_order(condition.run), 1):
            reply = await say(QUESTIONS[question], turn)
            surprise = models.log_perplexity(condition.model_a, messages, reply.text)
            rounded = None if surprise is None else round(surprise, DECIMALS)
            held.turns.append(Turn(turn, condition.model_at(turn), question, reply, rounded))
            messages.append(Message("assistant", reply.text))
        if ask:
            reply = await say(VERDICT, TURNS + 1)
            held.verdict = Verdict(condition.model_at(TURNS + 1), reply, *read_verdict(reply.text))
    except ModelError as error:
        held.error = error
    return held


def read_verdict(text: str) -> tuple[Said, int | None]:
    """What a model said, and from which answer on it thinks that another one wrote.

    The first word decides. A number counts when it comes at once behind that: further on it may be one of anything.
    """
    found = _SAID.match(text)
    if found is None:
        return "unclear", None
    if found[1].upper() == "SAME":
        return "same", None
    number = _FIRST_CHANGED.match(text, found.end())
    turn = int(number[1]) if number is not None else 0
    return "changed", turn if 1 <= turn <= TURNS else None


def _reply_result(reply: Reply) -> dict[str, Any]:
    return {
        "answer": reply.text,
        "logprobs": None if reply.logprobs is None else reply.logprobs.to_result(),
        "usage": None if reply.usage is None else reply.usage.to_result(),
        "finish_reason": reply.finish_reason,
    }
