"""`token create NAME`: prints the token, and nothing else, on stdout."""

import argparse
from typing import Any

from django.core.management.base import CommandParser

from hostel.panel.accounts.management.nouns import NounCommand
from hostel.panel.accounts.models import User
from hostel.panel.accounts.tokens import create_token


class Command(NounCommand):
    help = "Create API tokens."

    def add_verbs(self, verbs: "argparse._SubParsersAction[CommandParser]") -> None:
        parser = verbs.add_parser("create", help="create a user's API token, in place of the old one")
        parser.add_argument("name")

    def create(self, options: dict[str, Any]) -> None:
        new = create_token(User.objects.named(options["name"]))
        self.stdout.write(new.text)
        if not new.is_in_consoles:
            self.say("The agent did not answer: the token works, but API_TOKEN is not set in consoles.")
