"""System checks over `hostel.toml` and the installation: what each value alone cannot tell."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning

from hostel.wire.names import RESERVED_LABELS


def check_installation(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    if not settings.HOSTEL_IS_CONFIGURED:
        return [
            Error(
                f"{settings.HOSTEL_PATHS.config_file} does not exist.",
                hint="`hostel up` writes it on first start; HOSTEL_ROOT names another root than /.",
                id="hostel.E001",
            )
        ]
    if not settings.HOSTEL_PATHS.agent_secret.exists():
        return [
            CheckWarning(
                f"{settings.HOSTEL_PATHS.agent_secret} does not exist, so the agent cannot pull what users want.",
                hint="The agent writes it when it starts: look at `hostel doctor`.",
                id="hostel.W001",
            )
        ]
    return []


def check_limits(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A limit below one would refuse everybody."""
    return [
        Error(
            f"panel.{key} is {getattr(settings.HOSTEL_CONFIG.panel, key)}: nobody could use the panel.",
            hint=f"Set panel.{key} in {settings.HOSTEL_PATHS.config_file} to 1 or more.",
            id="hostel.E002",
        )
        for key in ("requests_per_minute", "logins_per_minute")
        if getattr(settings.HOSTEL_CONFIG.panel, key) < 1
    ]


def check_panel_host(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Below the sites domain, the panel's name must be one that no user can have."""
    label, _, parent = settings.HOSTEL_CONFIG.panel_host.partition(".")
    if parent != settings.HOSTEL_CONFIG.sites.domain or label in RESERVED_LABELS:
        return []
    return [
        CheckWarning(
            f"panel.host is {settings.HOSTEL_CONFIG.panel_host}, where a website of the user {label!r} would be.",
            hint=f"That user is refused. Better use www.{parent} or the bare {parent}.",
            id="hostel.W002",
        )
    ]
