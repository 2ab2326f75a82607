"""What a terminal has room for."""

import pytest
from athanor.cli import columns


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("learning_rate", 13, "learning_rate"),
        ("learning_rate", 12, "learni…_rate"),
        ("learning_rate", 3, "l…e"),
        ("learning_rate", 1, "…"),
        ("模型的名字很长", 8, "模型…长"),  # two columns each: one is left over
        ("", 1, ""),
    ],
)
def test_a_text_is_cut_in_its_middle(text, width, shown):
    assert columns.cut(text, width) == shown


EVERY = [
    columns.whole("RUN", ["0198c5a1", "0198c5b2"]),  # 8 wide, and 2 beside it
    columns.text("optimizer.name", ["sgd", "-"]),  # 14, or 11
    columns.number("accuracy.of.all", ["0.1234567890123", "1"]),  # 15, of which nothing may be cut
    columns.number("loss.validation", ["0.5", "1"]),  # 15, or 11
]


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (60, {0: "RUN", 1: "optimizer.name", 2: "accuracy.of.all", 3: "loss.validation"}),
        (59, {0: "RUN", 1: "optimizer.name", 2: "accuracy.of.all", 3: "loss.va…dation"}),
        (53, {0: "RUN", 1: "optim….name", 2: "accuracy.of.all", 3: "loss.…ation"}),
        (52, {0: "RUN", 2: "accuracy.of.all", 3: "loss.validation"}),
        (24, {0: "RUN", 3: "loss.v…ation"}),  # what is wanted more does not fit, what is wanted less does
        (10, {0: "RUN"}),
        (1, {0: "RUN"}),
    ],
)
def test_what_does_not_fit_is_cut_and_then_left_out(width, shown):
    found = columns.fitting(EVERY, {0}, [2, 3, 1], width)
    assert {place: column.name for place, column in found.items()} == shown
    assert all(column.width <= max(column.least, 1) for column in found.values())
    assert 2 not in found or found[2].cells == EVERY[2].cells, "a number is never cut"


def test_nothing_counts_as_nothing():
    assert [column.filled for column in EVERY] == [2, 1, 2, 2]
