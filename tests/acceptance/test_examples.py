"""The page about the examples: every command of it, and a run over HTTP that is killed in the middle."""

import json
import os
import re
import shlex
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from athanor.v1 import run_pb2

from tests.support.chat_server import Answer, ChatServer, Request, completion
from tests.support.console import commands, type_in
from tests.support.system import BIN, System, wait_until

PAGE = Path(__file__).resolve().parents[2] / "experiments" / "README.md"
KEY = "sk-page-0a1b2c3d4e5f"
TURNS = 11  # questions to a conversation, with the one at the end


class Hesitant:
    """Answers so many requests at once, and the others when it is let go on."""

    def __init__(self, at_once: int) -> None:
        self.go_on = threading.Event()
        self._at_once = at_once

    def respond(self, request: Request) -> Answer:
        if request.number > self._at_once:
            self.go_on.wait(30)
        return completion("SAME" if len(request.body["messages"]) > 2 * TURNS - 1 else "An answer.", usage=(5, 2))


@pytest.mark.timeout(120)
def test_every_command_of_the_page_does_what_the_page_says(tmp_path: Path) -> None:
    up, first, own_pair, judge, compare, key, up_with_key, chat = commands(PAGE)
    assert (key, up_with_key) == ("export OPENAI_API_KEY", up)
    hesitant = Hesitant(at_once=5 * TURNS)
    with ChatServer(hesitant.respond) as server, System(tmp_path, env={"OPENAI_API_KEY": KEY}) as system:
        where = {"ATHANOR_LISTEN": "127.0.0.1:0", "ATHANOR_DATA": str(tmp_path / "data"), "NO_PROXY": "127.0.0.1"}
        child = system.start("up", str(BIN / shlex.split(up)[0]), *shlex.split(up)[1:], env=where)
        system.use(child.wait_for_line(r"ready at (\S+)")[1])
        env = system.env | {"ATHANOR_TARGET": system.target, "PATH": f"{BIN}:{os.environ['PATH']}"}

        # Each in a terminal of its own.
        with ThreadPoolExecutor() as terminals:
            typed = [
                terminals.submit(type_in, command, folder=tmp_path, env=env) for command in (first, own_pair, judge)
            ]
            said, said_of_own_pair, said_by_judge = (one.result() for one in typed)
        assert "pair_1: reference and then source: noticed 100% (91% to 100%)" in said
        noticed = re.search(r"pair_2: reference and then reference: noticed (\d+)%", said)
        assert noticed is not None
        assert int(noticed[1]) <= 30

        assert "pair_1: reference and then docstrings: noticed 100% (95% to 100%)" in said_of_own_pair
        assert "from the strongest: reference " in said_by_judge
        compared = type_in(compare, folder=tmp_path, env=env)
        assert "summary.pairs.pair_1.detection.rate" in compared.splitlines()[0]

        (block,) = re.findall(r"```json[^\n]*\n(.*?)```", PAGE.read_text(), re.DOTALL)
        shift = json.loads(block)
        # The page's server is not this one, nor is its pace, and a conversation of each kind is enough.
        shift["api"] |= {"base_url": server.url, "requests_per_minute": 100_000, "tokens_per_minute": 10_000_000}
        (tmp_path / "shift.json").write_text(json.dumps(shift | {"runs_per_pair": 1}))
        killed_once(system, server, hesitant, chat, env)


def killed_once(system: System, server: ChatServer, hesitant: Hesitant, command: str, env: dict[str, str]) -> None:
    """The last command: a run of several attempts, whose process is killed. No conversation is held twice."""
    words = shlex.split(command)
    watching = system.start("watching", str(BIN / words[0]), *words[1:], "--backoff", "1s", env=env)
    watching.wait_for_line("attempt 1 started")
    (run_id,) = re.findall(r"^run (\S+)$", watching.log, re.MULTILINE)
    wait_until(lambda: len(server.requests) >= 5 * TURNS + 4, 30, "all that go on at once to wait for the server")
    wait_until(lambda: results(system, run_id), 30, "a conversation to be finished")
    (process,) = system.run_processes()
    os.kill(process, signal.SIGKILL)
    before = len(server.requests)
    hesitant.go_on.set()

    assert watching.wait(60) == 0
    run = system.get_run(run_id)
    assert run.state == run_pb2.RUN_STATE_COMPLETED
    assert len(run.attempts) == 2
    said = r"10 conversations of 2 pairs of models, (\d+) of them held by an earlier attempt$"
    done = int(watching.wait_for_line(said)[1])
    assert done >= 1
    assert len(server.requests) - before == TURNS * (10 - done)
    held = results(system, run_id)
    assert len(held) == len(set(held)) == 11, "ten conversations, each once, and the summary"
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}


def results(system: System, run_id: str) -> list[str]:
    """The keys of the results that count, as often as they are there."""
    return [result["key"] for result in system.cli_json("results", run_id)["results"]]
