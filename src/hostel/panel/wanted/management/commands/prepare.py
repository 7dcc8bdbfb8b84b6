"""`prepare --newest EPOCH.REVISION`: bring the database to this code, and notice what changed while it was away."""

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser

from hostel.panel.wanted.models import begin_epoch_after
from hostel.panel.wanted.plan import announce_plan
from hostel.wire.website import Version


def _version(text: str) -> Version:
    epoch, _, revision = text.partition(".")
    return Version(epoch=int(epoch), revision=int(revision))


class Command(BaseCommand):
    help = "Migrate the database; begin a new epoch where the agent knows a newer version; announce changed limits."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--newest", type=_version, required=True, metavar="EPOCH.REVISION")

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, stdout=self.stdout, stderr=self.stderr)
        begin_epoch_after(options["newest"])
        announce_plan(settings.HOSTEL_CONFIG.limits)
