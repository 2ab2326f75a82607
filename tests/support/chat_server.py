"""A server that speaks the OpenAI-compatible chat API, and answers what a test tells it to. It listens on port 0."""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Answer:
    """What goes back. With `silent` nothing does until the server closes; with `trickle` a byte now and then."""

    status: int = 200
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    silent: bool = False
    trickle: bool = False


@dataclass(frozen=True)
class Request:
    """What came."""

    number: int  # from 1
    path: str
    headers: dict[str, str]  # names in lower case
    body: dict[str, Any]

    @property
    def last(self) -> str:
        """The text of the last message."""
        return self.body["messages"][-1]["content"]


def completion(
    text: str, *, usage: tuple[int, int] | None = (12, 3), logprobs: dict[str, float] | None = None
) -> Answer:
    """A good answer."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    if logprobs is not None:
        tokens = [{"token": token, "logprob": value, "bytes": None} for token, value in logprobs.items()]
        choice["logprobs"] = {"content": tokens}
    body: dict[str, Any] = {"id": "x", "object": "chat.completion", "choices": [choice]}
    if usage is not None:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return Answer(body=json.dumps(body))


class ChatServer:
    """Answers each request by `respond`, in a thread of its own; `requests` are those that came, in order."""

    def __init__(self, respond: Callable[[Request], Answer]) -> None:
        self.requests: list[Request] = []
        self.most_at_once = 0
        self._respond = respond
        self._lock = threading.Lock()
        self._under_way = 0
        self._closing = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = False  # so that closing waits for them
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), name="chat-server")

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def _take(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Answer:
        with self._lock:
            request = Request(len(self.requests) + 1, path, headers, body)
            self.requests.append(request)
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
        # Long enough for others to arrive, if they are let.
        self._closing.wait(0.005)
        return self._respond(request)

    def _done(self) -> None:
        with self._lock:
            self._under_way -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = server._take(self.path, headers, json.loads(text))
                server._done()
                with suppress(ConnectionError):  # the client did not want to wait
                    self._send(answer)

            def _send(self, answer: Answer) -> None:
                if answer.silent:
                    server._closing.wait()
                    return
                data = answer.body.encode()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data) + (1000 if answer.trickle else 0)))
                self.end_headers()
                self.wfile.write(data)
                while answer.trickle and not server._closing.wait(0.02):
                    self.wfile.write(b" ")

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler
