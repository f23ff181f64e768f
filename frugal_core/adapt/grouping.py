"""Which queries are asked together: those that share a prompt, as far as it pays."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from frugal_core.adapt import numbered
from frugal_core.errors import check_whole
from frugal_core.grading import normalise
from frugal_core.tokens import estimate_tokens

UNMEASURED = 4
"""Most queries in one request where nobody measured what becomes of the answers.

Cheng, Kasai, Yu 2023 (arXiv:2301.08721, figure 4) find little lost up to about here.
"""

_OVERHEAD = 8  # tokens around a message
_PER_ANSWER = 6  # output tokens of a number, quotes and a comma
_OUTPUT_PRICE = 4  # of an output token, in input tokens: what most providers ask
_WORTH = 12  # tokens from which on a beginning that texts share is taken out of them


@dataclass(frozen=True)
class Grouping:
    """How queries are put together.

    Args:
        group_size: Most queries in one request. None: at most 4, and only where the prompt that is
            saved outweighs what the numbering costs.
        token_budget: Most input tokens of one request; a query that is larger is asked alone.
        answers: The only answers that are possible, if they are known; another one is asked again.
        accept: Whether an answer may stand; one that may not is asked again, alone.
        count_tokens: A text to its tokens; by default an estimate that is rather high.

    Raises:
        FrugalError: for a number that makes no sense.
    """

    group_size: int | None = None
    token_budget: int = 4000
    answers: tuple[str, ...] = ()
    accept: Callable[[str], bool] | None = None
    count_tokens: Callable[[str], int] = estimate_tokens

    def __post_init__(self) -> None:
        for name in ("group_size", "token_budget"):
            value = getattr(self, name)
            if value is not None:
                check_whole(name, value, least=1)

    def accepts(self, answer: str) -> bool:
        """Whether an answer may stand."""
        if self.answers and normalise(answer) not in map(normalise, self.answers):
            return False
        return self.accept is None or bool(self.accept(answer))


@dataclass(frozen=True, slots=True)
class Item:
    """One query of many.

    Args:
        text: What is asked, after all that stands before it.
        before: Stands for what comes before it; only items with equal ones share a request.
        before_tokens: Its tokens, `turns` left out.
        turns: Questions and answers that stand between, as examples.
        alone: Whether it cannot share a request: tools, images, a response format.
    """

    text: str
    before: Hashable = None
    before_tokens: int = 0
    turns: tuple[tuple[str, str], ...] = ()
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Alone:
    """Ask one item as it is."""

    position: int


@dataclass(frozen=True, slots=True)
class Together:
    """Ask several items in one request.

    Args:
        positions: Of the items.
        text: What is asked, after all that stands before each of them.
        example: The items' turns in the same form, question and answer; None if there are none.
        input_weights: Tokens of the request that each item is to bear.
    """

    positions: tuple[int, ...]
    text: str
    example: tuple[str, str] | None
    input_weights: tuple[float, ...]


Call = Alone | Together


def plan(items: Sequence[Item], grouping: Grouping) -> list[Call]:
    """The requests that ask all items.

    Args:
        items: The queries.
        grouping: How they are put together.
    """
    families: defaultdict[Hashable, list[int]] = defaultdict(list)
    calls: list[Call] = []
    for position, item in enumerate(items):
        if item.alone or grouping.group_size == 1:
            calls.append(Alone(position))
        else:
            families[(item.before, item.turns)].append(position)
    for family in families.values():
        for shared, positions in _alike([items[p].text for p in family], family, grouping):
            for chunk in _chunks(items, positions, shared, grouping):
                together = _together(items, chunk, shared, grouping)
                if together is not None:
                    calls.append(together)
                else:
                    calls += [Alone(position) for position in chunk]
    return calls


def _alike(
    texts: Sequence[str], positions: Sequence[int], grouping: Grouping
) -> list[tuple[str, list[int]]]:
    """Texts by the beginning that they share, where it is worth taking out; positions ascend."""
    count = grouping.count_tokens
    clusters: list[tuple[str, list[int]]] = []
    for text, position in sorted(zip(texts, positions, strict=True)):
        if clusters:
            before, members = clusters[-1]
            common = _common(before, text)
            least = _WORTH if len(members) == 1 else max(_WORTH, count(before) / 2)
            if common and count(common) >= least:
                clusters[-1] = (common, [*members, position])
                continue
        clusters.append((text, [position]))
    shared = [(before, sorted(members)) for before, members in clusters if len(members) > 1]
    single = sorted(p for _, members in clusters if len(members) == 1 for p in members)
    return [*shared, ("", single)] if single else shared


def _common(one: str, other: str) -> str:
    """The beginning that two texts share, up to the end of a word or line."""
    length = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    common = one[: min(len(one), len(other)) if length is None else length]
    found = re.match(r"(?s).*\s", common)
    return found[0] if found else ""


def _chunks(
    items: Sequence[Item], positions: Sequence[int], shared: str, grouping: Grouping
) -> list[list[int]]:
    """Groups of about equal size that fit the token budget."""
    most = grouping.group_size or UNMEASURED
    groups = -(-len(positions) // most)
    most = -(-len(positions) // groups)
    count = grouping.count_tokens
    chunks: list[list[int]] = []
    used = 0
    for position in positions:
        item = items[position]
        own = count(item.text[len(shared) :]) + _PER_ANSWER
        if chunks and len(chunks[-1]) < most and used + own <= grouping.token_budget:
            chunks[-1].append(position)
            used += own
            continue
        chunks.append([position])
        frame = count(numbered.request(["", ""], shared)) + _OVERHEAD
        turns = sum(count(text) for turn in item.turns for text in turn)
        used = item.before_tokens + 2 * turns + frame + own
    return chunks


def _together(
    items: Sequence[Item], positions: Sequence[int], shared: str, grouping: Grouping
) -> Together | None:
    """The request for a group, or None if its items are better asked alone."""
    if len(positions) < 2:
        return None
    first, count = items[positions[0]], grouping.count_tokens
    own = [items[position].text[len(shared) :] for position in positions]
    example = None
    if first.turns:
        asked, answered = zip(*first.turns, strict=True)
        if not all(text.startswith(shared) for text in asked):
            own, shared = [items[position].text for position in positions], ""
        asked = tuple(text[len(shared) :] for text in asked)
        example = numbered.request(asked, shared), numbered.reply(answered)
    text = numbered.request(own, shared)
    tokens = first.before_tokens + count(text) + _OVERHEAD + sum(map(count, example or ()))
    if tokens > grouping.token_budget:
        return None
    if grouping.group_size is None:
        turns = sum(count(text) + _OVERHEAD for turn in first.turns for text in turn)
        apart = sum(
            first.before_tokens + turns + count(items[position].text) + _OVERHEAD
            for position in positions
        )
        if tokens + _OUTPUT_PRICE * _PER_ANSWER * len(positions) >= apart:
            return None
    weights = [float(count(text)) for text in own]
    rest = max(tokens - sum(weights), 0.0) / len(positions)
    return Together(tuple(positions), text, example, tuple(weight + rest for weight in weights))
