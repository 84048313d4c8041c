"""The docstrings of fields come from the source, and nothing is read before they are asked for."""

from __future__ import annotations

import subprocess
import sys

from resilience._field_docs import field_docs
from resilience._model import Model
from resilience._policy import Policy


def models(root: type[Model]) -> list[type[Model]]:
    return [each for below in root.__subclasses__() for each in (below, *models(below))]


def test_every_field_of_every_model_has_its_docstring() -> None:
    """Those that a model takes from another one too; and nothing that is no field."""
    for model in (each for each in models(Model) if each.__module__.startswith("resilience.")):
        assert model.model_fields.keys() == field_docs(model).keys(), model
    assert "How long a call may take in all, its waits included." == field_docs(Policy)["deadline"]


def test_models_are_made_without_reading_their_source() -> None:
    """A program's first call would wait for it."""
    program = "import sys, resilience._policy; print('resilience._field_docs' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "False" == done.stdout.strip()
