"""Real servers the tests talk to over real sockets."""

from tests.servers.compliant import Compliant
from tests.servers.scripted import Answer, Fault, Request, ScriptedServer, ToolCall, Usage

__all__ = ["Answer", "Compliant", "Fault", "Request", "ScriptedServer", "ToolCall", "Usage"]
