"""Where limits, permits, breakers and budgets keep their state: in this process, in a file, or in Redis."""

from __future__ import annotations

from ._open import forget_all, open_store

__all__ = ["forget_all", "open_store"]
