"""A process in which nobody hears of calls, whatever earlier tests have left: only then is there a short cut."""

from __future__ import annotations

import pytest

from resilience import _attempt_shortcut, _shortcut, _way_finder
from resilience._breaker_hearing import Heard
from resilience._hub import Hub
from resilience._override import Override


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Providers of OpenTelemetry, for one, cannot be taken back."""
    monkeypatch.setattr(Hub, "listeners", ())
    monkeypatch.setattr(Heard, "by", None)
    monkeypatch.setattr(Override, "mode", None)
    monkeypatch.setattr(_shortcut, "observers", [])
    monkeypatch.setattr(_attempt_shortcut, "observers", [])
    monkeypatch.setattr(_way_finder, "observers", [])
    monkeypatch.setattr(_way_finder, "is_measured", lambda: False)
    monkeypatch.setattr(_shortcut, "is_traced", lambda: False)
