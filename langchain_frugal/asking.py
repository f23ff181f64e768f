"""Ask chat models one by one, as a cascade asks them: what records answers needs no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage

from frugal_core.cascade import Failure, Reply
from frugal_core.errors import FrugalError, describe
from frugal_core.tiers import check_arguments, make_tier
from langchain_frugal._replies import read_error, read_message
from langchain_frugal._tiers import CHAT_MODELS

REMEDY = (
    "check the model's name, the provider's key in the environment (OPENAI_API_KEY, ...) and that "
    "the server can be reached"
)
"""What helps in nearly every case in which a model cannot be made, or never answers."""


def chat_models(
    names: Sequence[str], arguments: Mapping[str, Any] | None = None
) -> dict[str, BaseChatModel]:
    """Make the models that "provider:model" names, as a cascade makes its tiers.

    Where a cascade would ask a model for log-probabilities, the model made here gives them.

    Args:
        names: The models.
        arguments: What each of them gets, by the names of `ChatOpenAI`.

    Returns:
        The models by name, in this order.

    Raises:
        FrugalError: if a package or a key is missing, or if an argument is not for these models.

    Example:
        >>> chat_models(["openai:gpt-4o-mini"], {"temperature": 0})  # doctest: +SKIP
    """
    arguments = arguments or {}
    check_arguments(CHAT_MODELS, names, arguments)
    return {name: _chat_model(name, arguments) for name in names}


def _chat_model(name: str, arguments: Mapping[str, Any]) -> BaseChatModel:
    try:
        tier = make_tier(CHAT_MODELS, name, name, arguments, wants_log_probs=True)
    except FrugalError:
        raise
    except Exception as error:  # a provider's client complains in its own way
        raise FrugalError(f"tier {name!r}: {describe(error)}; {REMEDY}") from error
    assert tier.model is not None, "only a student has no model"
    return tier.model.model_copy(update=dict(tier.draft_options))


def asking(
    model: BaseChatModel, prompt: Callable[[str], LanguageModelInput]
) -> Callable[[str], Reply | Failure]:
    """How to ask a model one question after the other.

    Args:
        model: The model.
        prompt: What it is sent for a question.

    Returns:
        A function of the question that never raises; what was bought before a failure is in it.

    Example:
        >>> ask = asking(model, lambda question: question)  # doctest: +SKIP
        >>> ask("What is the capital of France?").text  # doctest: +SKIP
        'Paris'
    """

    def ask(question: str) -> Reply | Failure:
        try:
            # No callbacks: these calls are no part of an application that is being traced.
            return reply_of(model.invoke(prompt(question), {"callbacks": []}))
        except Exception as error:
            return read_error(error)[0]

    return ask


def reply_of(message: AIMessage) -> Reply:
    """What a message is to the core: its text, tokens, confidence, and why it is of no use.

    Args:
        message: As a chat model, or a cascade, returned it.
    """
    return read_message(message, None)
