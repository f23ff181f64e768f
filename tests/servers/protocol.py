"""Answers in the JSON of OpenAI's chat completions, whole and in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import exp, log
from typing import Any

from tests.servers.replies import Answer, Request, Usage, tokens

Json = dict[str, Any]


def limited(answer: Answer, body: Json) -> Answer:
    """The answer as a real model would give it under the request's stop and token limit."""
    text = answer.text
    stops = body.get("stop") or []
    for stop in [stops] if isinstance(stops, str) else stops:
        text = text.split(stop, 1)[0]
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    words = tokens(text)
    if limit is not None and len(words) > limit:
        return replace(answer, text="".join(words[:limit]), finish_reason="length")
    return replace(answer, text=text)


def usage_of(answer: Answer, request: Request) -> Usage:
    """What the answer costs; the same whether it is streamed or not."""
    if answer.usage is not None:
        return answer.usage
    texts = [answer.text, answer.refusal or ""]
    for call in answer.tool_calls:
        texts += [call.name, call.arguments_text]
    produced = sum(len(tokens(text)) for text in texts)
    return Usage(request.count_tokens(), produced * _choices(request))


def completion(answer: Answer, request: Request, identity: str, usage: Usage) -> Json:
    """The body of a reply that is not streamed."""
    message: Json = {
        "role": "assistant",
        "content": None if _has_no_content(answer) else answer.text,
        "refusal": answer.refusal,
    }
    if answer.tool_calls:
        message["tool_calls"] = _tool_calls(answer, identity)
    words = tokens(answer.text)
    choice = {
        "message": message,
        "logprobs": _logprobs(answer, request, words, 0),
        "finish_reason": _finish_reason(answer),
    }
    return {
        "id": identity,
        "object": "chat.completion",
        "created": 0,
        "model": request.model,
        "choices": [{"index": index, **choice} for index in range(_choices(request))],
        "usage": _usage_json(usage),
    }


def chunks(answer: Answer, request: Request, identity: str, usage: Usage) -> Iterator[Json]:
    """The events of a streamed reply: role, one per token, finish reason, usage if asked for."""
    head = {
        "id": identity,
        "object": "chat.completion.chunk",
        "created": 0,
        "model": request.model,
    }
    with_usage = (request.body.get("stream_options") or {}).get("include_usage", False)
    if with_usage:
        head["usage"] = None

    def chunk(
        index: int, delta: Json, logprobs: Json | None = None, finish: str | None = None
    ) -> Json:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return {**head, "choices": [choice]}

    for index in range(_choices(request)):
        opening = None if _has_no_content(answer) else ""
        yield chunk(index, {"role": "assistant", "content": opening})
        for position, word in enumerate(tokens(answer.text)):
            yield chunk(index, {"content": word}, _logprobs(answer, request, [word], position))
        for word in tokens(answer.refusal or ""):
            yield chunk(index, {"refusal": word})
        for position, call in enumerate(_tool_calls(answer, identity)):
            whole = call["function"]["arguments"]
            call["function"]["arguments"] = ""
            yield chunk(index, {"tool_calls": [{"index": position, **call}]})
            for word in tokens(whole):
                part = {"index": position, "function": {"arguments": word}}
                yield chunk(index, {"tool_calls": [part]})
        yield chunk(index, {}, finish=_finish_reason(answer))
    if with_usage:
        yield {**head, "choices": [], "usage": _usage_json(usage)}


def _choices(request: Request) -> int:
    return request.body.get("n") or 1


def _has_no_content(answer: Answer) -> bool:
    return not answer.text and (bool(answer.tool_calls) or answer.refusal is not None)


def _finish_reason(answer: Answer) -> str:
    return answer.finish_reason or ("tool_calls" if answer.tool_calls else "stop")


def _tool_calls(answer: Answer, identity: str) -> list[Json]:
    return [
        {
            "id": f"call-{identity}-{position}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments_text},
        }
        for position, call in enumerate(answer.tool_calls)
    ]


def _usage_json(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def _logprobs(answer: Answer, request: Request, words: list[str], start: int) -> Json | None:
    """Log-probabilities of some of the answer's tokens, the first of them number ``start``."""
    if not request.body.get("logprobs"):
        return None
    ranks = request.body.get("top_logprobs") or 0
    content = []
    for position, word in enumerate(words, start):
        logprob = _logprob_at(answer, position)
        # The rest of the probability goes to made-up rivals, so that a margin can be computed.
        rest = max(1.0 - exp(logprob), 1e-9)
        rivals = [(f"{word}~{rank}", log(rest) - rank * log(2)) for rank in range(1, ranks)]
        top = [(word, logprob), *rivals][:ranks]
        content.append(
            {**_logprob_json(word, logprob), "top_logprobs": [_logprob_json(*pair) for pair in top]}
        )
    return {"content": content, "refusal": None}


def _logprob_at(answer: Answer, position: int) -> float:
    if isinstance(answer.logprob, int | float):
        return answer.logprob
    return answer.logprob[min(position, len(answer.logprob) - 1)]


def _logprob_json(token: str, logprob: float) -> Json:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}
