"""What a cascade is to LangChain: its identity in cache keys, and what it can do."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from uuid import uuid4

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.load import dumps

from frugal_core import arguments
from frugal_core.secrecy import without_secrets
from langchain_frugal._arguments import public
from langchain_frugal._tiers import CHAT_MODELS, ChatAssembly


def identity(assembly: ChatAssembly, on_failure: str) -> dict[str, Any]:
    """What tells one cascade from another, for traces and cache keys."""
    plan = assembly.plan
    tiers = [{"name": tier.name, **_parameters(tier.model)} for tier in assembly.tiers]
    shown: dict[str, Any] = {
        "tiers": tiers,
        "scorer": plan.scorer.id,
        "thresholds": list(plan.thresholds),
        "policy": assembly.policy_digest,
        "on_failure": on_failure,
    }
    hidden = [_words(tier.model) for tier in assembly.tiers]
    digest = hashlib.sha256(json.dumps([shown, hidden], default=str).encode())
    return {"model_name": assembly.tiers[-1].name, **shown, "fingerprint": digest.hexdigest()}


def _parameters(model: BaseChatModel | None) -> dict[str, Any]:
    if model is None:
        return {}
    shown: dict[str, Any] = without_secrets(model._identifying_params, public)
    return shown


def _words(model: BaseChatModel | None) -> str:
    """Everything that shapes a tier's answers, in words that may hold what must not be shown."""
    if model is None:
        return "student"
    if model.is_lc_serializable():
        return dumps(model)  # `_get_llm_string` of a changed copy speaks of its original
    # Two models that say nothing about themselves must not be taken for one.
    return model._get_llm_string() if model._identifying_params else uuid4().hex


def described(value: Any) -> Any:
    """An argument in plain values: no key, no client, no weights."""
    return arguments.described(
        value, lambda one: CHAT_MODELS.name_of(one) if isinstance(one, BaseChatModel) else None
    )


def common_profile(assembly: ChatAssembly) -> ModelProfile | None:
    """What every tier can do: all of them for a capability, the smallest of them for a limit."""
    profiles: list[Any] = [tier.model.profile for tier in assembly.tiers if tier.model is not None]
    if not profiles or not all(profiles):
        return None
    common: Any = {}
    for name, value in profiles[0].items():
        values = [profile.get(name) for profile in profiles]
        if isinstance(value, bool):
            common[name] = all(values)
        elif isinstance(value, int) and all(isinstance(other, int) for other in values):
            common[name] = min(values)
    return common or None
