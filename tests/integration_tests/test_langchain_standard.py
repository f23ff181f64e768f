"""LangChain's own tests of chat models, over two real `ChatOpenAI` tiers on a scripted server.

Twice: once where the first tier's answers are accepted, once where every call escalates.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_frugal import FrugalCascadeLLM
from tests.servers import ScriptedServer
from tests.servers.compliant import Compliant


def accepts(query: str, answer: str) -> float:
    return 1.0


def rejects(query: str, answer: str) -> float:
    return 0.0


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer({"cheap": Compliant(), "strong": Compliant()}) as running:
        yield running


class _Cascade:
    """What the suites need to know; `scorer` makes the difference between the variants."""

    scorer: Any
    answered_by: str

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return FrugalCascadeLLM

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "tiers": ["openai:cheap", "openai:strong"],
            "scorer": type(self).scorer,
            "base_url": self._base_url,
            "api_key": "test",
        }

    @pytest.fixture(autouse=True)
    def _use_server(self, server: ScriptedServer) -> None:
        type(self)._base_url = server.base_url

    _base_url = "http://127.0.0.1:9/v1"

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return False

    @property
    def model_override_value(self) -> str:
        return "cheap"


_SERDES = pytest.mark.xfail(
    reason="load() admits only classes in langchain-core's own mapping; see test_identity.py"
)


class TestUnitAccepting(_Cascade, ChatModelUnitTests):
    scorer = staticmethod(accepts)

    @_SERDES
    def test_serdes(self, *args: Any) -> None:
        super().test_serdes(*args)


class TestUnitEscalating(_Cascade, ChatModelUnitTests):
    scorer = staticmethod(rejects)

    @_SERDES
    def test_serdes(self, *args: Any) -> None:
        super().test_serdes(*args)


class TestAccepting(_Cascade, ChatModelIntegrationTests):
    scorer = staticmethod(accepts)


class TestEscalating(_Cascade, ChatModelIntegrationTests):
    scorer = staticmethod(rejects)
