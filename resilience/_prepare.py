"""A request as the layers see it: its provider, operation, options and account; and as its caller had it, when all is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._deadline import restore_timeouts
from ._idempotency import check_key
from ._options import read_options
from ._outcome import Exchange
from ._own_headers import give_back, with_own_headers
from ._pays import check_cost
from ._replay import replayable
from ._scopes import account_of, operation_of
from ._trail import Trail

if TYPE_CHECKING:
    from ._clock import Closing
    from ._library import Library, Request
    from ._registry import Policies, Source
    from ._transactions import Store

__all__ = ["exchange_of", "prepare", "restore"]

_FIRST = "resilience.provider"


def prepare(request: Request, policies: Policies, library: Library, closing: Closing, store: Store) -> Exchange | None:
    """The call as the layers see it, or `None` where no policy applies to it.

    Raises:
        ConfigurationError: the request's own options cannot be honoured.
    """
    source = policies.source_of(request.url)
    return None if source is None else exchange_of(request, source, library, closing, store)


def exchange_of(request: Request, source: Source, library: Library, closing: Closing, store: Store) -> Exchange | None:
    """The same where it is known which policy speaks of the host.

    Arguments:
        request: as the client sends it.
        source: the policy of its host.
        library: of the client.
        closing: set when the client is closed.
        store: where the states are.

    Raises:
        ConfigurationError: the request's own options cannot be honoured.
    """
    policy = source.policy()
    extensions = request.extensions
    options = read_options(extensions)
    if options.off:
        return None
    if options.names_provider and extensions.setdefault(_FIRST, policy.provider) != policy.provider:
        # A redirect has led elsewhere and taken the options along; what they name is the first provider's.
        options = options.elsewhere()
    operation = operation_of(policy, request, options)
    given = request if policy.idempotency is not None or policy.propagate is not None else None
    if given is not None:
        request = with_own_headers(given)
    exchange = Exchange(
        request, policy, operation, options, Trail(policy.provider, operation), closing, store, source.settings
    )
    exchange.given = given
    if policy.account is not None:
        exchange.account = account_of(policy.account, request)
    check_key(exchange)
    if options.cost is not None:
        check_cost(exchange)
    exchange.extensions = extensions
    exchange.replay = replayable(library, request, policy.replay)
    return exchange


def restore(exchange: Exchange) -> None:
    """Give the request its own stream and timeouts back: a redirect or the application may use them.

    Arguments:
        exchange: its call, which is over.
    """
    request = exchange.request
    if exchange.replay is not None and request.stream is exchange.replay:
        request.stream = exchange.replay.source
    if exchange.cuts:
        restore_timeouts(exchange)
    if exchange.given is not None:
        give_back(request, exchange.given)
