"""The n-gram model, by hand for a text of four characters, and by what must hold for every text."""

import math
import random

import pytest
from athanor_experiments.models.ngram import ALPHABET, NgramModel, normalize

TEXT = "the theory of the thing is that the other thing is there. " * 3


def test_the_probabilities_of_a_tiny_text_are_those_worked_out_by_hand() -> None:
    model = NgramModel("abab", 2)
    # Two kinds of characters in four places; behind the empty history stands the uniform distribution.
    alone = (2 + 2 * (1 / 96)) / (4 + 2)
    assert model.probability("a", "") == pytest.approx(alone, rel=1e-12)
    # b followed a twice, and nothing else did.
    assert model.probability("b", "a") == pytest.approx((2 + 1 * alone) / (2 + 1), rel=1e-12)
    assert model.probability("a", "a") == pytest.approx((0 + 1 * alone) / (2 + 1), rel=1e-12)
    # Behind what was never seen, the shorter history speaks.
    assert model.probability("a", "z") == pytest.approx(alone, rel=1e-12)
    assert model.probability("z", "") == pytest.approx((0 + 2 * (1 / 96)) / 6, rel=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("history", ["", "t", "th", "the ", "zzzz", "a long history that ends in th"])
def test_behind_every_history_the_probabilities_sum_to_one(order: int, history: str) -> None:
    model = NgramModel(TEXT, order)
    probabilities = [model.probability(character, history) for character in ALPHABET]
    assert math.fsum(probabilities) == pytest.approx(1, abs=1e-12)
    assert min(probabilities) > 0


def test_what_is_sampled_has_the_frequencies_that_the_model_says() -> None:
    """Sampling goes another way than the probabilities: it draws from the mixture that the interpolation is."""
    model, rng, draws = NgramModel(TEXT, 3), random.Random(1), 20_000
    drawn = [model.sample(1, rng, "th") for _ in range(draws)]
    for character in "ei .z":
        expected = model.probability(character, "th")
        error = math.sqrt(expected * (1 - expected) / draws)
        assert abs(drawn.count(character) / draws - expected) < 5 * error, character


def test_sampling_goes_by_the_seed() -> None:
    model = NgramModel(TEXT, 4)
    assert model.sample(80, random.Random(3), "the ") == model.sample(80, random.Random(3), "the ")
    assert model.sample(80, random.Random(3), "the ") != model.sample(80, random.Random(4), "the ")
    assert len(model.sample(80, random.Random(3))) == 80


def test_log_probabilities_follow_the_text_and_begin_behind_the_history() -> None:
    model = NgramModel(TEXT, 3)
    expected = [math.log(model.probability(*step)) for step in (("e", "th"), (" ", "he"), ("x", "e "))]
    assert model.log_probabilities("e x", "say: th") == pytest.approx(expected)
    assert model.perplexity("e x", "say: th") == pytest.approx(math.exp(-sum(expected) / 3))
    with pytest.raises(ValueError, match="of nothing"):
        model.perplexity("")


def test_the_perplexity_of_a_model_that_knows_nothing_is_the_size_of_the_alphabet() -> None:
    """A text of each character once tells as much as none, to a model of single characters."""
    assert NgramModel(ALPHABET, 1).perplexity("anything at all") == pytest.approx(len(ALPHABET))


def test_a_text_is_less_surprising_to_the_model_of_its_own_kind() -> None:
    own, other = NgramModel(TEXT, 4), NgramModel("def f(x):\n    return x + 1\n" * 5, 4)
    assert own.perplexity("the thing is that") < other.perplexity("the thing is that") / 3


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("naïve café", "naive cafe"),
        ("a\r\nb\rc\td", "a\nb\nc   d"),
        ("\u2160 and \ufb01", "I and fi"),
        ("\u4e16\u754c \0", "?? ?"),
        ("plain", "plain"),
    ],
)
def test_every_text_can_be_written_in_the_alphabet(text: str, normal: str) -> None:
    assert normalize(text) == normal
    assert set(normal) <= set(ALPHABET)


@pytest.mark.parametrize(("text", "order"), [("", 2), ("\u0301", 2), ("abc", 0)])
def test_nothing_is_learned_from_nothing(text: str, order: int) -> None:
    with pytest.raises(ValueError, match="needs"):
        NgramModel(text, order)
