import pytest

from benchmarks import readme
from benchmarks.figures import Figure

FIGURE = Figure("start-up", 1.2, "s", 1.5, "less")


def test_the_table_takes_the_place_of_the_last_one(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n")

    readme.write([FIGURE], "2 cores", page)

    text = page.read_text()
    assert text.startswith(f"before\n{readme.BEGIN}\nMeasured ")
    assert " on 2 cores.\n" in text
    assert "| start-up | ≤ 1.5 s | 1.2 |" in text
    assert text.endswith(f"\n{readme.END}\nafter\n")
    assert "old" not in text


def test_a_page_without_a_place_for_it_is_left_alone(tmp_path):
    page = tmp_path / "README.md"
    page.write_text("nothing here\n")

    with pytest.raises(ValueError, match="has no place for the table"):
        readme.write([FIGURE], "2 cores", page)

    assert page.read_text() == "nothing here\n"


def test_the_readme_has_a_place_for_it():
    text = readme.README.read_text()
    assert text.index(readme.BEGIN) < text.index(readme.END)


def test_a_part_that_is_measured_again_renews_its_own_lines_and_says_so(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(f"before\n{readme.BEGIN}\n{readme.END}\nafter\n")
    readme.write([FIGURE, Figure("memory, idle", 140, "MB", 130, "less")], "2 cores", page)

    readme.renew(["memory"], [Figure("memory, idle", 99, "MB", 130, "less")], "2 cores", page)

    text = page.read_text()
    assert "| start-up | ≤ 1.5 s | 1.2 |" in text
    assert "| memory, idle | ≤ 130 MB | 99 |" in text
    assert "140" not in text
    assert ": memory.\n\n| what |" in text
    assert text.endswith(f"|  |\n{readme.END}\nafter\n")


@pytest.mark.parametrize(
    ("what", "machine", "fault"),
    [("launch, p50", "2 cores", "no line for launch, p50"), ("start-up", "8 cores", "no table of this machine")],
)
def test_lines_of_another_table_are_not_written_into_this_one(tmp_path, what, machine, fault):
    page = tmp_path / "README.md"
    page.write_text(f"{readme.BEGIN}\n{readme.END}\n")
    readme.write([FIGURE], "2 cores", page)
    before = page.read_text()

    with pytest.raises(ValueError, match=fault):
        readme.renew(["some"], [Figure(what, 1.0, "s", 1.5, "less")], machine, page)

    assert page.read_text() == before
