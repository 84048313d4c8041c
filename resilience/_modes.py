"""What a layer does with its decisions: obey them, only record them, or make none."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, get_args

__all__ = ["LAYERS", "Layer", "Mode"]


class Mode(StrEnum):
    """What a layer does with its decisions."""

    ENFORCE = "enforce"
    """Obey them."""
    OBSERVE = "observe"
    """Make, count and record them, and let every call through undelayed."""
    OFF = "off"
    """Make none."""


Layer = Literal["retry", "retry_budget", "credits", "breaker", "limiter", "concurrency"]
"""The layers that a mode can be set for."""
LAYERS: tuple[Layer, ...] = get_args(Layer)
