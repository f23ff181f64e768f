"""What LangChain's chat models are to the core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel

from frugal_core.assembly import Assembly
from frugal_core.errors import FrugalError
from frugal_core.tiers import OPENAI

Tiers = Sequence[BaseChatModel | str] | Mapping[str, BaseChatModel | str]
"""Tiers as a user gives them: in order, or by name."""

ChatAssembly = Assembly[BaseChatModel]


class ChatModels:
    """See `frugal_core.tiers.Models`."""

    kind: Any = BaseChatModel
    one = "a chat model"
    many = "chat models"
    endpoint = frozenset({"api_key", "base_url", "organization"})
    base_url = "base_url"

    def name_of(self, model: BaseChatModel) -> str:
        """What LangChain's own tracing calls the model; every integration provides it."""
        return str(model._get_ls_params().get("ls_model_name") or type(model).__name__)

    def provider_of(self, model: BaseChatModel) -> str | None:
        """Whose model it is, by LangChain's own tracing."""
        return model._get_ls_params().get("ls_provider")

    def build(
        self, spec: str, provider: str, model: str, arguments: Mapping[str, Any]
    ) -> BaseChatModel:
        """Make the chat model that "provider:model" names."""
        try:
            if provider == OPENAI:
                from langchain_openai import ChatOpenAI

                return ChatOpenAI(model=model, **arguments)
            from langchain.chat_models import init_chat_model

            built: BaseChatModel = init_chat_model(model, model_provider=provider, **arguments)
            return built
        except ImportError as error:
            raise FrugalError(f"tier {spec!r}: {error}") from error
        except ValueError as error:
            if not str(error).startswith("Unsupported"):
                raise
            raise FrugalError(
                f"tier {spec!r}: LangChain knows no provider {provider!r}; for a model behind "
                f'OpenAI\'s interface write "openai:{spec}"'
            ) from error

    def gives_log_probs(self, model: BaseChatModel) -> bool | None:
        """Whether it was told to; the Responses API takes no such argument."""
        if uses_responses_api(model, {}):
            return False
        told: bool | None = getattr(model, "logprobs", False)
        return told

    def prepare(self, model: BaseChatModel) -> BaseChatModel:
        """Unless told to, ChatOpenAI streams no usage from an endpoint other than OpenAI's own."""
        if getattr(model, "stream_usage", "no such field") is None:
            return model.model_copy(update={"stream_usage": True})
        return model


CHAT_MODELS = ChatModels()


def uses_responses_api(model: BaseChatModel, arguments: Mapping[str, Any]) -> bool:
    """Whether a call goes to OpenAI's Responses API; ChatOpenAI decides by its arguments, too."""
    decides = getattr(model, "_use_responses_api", None)
    return decides is not None and decides({**getattr(model, "model_kwargs", {}), **arguments})
