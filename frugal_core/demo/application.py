"""What stands before the cascade comes: a model, or several, and the prompt they are sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from frugal_core.adapt.examples import ExamplePool
from frugal_core.errors import FrugalError
from frugal_core.local_model import (
    MODEL_NAME,
    Headline,
    LocalModel,
    LocalModelError,
    find_weights,
    load_headlines,
)
from frugal_core.pricing import Price, PriceBook

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

SYSTEM = "Is the headline real news or satire? Answer with one word: news or satire."
EXAMPLES = 2
FIXED = 8
"""Examples of a prompt that shows the same ones to every headline, half of them satire."""
PRICED_AS = "gpt-4.1-nano"

Prompt = Callable[[str], list[tuple[str, str]]]
"""The application's prompt: a headline to chat messages, as (role, text)."""


def check_packages(local: bool) -> None:
    """Refuse to start without what is needed.

    Args:
        local: Whether the local model is needed, too.

    Raises:
        FrugalError: with every command that installs what is missing.
    """
    missing = []
    if find_spec("langchain_openai") is None:
        missing.append("the demo needs LangChain: pip install 'frugal-cascade[langchain]'")
    for find in [load_headlines, *([find_weights] if local else [])]:
        try:
            find()
        except LocalModelError as error:
            missing.append(str(error))
    if missing:
        raise FrugalError("; ".join(missing))


@dataclass(frozen=True)
class Application:
    """What stands before the cascade comes.

    Args:
        models: By name, cheapest first; the last is the one in use.
        prompt: The application's.
        prices: Of the models.
        introduction: What to say about them.
        concurrency: Calls at the same time.
        local: Whether asking costs nothing but time.
        fixed: The prompt as it was before examples were selected; None if it has none.
    """

    models: Mapping[str, BaseChatModel]
    prompt: Prompt
    prices: PriceBook
    introduction: str
    concurrency: int
    local: bool
    fixed: Prompt | None = None

    @property
    def reference(self) -> str:
        """The model in use."""
        return list(self.models)[-1]


def local_application(server: LocalModel, labelled: list[Headline]) -> Application:
    """The local model; its prompt shows the labelled headlines that are most like the new one.

    Args:
        server: Runs already.
        labelled: The headlines to choose from.
    """
    from langchain_openai import ChatOpenAI

    options: dict[str, Any] = {"base_url": server.base_url, "api_key": "none", "timeout": 60}
    options |= {"temperature": 0, "max_tokens": 3, "logprobs": True}
    model = ChatOpenAI(model=MODEL_NAME, **options)
    listed = PriceBook().price(PRICED_AS)
    return Application(
        {MODEL_NAME: model},
        _selected(labelled),
        PriceBook({MODEL_NAME: Price(listed.input, listed.output)}),
        f"{MODEL_NAME} runs on this machine, behind the real ChatOpenAI. It is free; in this demo "
        f"its tokens are priced as those of {PRICED_AS}, {listed.input:.2f} and "
        f"{listed.output:.2f} USD per million. Its prompt shows the {EXAMPLES} most similar of "
        f"{len(labelled):,} labelled headlines.",
        concurrency=1,
        local=True,
        fixed=_fixed(labelled),
    )


def _selected(labelled: Sequence[Headline]) -> Prompt:
    """Shows the examples that are most like the headline, the most similar one last."""
    pool = ExamplePool([(headline.text, headline.label) for headline in labelled], k=EXAMPLES)

    def prompt(headline: str) -> list[tuple[str, str]]:
        shown = pool.select(headline)
        return _few_shot([(example.text, example.answer or "") for example in shown], headline)

    return prompt


def _fixed(labelled: Sequence[Headline]) -> Prompt:
    """Shows the same examples to every headline, each label in turn."""
    by_label = [[h for h in labelled if h.label == label] for label in ("news", "satire")]
    turns = zip(*by_label, strict=False)
    shown = [(h.text, h.label) for pair in turns for h in pair][:FIXED]
    return lambda headline: _few_shot(shown, headline)


def _few_shot(shown: Sequence[tuple[str, str]], headline: str) -> list[tuple[str, str]]:
    turns = [("system", SYSTEM)]
    for text, label in shown:
        turns += [("human", text), ("ai", label)]
    return [*turns, ("human", headline)]


def real_application(names: Sequence[str]) -> Application:
    """Models behind a provider's interface, which need no examples.

    Args:
        names: "provider:model", cheapest first.

    Raises:
        FrugalError: if a model has no price or cannot be made.
    """
    from langchain_frugal.asking import chat_models

    prices = PriceBook()
    for name in names:
        prices.price(name)
    return Application(
        chat_models(names),
        lambda headline: [("system", SYSTEM), ("human", headline)],
        prices,
        f"The models are {', '.join(names)}, at their list prices. {names[-1]} is the one in use.",
        concurrency=8,
        local=False,
    )
