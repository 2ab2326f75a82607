"""Character-level n-gram language models, interpolated by Witten-Bell.

The probability of a character c behind a history h of n - 1 characters is

    P(c | h) = (C(h c) + T(h) P(c | h')) / (C(h) + T(h))

where C counts in the training text, T(h) is the number of different characters that followed h there, h' is h without
its first character, and behind the empty history stands the uniform distribution over the alphabet.

I. H. Witten and T. C. Bell, "The zero-frequency problem: estimating the probabilities of novel events in adaptive text
compression", IEEE Transactions on Information Theory 37(4), 1991, method C; in this interpolated form S. F. Chen and
J. Goodman, "An empirical study of smoothing techniques for language modeling", Harvard TR-10-98, 1998, section 2.6.
"""

import math
import random
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
"""What a text is made of: all models have the same, so that each can read what another has written."""

REMEMBERED = 100_000
"""Probabilities that a model keeps, once worked out."""

UNKNOWN = "?"  # stands for what has no likeness in the alphabet


class _Followers(NamedTuple):
    """What followed a history in the training text."""

    characters: str
    counts: Mapping[str, int]
    cumulative: tuple[int, ...]  # of the counts, in the order of `characters`
    total: int


class NgramModel:
    """A model of the characters of a text. It is made once and never changes."""

    def __init__(self, text: str, order: int) -> None:
        """Train on a text. `order` is the length of the longest n-gram: it sees order - 1 characters back.

        Raises ValueError for an order below 1 or an empty text.
        """
        normal = normalize(text)
        if order < 1 or not normal:
            raise ValueError("an n-gram model needs an order of at least 1 and a text")
        self.order = order
        self._followers: dict[str, _Followers] = {}
        for length in range(order):
            self._learn(normal, length)
        # A model mostly reads what it or another has written, and so the same n-grams again and again.
        self._log_probability = lru_cache(REMEMBERED)(lambda *gram: math.log(self.probability(*gram)))

    def _learn(self, text: str, length: int) -> None:
        """Count what follows each history of a length."""
        counts: dict[str, dict[str, int]] = {}
        grams = Counter(text[start : start + length + 1] for start in range(len(text) - length))
        for gram, count in grams.items():
            counts.setdefault(gram[:-1], {})[gram[-1]] = count
        for history, following in counts.items():
            cumulative = tuple(accumulate(following.values()))
            self._followers[history] = _Followers("".join(following), following, cumulative, cumulative[-1])

    def probability(self, character: str, history: str) -> float:
        """P(character | history), for a character of ALPHABET; of the history its end counts."""
        probability = 1 / len(ALPHABET)
        for length in range(self.order):
            if length > len(history):
                break
            seen = self._followers.get(history[len(history) - length :])
            if seen is None:  # then nothing longer was seen, either
                break
            kinds = len(seen.characters)
            probability = (seen.counts.get(character, 0) + kinds * probability) / (seen.total + kinds)
        return probability

    def log_probabilities(self, text: str, history: str = "") -> list[float]:
        """The natural logarithm of the probability of each character of a normal text behind a normal history."""
        read = self._tail(history) + text
        begin = len(read) - len(text)
        back = self.order - 1
        log_probability = self._log_probability
        return [log_probability(read[at], read[max(0, at - back) : at]) for at in range(begin, len(read))]

    def perplexity(self, text: str, history: str = "") -> float:
        """The exponential of the mean negative log-probability of a character. Raises ValueError for no text."""
        if not text:
            raise ValueError("there is no perplexity of nothing")
        return math.exp(-math.fsum(self.log_probabilities(text, history)) / len(text))

    def sample(self, length: int, rng: random.Random, history: str = "") -> str:
        """Draw so many characters, one behind the other, from what the model says may follow a normal history."""
        written = self._tail(history)
        begin = len(written)
        for _ in range(length):
            written += self._draw(written, rng)
        return written[begin:]

    def _draw(self, history: str, rng: random.Random) -> str:
        """Draw one character.

        The interpolation is a mixture: with C(h) / (C(h) + T(h)) what followed h, else what the shorter history says.
        """
        for length in range(min(self.order - 1, len(history)), -1, -1):
            seen = self._followers.get(history[len(history) - length :])
            if seen is None:
                continue
            at = rng.randrange(seen.total + len(seen.characters))
            if at < seen.total:
                return seen.characters[bisect_right(seen.cumulative, at)]
        return rng.choice(ALPHABET)

    def _tail(self, history: str) -> str:
        return history[-(self.order - 1) :] if self.order > 1 else ""


def normalize(text: str) -> str:
    """Write a text in ALPHABET: accents are taken off, tabs become spaces, and what has no likeness becomes `?`."""
    plain = unicodedata.normalize("NFKD", text.replace("\r\n", "\n").replace("\r", "\n").expandtabs(4))
    known = frozenset(ALPHABET)
    return "".join(
        character if character in known else UNKNOWN for character in plain if not unicodedata.combining(character)
    )
