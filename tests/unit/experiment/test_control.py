"""Both sides of the shared page."""

from pathlib import Path

import pytest
from athanor.experiment.control import SIZE, ControlPage, ProgressSlot
from athanor.experiment.files import NewerFormatError


@pytest.fixture
def pages(tmp_path: Path):
    runner = ControlPage.create(tmp_path / "control")
    process = ControlPage(tmp_path / "control")
    yield runner, process
    runner.close()
    process.close()


def test_a_new_page_says_nothing(pages: tuple[ControlPage, ControlPage]) -> None:
    runner, process = pages

    assert not process.cancelled
    assert not process.waiting
    assert process.acknowledged_bytes == 0
    assert runner.read_progress() is None
    assert (runner.recorded_sequence, runner.dropped_entries, runner.boot_id) == (0, 0, "")


def test_what_one_side_writes_the_other_sees(pages: tuple[ControlPage, ControlPage]) -> None:
    runner, process = pages
    runner.set_cancelled()
    runner.acknowledged_bytes = (1 << 63) + 5
    process.write_progress(-1, (1 << 63) - 1, "zwölf".encode())

    assert process.cancelled
    assert process.acknowledged_bytes == (1 << 63) + 5
    assert runner.read_progress() == ProgressSlot(2, -1, (1 << 63) - 1, "zwölf")

    process.recorded(lambda: None)((1 << 32) + 7)
    process.dropped_entries = 9
    assert (runner.recorded_sequence, runner.dropped_entries) == ((1 << 32) + 7, 9)


def test_the_doorbell_is_rung_once_for_each_wait(pages: tuple[ControlPage, ControlPage]) -> None:
    runner, process = pages
    rung: list[bool] = []

    process.recorded(lambda: rung.append(process.waiting))(2)
    runner.waiting = True
    process.recorded(lambda: rung.append(process.waiting))(2)
    process.recorded(lambda: rung.append(process.waiting))(2)

    assert rung == [False]  # and the flag was cleared before


def test_a_progress_that_is_half_written_is_not_read(pages: tuple[ControlPage, ControlPage]) -> None:
    runner, process = pages
    process.write_progress(1, 2, b"x")
    process._version[0] += 1  # as if the process had been killed inside the next write

    assert runner.read_progress() is None

    process.write_progress(2, 2, b"y" * 1000)
    assert runner.read_progress() == ProgressSlot(4, 2, 2, "y" * 1000)


def test_the_layout_is_the_one_written_down(tmp_path: Path) -> None:
    page = ControlPage.create(tmp_path / "control", "boot")
    page.set_cancelled()
    page.dropped_entries = 6
    page.waiting = True
    page.acknowledged_bytes = 0x0102
    page.write_progress(3, 4, b"hi")
    page.recorded(lambda: None)(5)
    page.waiting = True
    page.close()
    data = (tmp_path / "control").read_bytes()

    assert len(data) == SIZE
    assert data[:8] == b"ATHC\1\0\0\0"
    assert data[8:10] == b"\1\1"
    assert data[16:24] == b"\2\1\0\0\0\0\0\0"
    assert data[24:64] == b"\5" + bytes(7) + b"\6" + bytes(31)
    assert data[64:92] == b"\2\0\0\0" + bytes(4) + b"\3" + bytes(7) + b"\4" + bytes(7) + b"\2\0" + b"hi"
    assert data[92:].strip(b"\0") == data[1152:1156] == b"boot"


@pytest.mark.parametrize("content", [b"", b"ATHC\1\0\0\0", b"ATHC\0\0\0\0" + bytes(SIZE), bytes(SIZE)])
def test_what_is_no_page_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "control").write_bytes(content)

    with pytest.raises(ValueError, match="no control page"):
        ControlPage(tmp_path / "control")


def test_a_page_of_a_later_version_is_told_from_one_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "control").write_bytes(b"ATHC\2\0\0\0" + bytes(SIZE))

    with pytest.raises(NewerFormatError, match=r"control is of format 2, and this version reads up to 1"):
        ControlPage(tmp_path / "control")
