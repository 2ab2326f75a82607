"""A folder for a new experiment: its name, its files, and that it is whole or not there."""

import pytest
from athanor.cli import new
from athanor.experiment import discovery

FILES = {".gitignore", "README.md", "pyproject.toml", "coin_toss.py", "test_coin_toss.py"}


@pytest.mark.parametrize("name", ["x", "coin_toss", "a2", "my_experiment"])
def test_names_that_will_do(name):
    assert new.name_problem(name) == ""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("coin-toss", "how about coin_toss?"),
        ("Coin Toss", "how about coin_toss?"),
        ("2coins", "how about coins?"),
        ("../x", "how about x?"),
        ("", "no name of a module"),
        ("é", "no name of a module"),
        ("_x", "how about x?"),
        ("class", "means something in Python already"),
        ("random", "means something in Python already"),
        ("test", "taken for tests"),
        ("tests", "taken for tests"),
        ("test_coins", "taken for tests"),
        ("coins_test", "taken for tests"),
    ],
)
def test_names_that_will_not_do(name, said):
    assert said in new.name_problem(name)


def test_what_discovery_passes_over_is_refused():
    assert set(new._TESTS) == discovery._TEST_NAMES


def test_the_files_are_pinned_and_nothing_of_the_template_is_left():
    files = new.contents("coin_toss", "-e /athanor ")
    assert set(files) == FILES
    assert set(new._WHAT) == {name.replace("coin_toss", "{}") for name in FILES - {".gitignore"}}
    for name, text in files.items():
        assert "my_experiment" not in text, name
        assert "my-experiment" not in text, name
        assert "@ATHANOR@" not in text, name
    assert 'name="coin_toss"' in files["coin_toss.py"]
    assert 'title="Coin toss"' in files["coin_toss.py"]
    assert 'name = "coin-toss"' in files["pyproject.toml"]
    assert "pip install -e /athanor -e '.[test]'" in files["README.md"]
    assert "pip install -e '.[test]'" in new.contents("coin_toss", "")["README.md"]


def test_a_name_that_contains_the_templates_own_is_put_in_once():
    assert 'name="my_experiment_2"' in new.contents("my_experiment_2", "")["my_experiment_2.py"]


def test_all_of_it_or_nothing(tmp_path):
    files = {"a": "1", "no/such/folder": "2"}
    with pytest.raises(FileNotFoundError):
        new.write(tmp_path / "x", files)
    assert list(tmp_path.iterdir()) == []
    new.write(tmp_path / "x", {"a": "1"})
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x" / "a").read_text() == "1"


@pytest.mark.parametrize(
    ("direct_url", "told"),
    [
        (None, ""),
        ('{"url": "file:///home/me/athanor/client", "dir_info": {"editable": true}}', "-e /home/me/athanor/client "),
        ('{"url": "file:///my%20lab/client", "dir_info": {}}', "'/my lab/client' "),
        (
            '{"url": "https://example.org/athanor", "subdirectory": "client", '
            '"vcs_info": {"vcs": "git", "commit_id": "abc"}}',
            "'athanor @ git+https://example.org/athanor@abc#subdirectory=client' ",
        ),
        (
            '{"url": "https://example.org/athanor/archive", "archive_info": {}}',
            "'athanor @ https://example.org/athanor/archive' ",
        ),
    ],
)
def test_pip_is_told_where_athanor_came_from(direct_url, told):
    assert new.requirement(direct_url) == told
