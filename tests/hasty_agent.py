"""An agent with a fault that was put in on purpose: it takes every run for accepting at once, so that routes are
published before anybody listens. The checker of the fault schedules must find it.
"""

import sys

from hostel.agent import website
from hostel.agent.__main__ import main
from hostel.agent.sandbox import Sandbox, Sandboxes
from hostel.wire.website import WebsiteSpec


async def _at_once(sandbox: Sandbox, spec: WebsiteSpec, *, sandboxes: Sandboxes) -> None:
    """In place of waiting until `sandbox` accepts."""


assert hasattr(website, "until_accepting")
website.until_accepting = _at_once

if __name__ == "__main__":
    sys.exit(main())
