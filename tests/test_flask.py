"""What Flask does by itself stays so with the extension."""

from __future__ import annotations

from typing import Any

import flask
import pytest

from resilience.errors import ConfigurationError
from resilience.flask import Resilience


@pytest.mark.parametrize("setting", ["TRAP_BAD_REQUEST_ERRORS", "TRAP_HTTP_EXCEPTIONS", None])
@pytest.mark.parametrize("testing", [False, True])
def test_http_errors_are_trapped_as_without_us(*, setting: str | None, testing: bool) -> None:
    """As a page for a mistake of the application, or in tests as the error itself."""

    def answers(*, ours: bool) -> list[Any]:
        app: Any = flask.Flask("shop")
        app.config.update({"TESTING": testing, **({setting: True} if setting else {})})
        app.add_url_rule("/key", view_func=lambda: flask.request.args["missing"], endpoint="key")
        app.add_url_rule("/teapot", view_func=lambda: flask.abort(418), endpoint="teapot")
        if ours:
            Resilience(app)
        found: list[Any] = []
        for path in ("/key", "/teapot", "/nowhere"):
            try:
                found.append(app.test_client().get(path).status_code)
            except Exception as error:
                found.append(type(error))
        return found

    assert answers(ours=False) == answers(ours=True)


def test_an_app_is_wrapped_once() -> None:
    """By one extension; another has other options, and neither can know which count."""
    app, extension = flask.Flask("shop"), Resilience()
    extension.init_app(app)
    once = app.wsgi_app
    extension.init_app(app)

    assert once is app.wsgi_app
    with pytest.raises(ConfigurationError, match="this Flask app has a Resilience already"):
        Resilience(app)
