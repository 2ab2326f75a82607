"""Reading verdicts, and what two of them in opposite orders come to."""

import pytest
from athanor_experiments.judge.comparison import Verdict, measure, read_verdict, score
from athanor_experiments.models.local import LocalModels


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("A is clearer.\nVERDICT: A", "A"),
        ("**Verdict:** **B**", "B"),
        ("verdict: tie", "T"),
        ("VERDICT: A would be rash. VERDICT: B", "B"),
        ("VERDICT: a tie", "T"),
        ("VERDICT: A TIE.", "T"),
        ("VERDICT: A tie", "T"),
        ("Verdict: neither", "T"),
        ("VERDICT: Neither A nor B", "T"),
        ("VERDICT: Answer B", "B"),
        ("VERDICT: [Answer A]", "A"),
        ("VERDICT: **answer** a", "A"),
        ("verdict: b", "B"),
        ("VERDICT: A is clearer", "A"),
        ("VERDICT: A, B is too long", "A"),
        ("VERDICT: A, VERDICT: B, or VERDICT: TIE", "T"),
        ("VERDICT: a draw", "?"),
        ("VERDICT: A and B are equal", "?"),
        ("VERDICT: A/B", "?"),
        ("VERDICT: Answer A or Answer B", "?"),
        ("VERDICT: Apples", "?"),
        ("VERDICT: Both", "?"),
        ("A", "?"),
        ("", "?"),
    ],
)
def test_the_last_verdict_counts(text: str, verdict: Verdict) -> None:
    assert read_verdict(text) == verdict


@pytest.mark.parametrize(
    ("verdicts", "points"),
    [
        ("AB", 1),  # the same answer, wherever it stood
        ("BA", 0),
        ("AA", 0.5),  # the same position, whoever stood there
        ("BB", 0.5),
        ("TT", 0.5),
        ("AT", 1),  # a preference and a tie
        ("TA", 0),
        ("TB", 1),
        ("BT", 0),
        ("A?", None),  # it may be nothing but the position
        ("?A", None),
        ("?T", None),
        ("??", None),
    ],
)
def test_both_verdicts_together(verdicts: str, points: float | None) -> None:
    assert score(verdicts[0], verdicts[1]) == points


def test_a_local_judge_prefers_what_surprises_it_less_in_both_orders() -> None:
    models, good, bad = LocalModels(["zen"]), "Simple is better than complex.", "QQQQ#### zzzz"
    in_order = measure(models, "zen", "What is good?", good, bad, margin=0.02)
    swapped = measure(models, "zen", "What is good?", bad, good, margin=0.02)
    assert (in_order.verdict, swapped.verdict) == ("A", "B")
    assert in_order.surprise == tuple(reversed(swapped.surprise or ()))
    assert measure(models, "zen", "What is good?", good, good, margin=0.0).verdict == "T"
    assert measure(models, "zen", "What is good?", good, bad, margin=10.0).verdict == "T"
    assert measure(models, "zen", "What is good?", good, "", margin=0.02).verdict == "?"
