"""A web service whose provider hangs: what its own callers notice, with four workers and real processes."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from pathlib import Path
from types import ModuleType

import pytest

OUTAGE = Path(__file__).parent.parent / "benchmarks" / "outage.py"


def outage() -> ModuleType:
    """The program that measures it."""
    spec = importlib.util.spec_from_file_location("outage", OUTAGE)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["outage"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP") or not hasattr(os, "fork"), reason="nothing can be stopped here")
def test_its_callers_have_an_answer_in_time_and_it_recovers_by_itself() -> None:
    """Within the deadline, with Retry-After once the breaker is open, and good answers when the provider is back."""
    module = outage()

    result = module.measure(20.0, (2.0, 6.0, 14.0), protected=True)

    assert [] == module.misses(result), result
    assert 0 < result.phases["outage"].statuses[503]
    assert result.recovered <= 14.0
