"""The panel itself as a Django app: its system checks, its templates and its stylesheet."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.core import checks

from hostel.panel.logs import configure_structlog


class PanelConfig(AppConfig):
    name = "hostel.panel"

    def ready(self) -> None:
        from hostel.panel.checks import check_installation, check_limits, check_panel_host

        configure_structlog()
        for check in (check_installation, check_limits, check_panel_host):
            checks.register(check)


class OperatorConfig(AdminConfig):
    default_site = "hostel.panel.operators.OperatorSite"
