"""No benchmark is part of the tests; but one that cannot even be started is noticed."""

import pytest

from benchmarks.__main__ import arguments
from benchmarks.measures import MEASURES


def test_each_has_a_name_for_the_command_line():
    assert MEASURES
    assert arguments(["--quick", *MEASURES]).names == list(MEASURES)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["speed"], "there is no measurement speed"),
        (["--rounds", "0"], "--rounds must be at least 1"),
        (["--quick", "--full"], "not allowed with"),
    ],
)
def test_a_word_that_is_not_understood_is_explained(words, complaint, capsys):
    with pytest.raises(SystemExit, match="2"):
        arguments(words)
    assert complaint in capsys.readouterr().err
