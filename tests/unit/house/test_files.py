"""What is committed: generated code that matches the contract, pinned requirements, no address of a package index."""

import filecmp
from pathlib import Path

import pytest

from tools import check_files, generate

ROOT = Path(__file__).resolve().parents[3]


def test_the_committed_stubs_are_what_the_contract_generates(tmp_path: Path) -> None:
    paths = generate.generate(tmp_path)
    assert len(paths) > 30
    assert [
        str(path) for path in paths if not filecmp.cmp(tmp_path / path, ROOT / "client" / path, shallow=False)
    ] == []


def test_requirements_are_pinned_with_hashes_and_no_tracked_file_names_an_index() -> None:
    assert check_files.main() == 0


@pytest.mark.parametrize(
    "entry",
    [
        "scipy==1.17.1",
        "scipy>=1.17 --hash=sha256:00",
        "-e client",
        "scipy @ https://example.org/scipy.whl --hash=sha256:00",
    ],
)
def test_a_requirement_that_is_not_pinned_is_noticed(tmp_path: Path, entry: str) -> None:
    (tmp_path / "dev.txt").write_text(f"# compiled\n{entry}\n")
    assert len(list(check_files.requirement_faults(tmp_path))) == 1


def test_a_pinned_requirement_may_go_over_several_lines(tmp_path: Path) -> None:
    (tmp_path / "dev.txt").write_text(
        "scipy==1.17.1 ; python_version < '4' \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\n"
    )
    assert list(check_files.requirement_faults(tmp_path)) == []


@pytest.mark.parametrize(
    "line",
    ["pip install --index-url x", "--find-links=wheels", "curl https://pypi" + ".org/simple", "UV_INDEX_URL=x"],
)
def test_an_address_of_a_package_is_noticed(tmp_path: Path, line: str) -> None:
    (tmp_path / "notes.md").write_text(f"fine\n{line}\n")
    assert len(list(check_files.address_faults(tmp_path, [Path("notes.md")]))) == 1
