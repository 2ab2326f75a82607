"""Which processes belong to an attempt, read from tables that no test could make to order."""

from pathlib import Path

import pytest
from athanor_runner.ports import ProcessId
from athanor_runner.process_table import ProcessRow, count_memory_kills, members, parse_stat

RUNNER = ProcessRow(10, "S", 1, 10, 5)
MAIN = ProcessRow(100, "S", 10, 100, 50)


def table(*rows: ProcessRow) -> dict[int, ProcessRow]:
    return {row.pid: row for row in (ProcessRow(1, "S", 0, 1, 0), RUNNER, *rows)}


def pids(*rows: ProcessRow, owned: bool = True, main: ProcessId | None = MAIN.id, known=(), marked=()) -> set[int]:
    found = members(table(*rows), main, owned, frozenset(known), lambda row: row.pid in marked)
    return {process.pid for process in found}


def test_its_children_and_theirs() -> None:
    child, grandchild = ProcessRow(101, "S", 100, 100, 51), ProcessRow(102, "R", 101, 100, 52)
    stranger = ProcessRow(200, "S", 1, 200, 51)
    assert pids(MAIN, child, grandchild, stranger) == {100, 101, 102}


def test_an_orphan_of_its_session() -> None:
    assert pids(MAIN, ProcessRow(101, "S", 10, 100, 51)) == {100, 101}


def test_the_main_one_being_dead_and_not_buried_its_session_still_counts() -> None:
    dead = ProcessRow(100, "Z", 10, 100, 50)
    assert pids(dead, ProcessRow(101, "S", 10, 100, 51)) == {101}


def test_one_that_went_into_a_session_of_its_own_is_known_by_its_marker() -> None:
    away = ProcessRow(101, "S", 1, 101, 51)
    assert pids(MAIN, away) == {100}
    assert pids(MAIN, away, marked={101}) == {100, 101}


def test_children_of_a_marked_one_come_along() -> None:
    away, child = ProcessRow(101, "S", 1, 101, 51), ProcessRow(102, "S", 101, 102, 52)
    assert pids(MAIN, away, child, marked={101}) == {100, 101, 102}


def test_one_that_was_seen_before_is_known_without_parent_session_or_marker() -> None:
    away = ProcessRow(101, "S", 10, 101, 51)
    assert pids(MAIN, away, known={away.id}) == {100, 101}


def test_a_process_id_that_was_given_again_is_another_process() -> None:
    """The main process is gone and buried, as after a crash of the runner; its id and session are somebody else's."""
    other = ProcessRow(100, "S", 1, 100, 999)
    others = ProcessRow(101, "S", 100, 100, 1000)
    assert pids(other, others, owned=False) == set()
    assert pids(other, others, owned=False, known={ProcessId(101, 51)}) == set()


def test_found_alive_after_a_crash_of_the_runner() -> None:
    assert pids(MAIN, ProcessRow(101, "S", 1, 100, 51), owned=False) == {100, 101}


def test_without_a_main_process_the_marker_is_all() -> None:
    assert pids(ProcessRow(101, "S", 1, 101, 51), main=None, owned=False, marked={101}) == {101}


def test_the_dead_do_not_count() -> None:
    assert pids(MAIN, ProcessRow(101, "Z", 100, 100, 51), ProcessRow(102, "X", 100, 100, 52)) == {100}


def test_a_dead_ones_children_count() -> None:
    assert pids(MAIN, ProcessRow(101, "Z", 100, 100, 51), ProcessRow(102, "S", 101, 102, 52)) == {100, 102}


@pytest.mark.parametrize("name", ["python", "a b", "x) S 1 (y", ")", "(((", ""])
def test_a_stat_line_with_any_name(name: str) -> None:
    rest = " ".join(str(number) for number in range(4, 53))
    row = parse_stat(f"42 ({name}) S {rest}")
    assert row == ProcessRow(pid=42, state="S", parent=4, session=6, start_ticks=22)


def test_a_thread_of_the_kernel_is_told_from_a_process() -> None:
    line = "2 (kthreadd) S 0 0 0 0 -1 {flags} " + " ".join(["0"] * 12) + " 1"
    assert parse_stat(line.format(flags=0x0020_8040)).of_kernel
    assert not parse_stat(line.format(flags=0x0040_0100)).of_kernel


def test_memory_kills_are_read_from_the_machine_or_the_control_group(tmp_path: Path) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    assert count_memory_kills(proc, groups) == 0

    (proc / "vmstat").write_text("nr_free_pages 7\noom_kill 3\n")
    assert count_memory_kills(proc, groups) == 3

    (proc / "self" / "cgroup").write_text("0::/some/where\n")
    (groups / "some" / "where").mkdir(parents=True)
    (groups / "some" / "where" / "memory.events").write_text("low 0\noom 9\noom_kill 5\n")
    assert count_memory_kills(proc, groups) == 5
