"""A configuration from a file: JSON, or YAML 1.2."""

import sys
from io import StringIO
from pathlib import Path

import pytest
import typer
from athanor.cli import configfile


def read(tmp_path: Path, text: str, name: str = "c.yaml"):
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return configfile.read(file)


def test_json_has_whole_numbers_of_any_size(tmp_path: Path):
    assert read(tmp_path, f'{{"n": 1{"0" * 5000}}}', "c.json") == {"n": 10**5000}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("12345678901234567890123", 12345678901234567890123),
        pytest.param("1" + "0" * 5000, 10**5000, id="many digits"),
        pytest.param("-1" + "0" * 5000, -(10**5000), id="many digits below 0"),
        ("0o14", 12),
        ("0x1F", 31),
        ("007", 7),
        (".5", 0.5),
        ("1_000", "1_000"),
        ("12:30:00", "12:30:00"),
        ("2026-01-01", "2026-01-01"),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("|\n  a\n  b", "a\nb\n"),
        ("[1, [x, {y: 2}]]", [1, ["x", {"y": 2}]]),
        ("Grüße", "Grüße"),
    ],
)
def test_a_value_of_yaml_is_that_of_the_core_schema(tmp_path, text, value):
    found = read(tmp_path, f"a: {text}\n")
    assert found == {"a": value}
    assert type(found["a"]) is type(value)


def test_json_is_yaml_and_an_alias_is_what_it_names(tmp_path):
    assert read(tmp_path, '{"a": [1, 0.5, "x", null]}') == {"a": [1, 0.5, "x", None]}
    assert read(tmp_path, "a: &x [1]\nb: *x\n") == {"a": [1], "b": [1]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", ", line 3: the key 'a' is there already"),
        ("a:\n  1: x\n", ', line 2: a key has to be a text: write "1"'),
        ("? [1]\n: x\n", ", line 1: a key has to be a text"),
        ("a: 1\nb: [1, 2\nc: 3\n", ", line 3, is not YAML: "),
        ("a: .nan\n", ", line 1: .nan is no number in JSON"),
        ("a: !!python/object:os.system x\n", ", line 1: !!python/object:os.system has no meaning here"),
        ("a: !!set {x}\n", ", line 1: !!set has no meaning here"),
        ("a: &x\n  b: *x\n", "it contains itself"),
        ("base: &b {x: 1}\na:\n  <<: *b\n", ", line 3: merging (<<) is not in YAML 1.2"),
        ("- 1\n", " is not a YAML mapping"),
        ("", " is not a YAML mapping"),
        ("a: 1\n---\nb: 2\n", "is not YAML: "),
        ("a: \x07", "is not YAML: "),
        ("a: " + "[" * 5000, " is nested too deeply"),
    ],
)
def test_what_is_wrong_with_yaml_is_said_with_its_line(tmp_path, text, said):
    with pytest.raises(typer.BadParameter) as caught:
        read(tmp_path, text)
    assert f"c.yaml{said}" in str(caught.value) or said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.param_hint == "--config"


def test_a_key_that_json_has_twice_is_refused(tmp_path):
    with pytest.raises(typer.BadParameter, match="is not JSON: the key 'a' is there twice"):
        read(tmp_path, '{"b": {"a": 1, "a": 2}}', "c.json")


@pytest.mark.parametrize("text", ['{"n": 1}', "n: 1\n"])
def test_standard_input_may_be_either(monkeypatch, text):
    monkeypatch.setattr(sys, "stdin", StringIO(text))
    assert configfile.read(Path("-")) == {"n": 1}


@pytest.mark.parametrize("text", ['{"n": 1}', "n: 1\n"])
def test_so_may_a_file_without_a_suffix(tmp_path, text):
    """As the shell makes them: `--config <(jq .best results.json)`."""
    assert read(tmp_path, text, "63") == {"n": 1}


@pytest.mark.parametrize("name", ["conf.toml", "conf.ini", "conf.json.bak"])
def test_a_file_of_another_sort_is_refused_by_its_name(tmp_path, name):
    with pytest.raises(typer.BadParameter) as caught:
        read(tmp_path, "n = 1\n", name)
    assert f"{name} is neither .json nor .yaml (or .yml), which are read; `-` reads either" in str(caught.value)


def test_yaml_without_its_library_says_which_extra_brings_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ruamel.yaml", None)
    with pytest.raises(typer.BadParameter) as caught:
        read(tmp_path, "a: 1\n")
    assert str(caught.value).endswith(
        "c.yaml: reading YAML needs ruamel.yaml: pip install ruamel.yaml (Athanor's extra 'cli')"
    )


def test_a_file_that_is_no_text_is_said(tmp_path):
    (tmp_path / "c.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(typer.BadParameter, match="is not text"):
        configfile.read(tmp_path / "c.json")
