"""An OpenAI-compatible server on loopback whose every answer and every failure is scripted.

It exists so that tests can compare what was really bought with what was reported: it keeps every
request it received and every token it billed.

    with ScriptedServer({
        "cheap": [Fault.rate_limit(), "yes"],                       # one per call, last repeats
        "strong": lambda request: Answer(request.prompt.upper()),   # made from the request
    }) as server:
        llm = ChatOpenAI(model="cheap", base_url=server.base_url, api_key="test")
        llm.invoke("Is it?")
        assert server.calls["cheap"] == 2                           # the client tried again
        assert server.tokens["cheap"] == Usage(input=2, output=1)   # but paid once
"""

from __future__ import annotations

import itertools
import json
import socket
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from tests.servers.protocol import Json, chunks, completion, limited, usage_of
from tests.servers.replies import (
    Answer,
    Behaviour,
    Fault,
    Request,
    ToolCall,
    Usage,
    choose_reply,
    tokens,
)

__all__ = ["Answer", "Behaviour", "Fault", "Request", "ScriptedServer", "ToolCall", "Usage"]

_servers = itertools.count(1)


class ScriptedServer:
    """Serves ``chat/completions`` and ``models`` at its address while its ``with`` block lasts.

    Args:
        script: A behaviour for each model name (other names get 404), or one for all of them.
        api_key: If given, any other key gets 401.

    Attributes:
        base_url: What to give an OpenAI client as ``base_url``; no two servers share one.
        path: The path in it.
        requests: All requests in order of arrival.
        errors: What behaviour functions raised.

    Raises:
        BaseException: On leaving the block, the first of `errors`.
    """

    def __init__(
        self, script: Mapping[str, Behaviour] | Behaviour, *, api_key: str | None = None
    ) -> None:
        self.requests: list[Request] = []
        self._script = script
        self._api_key = api_key
        self.errors: list[BaseException] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._http = _HTTPServer(self)
        # LangChain keeps its HTTP clients by address for as long as the process lives. A port that
        # is given out again must not bring back a client whose event loop is closed.
        self.path = f"/{next(_servers)}/v1"
        self.base_url = f"http://127.0.0.1:{self._http.server_port}{self.path}"

    def __enter__(self) -> ScriptedServer:
        # The default poll interval would make every test wait half a second at the end.
        serve = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        serve.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.disconnect_all()
        self._http.server_close()
        if self.errors and error is None:
            raise self.errors[0]

    @property
    def calls(self) -> Counter[str]:
        """Requests received, by model."""
        return Counter(request.model for request in self.requests)

    @property
    def tokens(self) -> dict[str, Usage]:
        """Tokens billed, by model."""
        bills = dict.fromkeys((request.model for request in self.requests), Usage())
        for request in self.requests:
            bills[request.model] += request.billed
        return bills

    @property
    def models(self) -> list[str]:
        """The names that have a behaviour of their own."""
        return list(self._script) if isinstance(self._script, Mapping) else []

    def reply_to(self, body: Json, headers: dict[str, str]) -> tuple[Answer | Fault, Request, str]:
        """Record a request, decide the reply, and bill it."""
        model = body["model"]
        with self._lock:
            request = Request(model, body, headers, number=self.calls[model])
            self.requests.append(request)
            identity = f"chatcmpl-{len(self.requests)}"
        reply = self._decide(request)
        # Billed before it is sent, so that whoever has seen the answer sees the bill.
        if isinstance(reply, Answer):
            reply = limited(reply, body)
            request.billed = usage_of(reply, request)
        elif reply.kind == "malformed":
            request.billed = usage_of(reply.answer, request)
        elif reply.kind == "cut":
            sent = "".join(tokens(reply.answer.text)[: reply.after])
            request.billed = usage_of(replace(reply.answer, text=sent), request)
        return reply, request, identity

    def wait(self, seconds: float | None = None) -> None:
        """Sleep, but wake up when the server closes."""
        self._closing.wait(seconds)

    def _decide(self, request: Request) -> Answer | Fault:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._api_key is not None and key != self._api_key:
            return Fault.wrong_key()
        behaviour: Behaviour
        if not isinstance(self._script, Mapping):
            behaviour = self._script
        elif request.model in self._script:
            behaviour = self._script[request.model]
        else:
            return Fault.http(404, f"No model {request.model!r}.", "model_not_found")
        try:
            return choose_reply(behaviour, request)
        except Exception as error:
            self.errors.append(error)
            return Fault.http(500, f"The script raised {error!r}.")


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # the default of 5 turns parallel clients away

    def __init__(self, owner: ScriptedServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.owner = owner
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        # A client that gives up is what many tests are about.
        if error is not None and not isinstance(error, ConnectionError):
            self.owner.errors.append(error)

    def disconnect_all(self) -> None:
        """Wake up the threads that wait for the next request of a connection kept alive."""
        for connection in list(self._open):
            with suppress(OSError):  # the client was faster
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body are two writes; Nagle's algorithm would hold the second back for 40 ms.
    disable_nagle_algorithm = True
    server: _HTTPServer

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test output clean."""

    def do_GET(self) -> None:
        if self.path == f"{self.server.owner.path}/models":
            models = [{"id": name, "object": "model"} for name in self.server.owner.models]
            self._send(200, json.dumps({"object": "list", "data": models}))
        else:
            self._send_error(Fault.http(404, f"No such path: {self.path}"))

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == f"{self.server.owner.path}/chat/completions":
            self._complete(content)
        else:
            self._send_error(Fault.http(404, f"No such path: {self.path}"))

    def _complete(self, content: bytes) -> None:
        try:
            body = json.loads(content)
            body["model"], body["messages"]
        except (ValueError, TypeError, KeyError) as error:
            self._send_error(Fault.bad_request(f"Not a chat completion request: {error!r}"))
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply, request, identity = self.server.owner.reply_to(body, headers)
        if isinstance(reply, Answer):
            self._answer(reply, request, identity)
        elif reply.kind == "status":
            self._send_error(reply)
        elif reply.kind == "hang":
            self.server.owner.wait()
            self._disconnect()
        elif reply.kind == "disconnect":
            self._disconnect()
        else:
            self._break(reply, request, identity)

    def _answer(self, answer: Answer, request: Request, identity: str) -> None:
        wait = self.server.owner.wait
        wait(answer.delay)
        if not request.streams:
            self._send(200, json.dumps(completion(answer, request, identity, request.billed)))
            return
        self._open_stream()
        for chunk in chunks(answer, request, identity, request.billed):
            self._send_event(json.dumps(chunk))
            wait(answer.pause)
        self._send_event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _break(self, fault: Fault, request: Request, identity: str) -> None:
        """Begin the answer of a fault and spoil it in the middle."""
        if not request.streams:
            whole = json.dumps(completion(fault.answer, request, identity, request.billed))
            half = whole[: len(whole) // 2]
            if fault.kind == "malformed":
                self._send(200, half)
            else:
                self._send(200, half, length=len(whole))
                self._disconnect()
            return
        self._open_stream()
        events = chunks(fault.answer, request, identity, request.billed)
        for _, chunk in zip(range(1 + fault.after), events, strict=False):
            self._send_event(json.dumps(chunk))
        if fault.kind == "malformed":
            self._send_event('{"id": "chatcmpl-')
            self._send_event("[DONE]")
            self.wfile.write(b"0\r\n\r\n")
        else:
            self._disconnect()

    def _send_error(self, fault: Fault) -> None:
        error = {"message": fault.message, "type": "error", "param": None, "code": fault.code}
        self._send(fault.status, json.dumps({"error": error}), fault.headers)

    def _send(
        self,
        status: int,
        body: str,
        headers: Mapping[str, str] | None = None,
        length: int | None = None,
    ) -> None:
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content) if length is None else length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _open_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _send_event(self, data: str) -> None:
        event = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))

    def _disconnect(self) -> None:
        self.close_connection = True
        with suppress(OSError):  # the client may have gone first
            self.connection.shutdown(socket.SHUT_RDWR)
