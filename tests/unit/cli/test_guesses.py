"""What people type who know other tools."""

from itertools import takewhile

import pytest
from athanor.cli import guesses

from tests.support import pins
from tests.support.pins import call


@pytest.mark.parametrize("word", ["ps", "list", "status", "show", "watch", "stop", "start", "ls", "rm", "kill"])
def test_a_guessed_word_is_answered_with_the_command(word):
    said = call(word, "something")
    assert said.status == 2
    assert f"No such command '{word}'; did you mean `{guesses.COMMANDS[word]}`?" in said.err
    assert "'top'" not in said.err


def test_what_is_meant_is_a_command_and_what_is_guessed_is_none():
    there = pins.commands()
    for word, meant in guesses.COMMANDS.items():
        assert word not in there
        assert " ".join(takewhile(str.islower, meant.split()[1:])) in there


def test_a_word_that_nobody_guesses_is_answered_as_ever():
    assert "No such command 'frobnicate'" in call("frobnicate").err
    assert "Did you mean 'logs'" in call("log").err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hello", "length=20"], "write --set length=20"),
        (["hello", "a=1", "b=x y"], "write --set a=1 --set 'b=x y'"),
        (["hello", "a=1", "odd"], "unexpected extra arguments (a=1 odd)"),
        (["lab/hello.py"], "lab/hello.py is a file: give the experiment's name"),
        (
            ["hello", "--momentum", "0.9"],
            "No such option: --momentum; a setting of the experiment is written --set momentum=0.9",
        ),
        (["hello", "--learning-rate=-1 2"], "--set 'learning_rate=-1 2'"),
        (["hello", "--shift", "-0.5", "--quick"], "--set shift=-0.5"),
        (["hello", "--quick", "--seed", "1"], "--set quick=VALUE"),
        (["hello", "--tmeout", "3"], "--timeout); a setting of the experiment is written --set tmeout=3"),
        (["hello.py", "a=1"], "files are found by `athanor up --path FOLDER`"),
    ],
)
def test_what_is_wrong_behind_run_is_told(arguments, said):
    done = call("run", *arguments)
    assert done.status == 2
    assert said in done.err
