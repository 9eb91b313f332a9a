"""The problems of requests whose key is missing, refused, or may not do what they ask."""

from collections.abc import Collection
from http import HTTPStatus

from pollux.runtime.keys import KeyScope, in_order
from services.common.problems import ProblemError

REALM = 'Bearer realm="pollux"'


def unauthorized() -> ProblemError:
    """The problem of a request without an accepted key."""
    return ProblemError(
        HTTPStatus.UNAUTHORIZED,
        "key-required",
        "Key required",
        "Send a key of this installation as: Authorization: Bearer <key>.",
        headers={"WWW-Authenticate": REALM},
    )


def expired() -> ProblemError:
    """The problem of a key that was accepted once."""
    return ProblemError(
        HTTPStatus.UNAUTHORIZED,
        "key-expired",
        "Key expired",
        "This key has expired, or was replaced by another one.",
        headers={"WWW-Authenticate": f'{REALM}, error="invalid_token"'},
    )


def lacks_scope(name: str, needs: KeyScope, scopes: Collection[KeyScope]) -> ProblemError:
    """The problem of a key that opens other routes than this one."""
    return ProblemError(
        HTTPStatus.FORBIDDEN,
        "scope-missing",
        "Scope missing",
        f"This needs the scope {needs}. The key {name} has {', '.join(in_order(scopes))}.",
        headers={"WWW-Authenticate": f'{REALM}, error="insufficient_scope", scope="{needs}"'},
    )


def too_many_requests(per_minute: int, seconds: int) -> ProblemError:
    """The problem of a key that asks more often than it may."""
    return ProblemError(
        HTTPStatus.TOO_MANY_REQUESTS,
        "too-many-requests",
        "Too many requests",
        f"This key may ask {per_minute} times a minute.",
        headers={"Retry-After": str(seconds)},
    )
