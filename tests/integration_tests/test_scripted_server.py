"""The scripted server is itself put to the test, with the clients it is meant for.

LangChain's standard tests of chat models must pass on a plain ``ChatOpenAI`` that talks to it;
what they find in our own models is then the models' doing.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from typing import Any, Literal

import httpx
import openai
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from pydantic import BaseModel, Field

from tests.conftest import StartScripted
from tests.servers import Answer, Compliant, Fault, Request, ScriptedServer, ToolCall, Usage
from tests.servers.schema import SchemaFiller

HELLO: Any = [{"role": "user", "content": "Say hello, please"}]
ADD: Any = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        },
    },
}


@pytest.fixture(scope="class")
def compliant_server(request: pytest.FixtureRequest) -> Iterator[None]:
    with ScriptedServer(Compliant()) as server:
        request.cls.base_url = server.base_url
        yield


@pytest.mark.usefixtures("compliant_server")
class TestChatOpenAI(ChatModelIntegrationTests):
    base_url: str

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        # With a base_url of its own, ChatOpenAI does not ask for the usage of streams by itself.
        return {
            "model": "scripted",
            "base_url": self.base_url,
            "api_key": "test",
            "stream_usage": True,
        }

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "another"


def client_of(server: ScriptedServer, **options: Any) -> openai.OpenAI:
    options = {"api_key": "test", "max_retries": 0, "timeout": 5.0, **options}
    return openai.OpenAI(base_url=server.base_url, **options)


def ask(server: ScriptedServer, model: str = "m", **body: Any) -> Any:
    return client_of(server).chat.completions.create(model=model, messages=HELLO, **body)


def stream(server: ScriptedServer, **body: Any) -> list[Any]:
    return list(ask(server, stream=True, stream_options={"include_usage": True}, **body))


@pytest.mark.parametrize(
    "answer",
    [
        Answer("Hello, dear reader!"),
        Answer("  odd\n white\tspace  "),
        Answer(),
        Answer(usage=Usage(input=100, output=7, cached=60, reasoning=5)),
        Answer.calling("add", {"a": 1, "b": 2}),
        Answer.calling("no_such_tool", "{not json"),
        Answer.refused("No, I will not."),
    ],
)
def test_streamed_or_not_the_answer_and_the_bill_are_the_same(
    answer: Answer, scripted: StartScripted
) -> None:
    server = scripted(answer)
    whole = ask(server)
    chunks = stream(server)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    message = whole.choices[0].message
    assert "".join(delta.content or "" for delta in deltas) == (message.content or "")
    assert "".join(delta.refusal or "" for delta in deltas) == (message.refusal or "")
    parts = [call.function for delta in deltas for call in delta.tool_calls or []]
    calls = [call.function for call in message.tool_calls or []]
    assert [part.name for part in parts if part.name] == [call.name for call in calls]
    assert "".join(part.arguments for part in parts) == "".join(call.arguments for call in calls)
    finished = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert finished[-1] == whole.choices[0].finish_reason
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].usage == whole.usage
    first, second = server.requests
    assert first.billed == second.billed
    assert whole.usage.prompt_tokens == first.billed.input
    assert whole.usage.completion_tokens == first.billed.output
    assert server.tokens["m"] == first.billed + second.billed


def test_counts_words_as_tokens(scripted: StartScripted) -> None:
    server = scripted("Hello, dear reader!")
    ask(server)
    assert server.tokens == {"m": Usage(input=3, output=3)}
    ask(server, n=2)
    assert server.tokens == {"m": Usage(input=6, output=9)}


def test_usage_is_streamed_only_when_asked_for(scripted: StartScripted) -> None:
    assert all(chunk.usage is None for chunk in ask(scripted("Hello"), stream=True))


def test_records_requests(scripted: StartScripted) -> None:
    server = scripted({"a": "1", "b": "2"})
    ask(server, "a", temperature=0.5)
    ask(server, "b")
    ask(server, "b")
    assert server.calls == {"a": 1, "b": 2}
    assert server.requests[0].body["temperature"] == 0.5
    assert server.requests[0].headers["authorization"] == "Bearer test"
    assert server.requests[0].prompt == "Say hello, please"
    assert [request.number for request in server.requests] == [0, 0, 1]


def test_one_behaviour_per_call_and_the_last_repeats(scripted: StartScripted) -> None:
    server = scripted({"m": ["one", lambda request: f"call {request.number}"]})
    answers = [ask(server).choices[0].message.content for _ in range(3)]
    assert answers == ["one", "call 1", "call 2"]


def test_stop_and_token_limits_are_respected(scripted: StartScripted) -> None:
    server = scripted("one two three four")
    stopped = ask(server, stop=["three"]).choices[0]
    assert (stopped.message.content, stopped.finish_reason) == ("one two ", "stop")
    limited = ask(server, max_tokens=3).choices[0]
    assert (limited.message.content, limited.finish_reason) == ("one two three", "length")
    assert server.requests[1].billed.output == 3


@pytest.mark.parametrize("streamed", [False, True])
def test_logprobs_when_asked_for(streamed: bool, scripted: StartScripted) -> None:
    server = scripted(Answer("quite sure indeed", logprob=[-0.5, -0.25]))
    body: dict[str, Any] = {"logprobs": True, "top_logprobs": 3}
    choices = (
        [chunk.choices[0] for chunk in stream(server, **body) if chunk.choices]
        if streamed
        else ask(server, **body).choices
    )
    tokens = [token for choice in choices if choice.logprobs for token in choice.logprobs.content]
    assert [token.token for token in tokens] == ["quite", " sure", " indeed"]
    assert [token.logprob for token in tokens] == [-0.5, -0.25, -0.25]
    assert all(token.top_logprobs[0].token == token.token for token in tokens)
    assert all(len(token.top_logprobs) == 3 for token in tokens)
    assert ask(server).choices[0].logprobs is None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer.truncated("I was about to"), "length"),
        (Answer.filtered(), "content_filter"),
        (Answer.json({"a": 1}), "stop"),
        (Answer.calling("add"), "tool_calls"),
    ],
)
def test_finish_reasons(answer: Answer, reason: str, scripted: StartScripted) -> None:
    assert ask(scripted(answer)).choices[0].finish_reason == reason


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        (Fault.rate_limit(), openai.RateLimitError, "rate_limit_exceeded"),
        (Fault.server_error(), openai.InternalServerError, None),
        (Fault.unavailable(), openai.InternalServerError, None),
        (Fault.wrong_key(), openai.AuthenticationError, "invalid_api_key"),
        (Fault.bad_request(), openai.BadRequestError, "invalid_value"),
        (Fault.context_length(), openai.BadRequestError, "context_length_exceeded"),
        (Fault.disconnect(), openai.APIConnectionError, None),
    ],
)
def test_faults_before_the_answer_cost_nothing(
    fault: Fault,
    error: type[openai.APIError],
    code: str | None,
    streamed: bool,
    scripted: StartScripted,
) -> None:
    server = scripted(fault)
    with pytest.raises(error) as caught:
        ask(server, stream=streamed)
    assert caught.value.code == code
    assert server.calls["m"] == 1
    assert server.tokens["m"] == Usage()


def test_rate_limit_says_when_to_try_again(scripted: StartScripted) -> None:
    server = scripted([Fault.rate_limit(retry_after=0.02), "yes"])
    started = time.monotonic()
    client = client_of(server, max_retries=1)
    answer = client.chat.completions.create(model="m", messages=HELLO)
    # Without the header the client would wait for at least 0.375 s.
    assert 0.02 <= time.monotonic() - started < 0.35
    assert answer.choices[0].message.content == "yes"
    assert server.calls["m"] == 2
    assert server.tokens["m"] == Usage(input=3, output=1)


@pytest.mark.parametrize("streamed", [False, True])
def test_hang_until_the_client_times_out_and_close_at_once(streamed: bool) -> None:
    with ScriptedServer(Fault.hang()) as server:
        with pytest.raises(openai.APITimeoutError):
            client_of(server, timeout=0.05).chat.completions.create(
                model="m", messages=HELLO, stream=streamed
            )

        def wait() -> None:
            with pytest.raises(openai.APIError):
                ask(server)

        still_waiting = threading.Thread(target=wait)
        still_waiting.start()
        while server.calls["m"] < 2:
            time.sleep(0.001)
        started = time.monotonic()
    still_waiting.join(1.0)
    assert not still_waiting.is_alive()
    assert time.monotonic() - started < 0.5


def test_cut_bills_what_was_sent(scripted: StartScripted) -> None:
    server = scripted(Fault.cut(Answer("one two three four"), after=2))
    received = []
    with pytest.raises(httpx.RemoteProtocolError):
        for chunk in ask(server, stream=True):
            received.append(chunk.choices[0].delta.content)
    assert received == ["", "one", " two"]
    assert server.tokens["m"] == Usage(input=3, output=2)
    with pytest.raises(openai.APIConnectionError):
        ask(server)


def test_malformed(scripted: StartScripted) -> None:
    server = scripted(Fault.malformed())
    with pytest.raises(json.JSONDecodeError):
        ask(server)
    with pytest.raises(json.JSONDecodeError):
        stream(server)


def test_wrong_key_and_unknown_model() -> None:
    with ScriptedServer({"m": "yes"}, api_key="secret") as server:
        with pytest.raises(openai.AuthenticationError):
            ask(server)
        client = client_of(server, api_key="secret")
        assert [model.id for model in client.models.list()] == ["m"]
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="other", messages=HELLO)


def test_fifty_clients_at_once(scripted: StartScripted) -> None:
    everybody = threading.Barrier(50)

    def answer_when_all_are_here(request: Request) -> Answer:
        everybody.wait(timeout=10)
        return Answer(f"{request.prompt}!")

    server = scripted(answer_when_all_are_here)

    async def ask_all() -> list[str]:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="test") as client:
            replies = await asyncio.gather(
                *(
                    client.chat.completions.create(
                        model="m", messages=[{"role": "user", "content": f"{i}"}]
                    )
                    for i in range(50)
                )
            )
        return [reply.choices[0].message.content or "" for reply in replies]

    assert asyncio.run(ask_all()) == [f"{i}!" for i in range(50)]
    assert sorted(request.number for request in server.requests) == list(range(50))
    assert server.tokens["m"] == Usage(input=50, output=50)


def test_streams_are_live(scripted: StartScripted) -> None:
    release = 0.2
    server = scripted(Answer("one two", pause=release / 4))
    chunks = iter(ask(server, stream=True))
    started = time.monotonic()
    next(chunks)
    assert time.monotonic() - started < release
    assert len(list(chunks)) == 3


def test_a_client_that_leaves_is_no_error(scripted: StartScripted) -> None:
    server = scripted(Answer("word " * 1000, pause=0.001))
    chunks = ask(server, stream=True)
    next(iter(chunks))
    chunks.close()
    assert ask(server, max_tokens=1).choices[0].finish_reason == "length"


def test_a_mistake_in_a_script_is_raised_at_the_end() -> None:
    def script(request: Request) -> Answer:
        raise LookupError("not my answer")

    with (
        pytest.raises(LookupError, match="not my answer"),
        ScriptedServer(script) as server,
        pytest.raises(openai.InternalServerError),
    ):
        ask(server)


@pytest.mark.parametrize("streamed", [False, True])
def test_several_tool_calls_at_once(streamed: bool, scripted: StartScripted) -> None:
    calls = (ToolCall("add", {"a": 1, "b": 2}), ToolCall("add", {"a": 3, "b": 4}))
    server = scripted(Answer(tool_calls=calls))
    llm = ChatOpenAI(model="m", base_url=server.base_url, api_key="test", streaming=streamed)  # type: ignore[arg-type]
    message = llm.bind_tools([ADD]).invoke("Add twice")
    assert [call["args"] for call in message.tool_calls] == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]


def test_compliant_calls_a_tool_only_when_it_fits(scripted: StartScripted) -> None:
    server = scripted(Compliant())
    llm = ChatOpenAI(model="m", base_url=server.base_url, api_key="test")  # type: ignore[arg-type]
    weather = {**ADD, "function": {**ADD["function"], "name": "get_weather"}}
    free = llm.bind_tools([weather])
    assert not free.invoke("Hello").tool_calls
    assert free.invoke("How is the weather?").tool_calls
    assert not llm.bind_tools([weather], tool_choice="none").invoke("The weather?").tool_calls


class Detail(BaseModel):
    share: float = Field(ge=0, le=1)
    tags: list[Literal["new", "old"]] = Field(min_length=2)


class Order(BaseModel):
    customer: str = Field(min_length=12, max_length=20)
    pieces: int = Field(gt=10, lt=100)
    kind: Literal["small", "large"]
    detail: Detail
    note: str | None = None
    urgent: bool


def test_filled_schemas_validate() -> None:
    filler = SchemaFiller("A large order of 42 pieces for 'Ann'")
    order = Order.model_validate(filler.fill(Order.model_json_schema()))
    assert (order.customer, order.pieces, order.kind) == ("Ann.........", 42, "large")
