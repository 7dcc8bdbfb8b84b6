"""`user add | list | limits | password | suspend | resume | remove`."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.db.models import Count

from hostel.panel import agent
from hostel.panel.accounts.management.nouns import NounCommand
from hostel.panel.accounts.models import User, generate_password
from hostel.wire.config import LIMIT_KEYS, parse_limit
from hostel.wire.errors import HostelError
from hostel.wire.website import MIB, Tombstone

log = structlog.get_logger(__name__)


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
        try:
            agent.put_tenant(user.current_spec())
        except HostelError as error:
            self.say(f"{error}\nThe user's home will be there when the agent has seen this.")

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
            self._tell_of_limits(user)
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

    def _tell_of_limits(self, user: User) -> None:
        try:
            agent.put_tenant(user.current_spec())
            for website in user.websites.all():
                agent.put_website(website.canonical_name, website.current_spec(), wait_s=0)
        except HostelError as error:
            log.warning("agent not told of limits", user=user.username, code=error.code)
            self.say(f"{error}\nThe limits will hold when the agent has seen this.")

    def suspend(self, options: dict[str, Any]) -> None:
        user = User.objects.named(options["name"])
        if not user.suspend(reason=options["reason"]):
            self.say(f"{user.username} was suspended already.")
        log.info("user suspended", user=user.username)
        self._tell_of_suspension(user)  # in any case: the agent may not have heard of it
        self.stdout.write(f"Suspended {user.username}: nothing of theirs runs, websites say so, and nothing is lost.")

    def resume(self, options: dict[str, Any]) -> None:
        user = User.objects.named(options["name"])
        if not user.resume():
            self.say(f"{user.username} was not suspended.")
        log.info("user resumed", user=user.username)
        self._tell_of_suspension(user)
        self.stdout.write(f"Resumed {user.username}: websites start with their first visitor.")

    def _tell_of_suspension(self, user: User) -> None:
        try:
            agent.put_tenant(user.current_spec())
        except HostelError as error:
            log.warning("agent not told of a suspension", user=user.username, code=error.code)
            self.say(f"{error}\nIt will be so when the agent has seen this.")

    def remove(self, options: dict[str, Any]) -> None:
        websites, tenant = User.objects.named(options["name"]).remove()
        count = len(websites)
        self.stdout.write(f"Removed user {tenant.name} with {count} website{'' if count == 1 else 's'}.")
        self._tell_of(websites, tenant)

    def _tell_of(self, websites: Sequence[Tombstone], tenant: Tombstone) -> None:
        try:
            for website in websites:
                agent.delete_website(website)
            agent.delete_tenant(tenant)
        except HostelError as error:
            log.warning("agent not told of removed user", user=tenant.name, code=error.code)
            self.say(f"{error}\nWhat still runs will be stopped when the agent has seen this.")

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
