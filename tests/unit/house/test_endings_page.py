"""The page on how runs end shows the table that the acceptance tests drive."""

from tests.acceptance import endings


def test_the_page_has_the_table_of_the_tests() -> None:
    assert endings.printed(endings.PAGE.read_text()) == endings.table(), "run `python -m tests.acceptance.endings`"
