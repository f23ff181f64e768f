"""The demo end to end, with the real local model on a few real headlines."""

from __future__ import annotations

_QUESTIONS = 48
