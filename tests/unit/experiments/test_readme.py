"""What the page about the examples tells people to use is taken."""

import json
import re
import shlex
from pathlib import Path

from athanor_experiments.models import texts
from athanor_experiments.substrate_shift.configuration import Config
from athanor_experiments.substrate_shift.design import without_own_controls

README = Path(__file__).resolve().parents[3] / "experiments" / "README.md"


def test_the_configuration_for_a_server_is_one() -> None:
    (block,) = re.findall(r"```json[^\n]*\n(.*?)```", README.read_text(), re.DOTALL)
    config = Config.model_validate_json(block)
    assert config.provider == "openai_compatible"
    assert without_own_controls(config.pairs) == [], "the control that the page speaks of"


def test_the_values_that_are_set_are_taken() -> None:
    commands = [line for line in README.read_text().splitlines() if line.startswith("$ athanor run substrate_shift")]
    assigned = [word.split("=", 1) for line in commands for word in shlex.split(line) if re.match(r"\w+=", word)]
    assert [name for name, _ in assigned] == ["pairs", "runs_per_pair"]
    config = Config.model_validate({name: json.loads(value) for name, value in assigned})
    assert config.runs_per_pair == 20


def test_the_texts_are_those_that_there_are() -> None:
    (named,) = re.findall(r"name is that of its text, (.*?), and the order", README.read_text(), re.DOTALL)
    assert set(re.findall(r"`(\w+)`", named)) == set(texts.TEXTS)
