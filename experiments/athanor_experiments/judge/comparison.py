"""Two answers in front of the judge, each in both positions."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from athanor_experiments.judge.prompts import ANSWER_SYSTEM, JUDGE_SYSTEM, comparison
from athanor_experiments.models import Message, ModelError, Models, Reply

Verdict = Literal["A", "B", "T", "?"]
"""Which was better, the answer shown first or the second; T for neither; ? when it was not said."""

LONGEST_VERDICT = 500  # tokens


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the judge said of two answers in one order."""

    verdict: Verdict
    reply: Reply | None = None  # None: a local judge, or an error
    error: ModelError | None = None
    surprise: tuple[float, float] | None = None  # log-perplexity of both, in the order shown, for a local judge

    def to_result(self) -> dict[str, Any]:
        """Say it as part of a result."""
        return {
            "verdict": self.verdict,
            "said": None if self.reply is None else self.reply.text,
            "usage": None if self.reply is None or self.reply.usage is None else self.reply.usage.to_result(),
            "finish_reason": None if self.reply is None else self.reply.finish_reason,
            "error": None if self.error is None else self.error.to_result(),
            "log_perplexities": None if self.surprise is None else [round(value, 6) for value in self.surprise],
        }


def answering(prompt: str) -> list[Message]:
    """What a model is shown that is to answer."""
    return [Message("system", ANSWER_SYSTEM), Message("user", prompt)]


async def ask_judge(models: Models, judge: str, prompt: str, first: str, second: str, *, seed: int) -> Judgement:
    """Let a judge compare two answers in this order. An error is part of what comes back."""
    messages = [Message("system", JUDGE_SYSTEM), Message("user", comparison(prompt, first, second))]
    try:
        reply = await models.reply(judge, messages, seed=seed, max_tokens=LONGEST_VERDICT)
    except ModelError as error:
        return Judgement("?", error=error)
    return Judgement(read_verdict(reply.text), reply)


def measure(models: Models, judge: str, prompt: str, first: str, second: str, *, margin: float) -> Judgement:
    """Compare by a declared statistic, for judges that cannot be asked: the less surprising answer is the better one.

    The log-perplexity of each answer under the judge, in nats a character; within `margin` it is a tie. It does not
    depend on the order, and says how much an answer is in the manner of the judge's text, and nothing about its worth.
    """
    messages = answering(prompt)
    surprise = [models.log_perplexity(judge, messages, answer) for answer in (first, second)]
    if surprise[0] is None or surprise[1] is None:
        return Judgement("?")
    difference = surprise[1] - surprise[0]
    verdict: Verdict = "T" if abs(difference) <= margin else "A" if difference > 0 else "B"
    return Judgement(verdict, surprise=(surprise[0], surprise[1]))


# Ties first: "a tie" begins with what would be an answer's letter. A small one is that only where no word follows, as
# in "a toss-up", and none is where both are named as equals on the same line.
_VERDICT = re.compile(
    r"""
    VERDICT\W{0,10}
    (?:
        (?P<tie>
            (?:AN?\s+)?(?:(?:VERY|CLOSE|CLEAR|NEAR|DEAD|EVEN|FAIR|VIRTUAL|COMPLETE|PERFECT)[\s-]+){0,2}(?:TIE|DRAW)
            | NEITHER
        )
        | (?:ANSWER\W{1,5})?
        (?P<answer> (?-i:[AB]) | [AB](?!\s+\w) )
        (?!
            [ \t]*[/&]
            | [^\w\n]*[=\u2248~][^\w\n]*(?:ANSWER\W+)?[AB]\b
            | [^\w\n]+(?:AND|OR)\b
            | [^\w\n]+(?:ANSWER\W+)?[AB][^\w\n]+(?:ARE|BOTH|EQUAL\w*|TIED?)\b
            | [^\w\n]+(?:IS[^\w\n]+)?(?:AS[ ]GOOD|EQUAL\w*|TIE[SD]?)\b
            | (?:[ \t-]+\w+){1,3}[ \t-]+(?:TIE|DRAW)\b  # "A is not a tie", and ties in other words than those above
        )
    )\b
    """,
    re.IGNORECASE | re.VERBOSE,
)


def read_verdict(text: str) -> Verdict:
    """The last verdict of a text; ? when there is none."""
    found = [*_VERDICT.finditer(text)]
    if not found:
        return "?"
    if found[-1]["tie"]:
        return "T"
    return "A" if found[-1]["answer"].upper() == "A" else "B"


def score(in_order: str, swapped: str) -> float | None:
    """The share of a win that the first of two models has from both verdicts: 1, 0, or 0.5 for a tie.

    Args:
        in_order: the verdict with its answer shown first. swapped: with its answer shown second.

    A judge that prefers a position whoever stands there has not told the models apart: that is a tie, too. None when
    one of the verdicts was not said: the other alone may be nothing but the preference for a position.
    """
    if "?" in (in_order, swapped):
        return None
    points = {"A": 1.0, "T": 0.5, "B": 0.0}
    difference = points[in_order] - points[swapped]
    return 0.5 if difference == 0 else 1.0 if difference > 0 else 0.0
