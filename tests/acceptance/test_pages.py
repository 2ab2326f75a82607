"""Every command, snippet and file of README and docs does what its page says: see tests/support/reader.py."""

from pathlib import Path

import pytest

from tests.support.pages import PAGES, ROOT, blocks_in, blocks_of
from tests.support.postgresql_server import PostgresqlServer
from tests.support.reader import Reader

EXECUTED = ("console", "python", "sql")
FOLLOWED = [
    page for page in PAGES if any(block.language in EXECUTED and not block.not_run for block in blocks_of(page))
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", FOLLOWED, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_page_can_be_followed(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = "postgresql://not-needed"
    if "postgresql://athanor@db" in page.read_text():
        server: PostgresqlServer = request.getfixturevalue("postgresql_server")
        url = server.url(server.create())
    with Reader(tmp_path, url) as reader:
        reader.follow(blocks_of(page))


def test_a_page_that_is_wrong_is_noticed(tmp_path: Path) -> None:
    """The reader complains of a command that fails, of output that is not what is shown, and of Python that raises."""
    faults = {
        "ended with 5": "console\n$ athanor runs show 0123456789",
        "no line 'nobody'": "console\n$ echo somebody\nnobody",
        "ZeroDivisionError": "python\n1 / 0",
        "AssertionError": "python\ndef test_wrong() -> None:\n    assert 1 == 2",
        "no line '3'": "python\nprint(1 + 1)\n```\n\n```text\n3",
    }
    with Reader(tmp_path / "reader", "") as reader:
        for fault, text in faults.items():
            with pytest.raises(AssertionError, match=fault):
                reader.follow(blocks_in(f"```{text}\n```\n", "a page"))
