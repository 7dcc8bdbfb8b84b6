"""A command named for a noun, with verbs: `user add NAME`. Data goes to stdout, words to stderr, failure is exit 1."""

import argparse
import logging
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from hostel.panel.audit.models import OPERATOR, act_as
from hostel.panel.faults import storage_error
from hostel.wire.errors import HostelError


class NounCommand(BaseCommand):
    """Subclasses have one method a verb, and say in `add_verbs` what each takes."""

    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_verbs(parser.add_subparsers(dest="verb", required=True, metavar="VERB"))

    def add_verbs(self, verbs: "argparse._SubParsersAction[CommandParser]") -> None:
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        act_as(OPERATOR)
        try:
            getattr(self, options["verb"])(options)
        except (HostelError, DatabaseError) as error:
            trouble = storage_error(error) or error
            raise CommandError(str(trouble)) from error

    def run_from_argv(self, argv: list[str]) -> None:
        """As Django's, but an error is its sentence alone, and the log is silent: what the person must know is said."""
        logging.getLogger().setLevel(logging.ERROR)
        try:
            options = self.create_parser(argv[0], argv[1]).parse_args(argv[2:])
            self.execute(**{key: value for key, value in vars(options).items() if key != "args"})
        except CommandError as error:
            self.stderr.write(f"error: {error}", lambda text: text)
            sys.exit(1)

    def say(self, words: str) -> None:
        self.stderr.write(words, lambda text: text)
