"""Where agents, engines and their parts keep their models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from llama_index.core.agent.workflow import AgentWorkflow, BaseWorkflowAgent
from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.base_selector import BaseSelector
from llama_index.core.chat_engine.types import BaseChatEngine
from llama_index.core.indices.query.query_transform.base import BaseQueryTransform
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.llms import LLM
from llama_index.core.memory.types import BaseMemory
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.prompts.mixin import PromptMixin
from llama_index.core.response_synthesizers import BaseSynthesizer
from llama_index.core.schema import TransformComponent
from llama_index.core.tools.types import BaseTool
from llama_index.core.types import BasePydanticProgram
from pydantic import BaseModel

from frugal_core.errors import FrugalError

_PARTS = (
    AgentWorkflow,
    BaseWorkflowAgent,
    BaseQueryEngine,
    BaseChatEngine,
    BaseSynthesizer,
    BaseRetriever,
    BaseSelector,
    BaseQueryTransform,
    BaseNodePostprocessor,
    BasePydanticProgram,
    BaseMemory,
    BaseTool,
    IngestionPipeline,
    PromptMixin,
    TransformComponent,
)
"""What may hold a model; stores, indices and nodes are not searched."""


def replace_models(holder: Any, replace: Callable[[LLM], LLM]) -> int:
    """Replace the models of an object and of its parts, in place.

    Args:
        holder: An agent, an engine, or anything that has a model.
        replace: Gives a model's replacement.

    Returns:
        How many models there were.

    Raises:
        FrugalError: if there is none.
    """
    twins: dict[int, tuple[LLM, LLM]] = {}
    seen: dict[int, Any] = {}

    def twin(model: LLM) -> LLM:
        # The original is kept beside its twin, or its id could be given away.
        return twins.setdefault(id(model), (model, replace(model)))[1]

    def visit(part: Any) -> None:
        if id(part) in seen:
            return
        seen[id(part)] = part
        for value, put in _slots(part):
            if isinstance(value, LLM):
                put(twin(value))
            elif isinstance(value, (list, dict, tuple, *_PARTS)):
                visit(value)

    visit(holder)
    if not twins:
        raise FrugalError(
            f"attach: no model found in {type(holder).__name__}; give an agent or an engine, or "
            "wrap its model with wrap(llm) before it is made"
        )
    return len(twins)


def _slots(part: Any) -> Iterator[tuple[Any, Callable[[Any], None]]]:
    """What an object holds, each with what puts something else in its place."""
    if isinstance(part, dict):
        for key, value in list(part.items()):
            yield value, partial(part.__setitem__, key)
    elif isinstance(part, list):
        for place, value in enumerate(list(part)):
            yield value, partial(part.__setitem__, place)
    elif isinstance(part, tuple):
        for value in part:
            yield value, _cannot_put
    else:
        held = dict(getattr(part, "__dict__", None) or {})
        if isinstance(part, BaseModel):
            held |= part.__pydantic_private__ or {}
        for name, value in held.items():
            yield value, partial(setattr, part, name)


def _cannot_put(new: Any) -> None:
    """Models in a tuple stay as they are."""
