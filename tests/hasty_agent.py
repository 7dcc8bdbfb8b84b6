"""An agent with a fault that was put in on purpose: it takes every run for accepting at once, so that routes are
published before anybody listens. The checker of the fault schedules must find it.
"""

import sys

from hostel.agent.__main__ import main
from hostel.agent.sandbox import Sandbox
from hostel.agent.website import Website
from hostel.wire.website import WebsiteSpec


async def _at_once(self: Website, sandbox: Sandbox, spec: WebsiteSpec) -> None:
    """In place of waiting until `sandbox` accepts."""


assert hasattr(Website, "_until_accepting")
Website._until_accepting = _at_once  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.exit(main())
