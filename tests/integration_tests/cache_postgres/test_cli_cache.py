"""`frugal cache` on a real server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from frugal_core.cache import SemanticCache
from tests.unit_tests.core.test_cli import refused, run

if TYPE_CHECKING:
    from tests.integration_tests.cache_postgres.server import Server

PASSWORD = "xyzzy"


def test_every_command_without_the_password(server: Server) -> None:
    url = server.url()
    with SemanticCache(url, scope="command") as cache:
        cache.store("What is the best way to learn Python?", "Write programs.")
    printed = []
    for command in (
        ["stats", "--scope", "command"],
        ["list", "--scope", "command", "--answers"],
        ["serve-check", "what is the best way to learn python", "--scope", "command"],
        ["export", "--scope", "command"],
        ["purge", "--everything", "--scope", "command", "--yes"],
    ):
        result = run("cache", *command, "--location", url)
        assert result.exit_code == 0, result.output
        assert PASSWORD not in result.output
        printed.append(result.stdout)
    assert "entries   1   " in printed[0] and "127.0.0.1" in printed[0]
    assert printed[2].startswith("Served by meaning")
    assert json.loads(printed[3])["by_meaning"] is True
    assert printed[4] == "1 entry deleted.\n"


def test_a_wrong_password_is_one_line(server: Server) -> None:
    said = refused(run("cache", "stats", "--location", server.url(password="not-xyzzy")))
    assert PASSWORD not in said
