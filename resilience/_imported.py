"""What this process has imported: a module that another thread is still importing is not there yet."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["imported"]


def imported(name: str) -> Any | None:
    """A module, if somebody has imported it to its end; whoever runs code of it has.

    Arguments:
        name: of the module, with its packages.
    """
    module = sys.modules.get(name)
    # As the statement `import` knows whether it has to wait for another thread; private, and `False` where it is not there.
    if module is not None and getattr(getattr(module, "__spec__", None), "_initializing", False):
        return None
    return module
