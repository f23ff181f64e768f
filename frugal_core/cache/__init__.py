"""The semantic cache: exact layer, guards, a certified threshold, and stores."""

from frugal_core.cache.calibration import CacheCertificate
from frugal_core.cache.hit import Hit
from frugal_core.cache.semantic import SemanticCache
from frugal_core.cache.turns import Turn

__all__ = ["CacheCertificate", "Hit", "SemanticCache", "Turn"]
