"""What can go wrong at the gateway, each with a message that says what to do.

Belongs here: the errors of cohorts, enrichments and their sources. Does not belong here: errors of
models (`pollux.propensity`), and the base of all (`pollux.runtime.errors`).
"""

from pollux.runtime.errors import PolluxError


class GatewayError(PolluxError):
    """The base of every error of the gateway."""


class UnknownCustomer(GatewayError, LookupError):  # noqa: N818
    """No customer in the domain's release, or in the cohort, has that id."""


class UnknownColumn(GatewayError, LookupError):  # noqa: N818
    """A condition names a column that the customers of the domain do not have."""


class UnknownEnrichment(GatewayError, LookupError):  # noqa: N818
    """No enrichment of that name is registered; the message lists those that are."""


class NoDatabaseError(GatewayError):
    """The serving database is not running or cannot be reached."""

    exit_code = 3


class NothingReleasedError(GatewayError):
    """The domain has no release to read."""


class ReleaseGoneError(GatewayError):
    """The release that a cohort was read from is no longer kept."""
