"""Where limits, permits, breakers and budgets keep their state: in this process, in a file, or in Redis."""

from __future__ import annotations

from ._errors import StoreError
from ._fallback import ask
from ._open import forget_all, forget_memory, open_aside, open_store, opened_stores

__all__ = ["StoreError", "ask", "forget_all", "forget_memory", "open_aside", "open_store", "opened_stores"]
