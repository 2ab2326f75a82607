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
        ("VERDICT: a draw", "T"),
        ("VERDICT: A draw", "T"),
        ("VERDICT: A DRAW.", "T"),
        ("VERDICT: A close tie", "T"),
        ("VERDICT: **A very close tie**", "T"),
        ("VERDICT: A dead-even draw", "T"),
        ("VERDICT: A, not a tie", "A"),
        ("VERDICT: A is better, no tie", "A"),
        ("VERDICT: A wins, B draws on too little", "A"),
        ("VERDICT: A.\nIt was close to a tie.", "A"),
        ("VERDICT: A is not a tie", "?"),
        ("VERDICT: A = B", "?"),
        ("VERDICT: B=A", "?"),
        ("VERDICT: A == B", "?"),
        ("VERDICT: A \u2248 B", "?"),
        ("VERDICT: **A** = **B**", "?"),
        ("VERDICT: A\n=====", "A"),
        ("VERDICT: A\nAnd so it is.", "A"),
        ("VERDICT: a toss-up", "?"),
        ("VERDICT: A rather boring draw", "?"),
        ("VERDICT: A > B", "A"),
        ("VERDICT: A, B are equal", "?"),
        ("VERDICT: **A**, **B** are equal", "?"),
        ("VERDICT: Answer A, answer B are equally good", "?"),
        ("VERDICT: A, B: equal", "?"),
        ("VERDICT: A equals B", "?"),
        ("VERDICT: A is equal to B", "?"),
        ("VERDICT: A is as good as B", "?"),
        ("VERDICT: A ties with B", "?"),
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
