"""`user add | list | limits | password | operator | suspend | resume | remove`."""

import argparse
import json
import sys
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.db.models import Count

from hostel.panel import agent
from hostel.panel.accounts import upkeep
from hostel.panel.accounts.management.nouns import NounCommand
from hostel.panel.accounts.models import User, generate_password
from hostel.wire.config import LIMIT_KEYS, parse_limit
from hostel.wire.errors import HostelError
from hostel.wire.website import MIB

log = structlog.get_logger(__name__)

_LATER = "It will be so when the agent has seen this."


class Command(NounCommand):
    help = "Add, list and remove users, set their passwords and limits."

    def add_verbs(self, verbs: "argparse._SubParsersAction[CommandParser]") -> None:
        for verb, words in (("add", "add a user"), ("password", "set a user's password")):
            parser = verbs.add_parser(verb, help=words)
            parser.add_argument("name")
            parser.add_argument("--password-stdin", action="store_true", help="read it from stdin, not make one up")
        parser = verbs.add_parser("list", help="list the users")
        parser.add_argument("--json", action="store_true", help="as JSON")
        parser = verbs.add_parser("limits", help="show a user's limits, or change them")
        parser.add_argument("name")
        parser.add_argument("changes", nargs="*", metavar="LIMIT=VALUE")
        parser.add_argument("--json", action="store_true", help="as JSON")
        parser = verbs.add_parser("operator", help="let a user see to the users, on pages of the panel")
        parser.add_argument("name")
        parser.add_argument("--off", action="store_true", help="no more")
        parser = verbs.add_parser("suspend", help="stop everything of a user; all data stays")
        parser.add_argument("name")
        parser.add_argument("--reason", default="", help="a note for yourself")
        parser = verbs.add_parser("resume", help="end a suspension")
        parser.add_argument("name")
        parser = verbs.add_parser("remove", help="remove a user with all websites")
        parser.add_argument("name")

    def add(self, options: dict[str, Any]) -> None:
        password, is_made_up = self._password(options)
        user = User.objects.add(options["name"], password=password)
        self.stdout.write(f"Added user {user.username}.")
        self._show(password, is_made_up)
        self._say(upkeep.tell_of_user(user), "The user's home will be there when the agent has seen this.")

    def password(self, options: dict[str, Any]) -> None:
        user = User.objects.named(options["name"])
        password, is_made_up = self._password(options)
        user.change_password(password)
        self.stdout.write(f"Set the password of {user.username}; all browsers were logged out.")
        self._show(password, is_made_up)

    def list(self, options: dict[str, Any]) -> None:
        disks = self._disks()
        users = User.objects.order_by("username").select_related("api_token").annotate(website_count=Count("websites"))
        rows = [
            {
                "name": user.username,
                "created_at": user.date_joined.isoformat(timespec="seconds"),
                "websites": user.website_count,
                "has_token": user.token is not None,
                "suspended_at": user.suspended_at and user.suspended_at.isoformat(timespec="seconds"),
                "suspended_reason": user.suspended_reason,
                "disk_mb": disks.get(user.username),
                "disk_limit_mb": user.plan.user_disk_mb,
            }
            for user in users
        ]
        if options["json"]:
            self.stdout.write(json.dumps(rows, indent=2))
            return
        self.stdout.write(f"{'NAME':<30} {'WEBSITES':>8}  {'TOKEN':<5}  {'DISK':>15}  {'CREATED':<25}  STATE")
        for row in rows:
            has_token = "yes" if row["has_token"] else "no"
            state = f"suspended {row['suspended_at']} {row['suspended_reason']}" if row["suspended_at"] else "active"
            used = "?" if row["disk_mb"] is None else row["disk_mb"]
            disk = f"{used}/{row['disk_limit_mb']} MiB"
            line = (
                f"{row['name']:<30} {row['websites']:>8}  {has_token:<5}  {disk:>15}  {row['created_at']:<25}  {state}"
            )
            self.stdout.write(line.rstrip())

    def _disks(self) -> dict[str, int]:
        """What homes hold, in MiB, as far as the agent has measured it."""
        try:
            reports = agent.list_tenants()
        except HostelError as error:
            self.say(f"{error}")
            return {}
        return {report.name: report.disk.used_bytes // MIB for report in reports if report.disk is not None}

    def limits(self, options: dict[str, Any]) -> None:
        user = User.objects.named(options["name"])
        changes = dict(parse_limit(text) for text in options["changes"])
        if changes:
            user.change_limits(changes)
            log.info("limits changed", user=user.username, limits=user.own_limits)
            self._say(upkeep.tell_of_limits(user), "The limits will hold when the agent has seen this.")
        rows = [
            {"limit": name, "value": getattr(user.plan, key), "default": getattr(settings.HOSTEL_CONFIG.limits, key),
             "is_own": key in user.own_limits}
            for name, key in LIMIT_KEYS.items()
        ]  # fmt: skip
        if options["json"]:
            self.stdout.write(json.dumps(rows, indent=2))
            return
        for row in rows:
            note = f"  instead of {row['default']}" if row["is_own"] else ""
            self.stdout.write(f"{row['limit']:<20} {row['value']:>8}{note}")

    def suspend(self, options: dict[str, Any]) -> None:
        user = User.objects.named(options["name"])
        if not user.suspend(reason=options["reason"]):
            self.say(f"{user.username} was suspended already.")
        log.info("user suspended", user=user.username)
        self._say(upkeep.tell_of_user(user), _LATER)  # in any case: the agent may not have heard of it
        self.stdout.write(f"Suspended {user.username}: nothing of theirs runs, websites say so, and nothing is lost.")

    def resume(self, options: dict[str, Any]) -> None:
        user = User.objects.named(options["name"])
        if not user.resume():
            self.say(f"{user.username} was not suspended.")
        log.info("user resumed", user=user.username)
        self._say(upkeep.tell_of_user(user), _LATER)
        self.stdout.write(f"Resumed {user.username}: websites start with their first visitor.")

    def remove(self, options: dict[str, Any]) -> None:
        websites, tenant = User.objects.named(options["name"]).remove()
        count = len(websites)
        self.stdout.write(f"Removed user {tenant.name} with {count} website{'' if count == 1 else 's'}.")
        self._say(
            upkeep.tell_of_removal(websites, tenant), "What still runs will be stopped when the agent has seen this."
        )

    def operator(self, options: dict[str, Any]) -> None:
        user = User.objects.named(options["name"])
        is_operator = not options["off"]
        if not user.set_operator(is_operator):
            self.say(f"{user.username} was {'an operator' if is_operator else 'no operator'} already.")
        log.info("operator changed", user=user.username, is_operator=is_operator)
        words = "now has the page Users in the panel" if is_operator else "has the page Users no more"
        self.stdout.write(f"{user.username} {words}.")

    def _say(self, error: HostelError | None, following: str) -> None:
        if error is not None:
            self.say(f"{error}\n{following}")

    def _password(self, options: dict[str, Any]) -> tuple[str, bool]:
        if not options["password_stdin"]:
            return generate_password(), True
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            raise CommandError("The password on stdin is empty.")
        try:
            validate_password(password, User(username=options["name"]))
        except ValidationError as error:  # root decides, and may have reasons
            self.say(f"Warning, a weak password: {' '.join(error.messages)}")
        return password, False

    def _show(self, password: str, is_made_up: bool) -> None:
        if is_made_up:
            self.stdout.write(f"Password, shown only now: {password}")
