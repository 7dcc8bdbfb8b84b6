"""Why the edge cannot start. Each message says what to do next."""

from hostel.wire.errors import HostelError


class EdgeCannotStart(HostelError):
    """The edge cannot start."""

    code = "edge_cannot_start"


class MissingPrerequisite(EdgeCannotStart):
    """A program or module that the edge needs is not installed."""

    code = "missing_prerequisite"


class PortInUse(EdgeCannotStart):
    """A port that the edge is to listen on is taken."""

    code = "port_in_use"


class NoCertificate(EdgeCannotStart):
    """The certificate of the sites domain did not appear in time."""

    code = "no_certificate"


class BadNginxConfiguration(EdgeCannotStart):
    """nginx refuses its configuration."""

    code = "bad_nginx_configuration"
