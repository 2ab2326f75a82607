"""What is said to values that options do not take."""

import pytest

from tests.support.pins import call


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("run h --seed -1", "'--seed': it is a number from 0 to 18446744073709551615, not -1"),
        ("run h --seed x", "'--seed': 'x' is no whole number"),
        ("run h --repeat 1.5", "'--repeat': '1.5' is no whole number"),
        ("run h --repeat 1001", "'--repeat': it is a number from 1 to 1000, not 1001"),
        (f"run h --seed {'9' * 5000}", "615, not a number of 5000 digits"),
        (f"run h --seed {'x' * 5000}", f"'--seed': '{'x' * 59}…' is no whole number"),
        ("runs list -n 0", "'--limit' / '-n': it is at least 1, not 0"),
        ("top --interval nan", "'--interval': it is a number from 0.2 to 3600, not nan"),
        ("top --interval x", "'--interval': 'x' is no number"),
        ("logs 0 --level loud", "'--level': 'loud' is not one of 'debug', 'info', 'warn', 'error'"),
        ("export 0 --format x", "'--format': 'x' is not one of 'jsonl', 'csv', 'parquet'"),
    ],
)
def test_it_is_said_in_the_words_of_this_program(line, said):
    done = call(*line.split())
    assert done.status == 2
    assert done.err.splitlines()[-1].endswith(said)
    assert "Input should" not in done.err
    assert "Value error" not in done.err
