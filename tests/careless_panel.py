"""A panel with a fault that was put in on purpose, over the database and the agent of a real platform: the look-up of a
website goes beyond its owner's. The fuzzing of the API must find it.

Listens on 127.0.0.1 at the port that is given; HOSTEL_ROOT names the platform's root.
"""

import sys

import uvicorn

from hostel.panel.asgi import application


def look_beyond_the_owner() -> None:
    from hostel.panel.api.views import OwnersView
    from hostel.panel.websites.models import Website

    assert hasattr(OwnersView, "get_website")

    def anybodys(self: OwnersView, domain_name: str) -> Website:
        """In place of looking among the caller's own."""
        return Website.objects.filter(canonical_name=domain_name.lower()).get()

    OwnersView.get_website = anybodys  # type: ignore[method-assign]


if __name__ == "__main__":
    look_beyond_the_owner()
    uvicorn.run(application, host="127.0.0.1", port=int(sys.argv[1]), log_config=None, lifespan="off", ws="none")
