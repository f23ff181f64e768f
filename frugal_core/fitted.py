"""The ways to make a cascade from a policy, the same in every framework."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from frugal_core.assembly import fit_policy
from frugal_core.tiers import Models

if TYPE_CHECKING:
    from frugal_core import Policy, Recording


class Fitted:
    """Constructors of a cascade, whose class takes `policy` and `tiers` among its arguments."""

    @classmethod
    def _models(cls) -> Models[Any]:
        """What the framework's models are."""
        raise NotImplementedError

    @classmethod
    def from_policy(
        cls,
        policy: Policy | str | os.PathLike[str],
        tiers: Sequence[Any] | Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> Self:
        """A cascade that follows a fitted policy.

        Args:
            policy: The policy or its file.
            tiers: Models for the policy's tiers, matched by name; built from the names if omitted.
            **arguments: As for the constructor.

        Raises:
            PolicyError: if the file is broken, or a tier of the policy is missing.
        """
        construct: Any = cls
        made: Self = construct(policy=policy, tiers=tiers, **arguments)
        return made

    @classmethod
    def fit(
        cls,
        recording: Recording | str | os.PathLike[str],
        *,
        tiers: Sequence[Any] | Mapping[str, Any] | None = None,
        promise: Any = None,
        budget: Any = None,
        prices: Any = None,
        reference: str = "best",
        student: bool = True,
        labels: Literal["gold", "reference"] = "gold",
        seed: int = 0,
        **arguments: Any,
    ) -> Self:
        """Fit a policy on recorded answers and return the cascade that follows it.

        The policy is the cascade's `policy`: save it with `llm.policy.save(path)`.

        Args:
            recording: Queries with every model's answers, or their file.
            tiers: The models that may be used, as for the constructor; all of the recording's by
                default.
            promise, budget, reference, student, labels, seed: See `frugal_core.fit`.
            prices: USD per million tokens by model, over the built-in table.
            **arguments: As for the constructor.

        Raises:
            FitError: if no policy can be fitted on the recording.
        """
        policy = fit_policy(
            cls._models(),
            recording,
            tiers,
            prices,
            promise=promise,
            budget=budget,
            reference=reference,
            student=student,
            labels=labels,
            seed=seed,
        )
        return cls.from_policy(policy, tiers, **arguments)
