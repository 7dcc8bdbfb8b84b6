"""What may be set of a website: each setting's bounds, and the sentence that says what would be accepted."""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from rest_framework import serializers

from hostel.panel.accounts.models import User
from hostel.wire.errors import Refusal
from hostel.wire.names import check_command, check_working_directory
from hostel.wire.website import MAX_BODY_MB, MIB, SLEEP_CEILING_S, Listens, ReloadStrategy, Sleep

# What sleeps more often than that costs more than it saves: each time its memory goes to the disk and back.
OWN_SLEEP_LEAST_S = 60
_SLEEP_SENTENCE = f"Give a whole number of seconds from {OWN_SLEEP_LEAST_S} to {SLEEP_CEILING_S}, or null."

Number = TypeVar("Number", int | None, float | None)


def checked(check: Callable[[str], str], text: str) -> str:
    """A rule of `wire`'s, its refusal in DRF's form."""
    try:
        return check(text)
    except Refusal as error:
        raise serializers.ValidationError(str(error), code=error.code) from error


class Switch(serializers.BooleanField):
    """A boolean that, missing from a form, is missing; DRF would read it as an unticked box: false."""

    default_empty_html = serializers.empty


WRONG_NUMBER = ("invalid", "min_value", "max_value", "max_string_length")


class Whole(serializers.IntegerField):
    """A whole number within bounds. One sentence says what is accepted, whatever is wrong."""

    def __init__(self, *, least: int, most: int, of: str = "", **options: Any) -> None:
        sentence = _sentence(f"Give a whole number{of and f' of {of}'} from {least} to {most}", options)
        super().__init__(min_value=least, max_value=most, error_messages={**sentence}, **options)


class Fraction(serializers.FloatField):
    """As Whole, of numbers that need not be whole."""

    def __init__(self, *, least: float, most: float, of: str, **options: Any) -> None:
        sentence = _sentence(f"Give a number of {of} from {least:g} to {most:g}", options)
        super().__init__(min_value=least, max_value=most, error_messages={**sentence}, **options)

    def to_internal_value(self, data: Any) -> float:
        value = super().to_internal_value(data)
        if isinstance(data, bool) or not math.isfinite(value):
            self.fail("invalid")
        return value


def _sentence(wanted: str, options: Mapping[str, Any]) -> dict[str, str]:
    """For each kind of wrong number. None stands for the plan's own where it is accepted."""
    return dict.fromkeys(WRONG_NUMBER, f"{wanted}, or null." if options.get("allow_null") else f"{wanted}.")


def _command(**options: Any) -> serializers.CharField:
    return serializers.CharField(
        trim_whitespace=False,
        help_text="Run by bash in the user's home, as it is; must listen on the unix socket `$DOMAIN_SOCKET`.",
        **options,
    )


class WebappChange(serializers.Serializer[Any]):
    """What may be set, each key for itself; what is left out stays as it is."""

    command = _command(required=False)
    working_directory = serializers.CharField(
        required=False,
        allow_blank=True,
        trim_whitespace=False,
        help_text="Where the command is run: a directory in your home. Empty, the default: your home.",
    )
    listens_on = serializers.ChoiceField(
        required=False,
        choices=[place.value for place in Listens],
        error_messages={"invalid_choice": 'Give "socket" or "port".'},
        help_text="`socket` (default): the unix socket `$DOMAIN_SOCKET`. `port`: 127.0.0.1, TCP port `$PORT`, for "
        "servers that know nothing else; each run has another port.",
    )
    reload_strategy = serializers.ChoiceField(
        required=False,
        choices=[strategy.value for strategy in ReloadStrategy],
        error_messages={"invalid_choice": 'Give "overlap" or "replace".'},
        help_text="`overlap` (default): the new run starts beside the old one. `replace`: requests are held, the old "
        "run ends, then the new one starts; for bots and single writers.",
    )
    start_deadline_s = Fraction(
        of="seconds",
        least=1,
        most=600,
        required=False,
        help_text="How long a new run may take until it accepts. Default: as `hostel.toml` says.",
    )
    drain_s = Fraction(
        of="seconds",
        least=0,
        most=600,
        required=False,
        help_text="How long plain requests of an old run may go on. Default 30.",
    )
    websocket_drain_s = Fraction(
        of="seconds",
        least=0,
        most=86_400,
        required=False,
        help_text="The same for WebSockets and event streams. Default 30.",
    )
    grace_s = Fraction(of="seconds", least=1, most=60, required=False, help_text="Between TERM and KILL. Default 10.")
    ws_spread_s = Fraction(
        of="seconds",
        least=0,
        most=600,
        required=False,
        help_text="WebSockets that a switch closed may come back spread over this time. Default 10.",
    )
    read_timeout_s = Whole(
        of="seconds",
        least=1,
        most=3_600,
        required=False,
        help_text="A request ends when the website sends nothing for so long. Default 300.",
    )
    websocket_timeout_s = Whole(
        of="seconds",
        least=1,
        most=86_400,
        required=False,
        help_text="A WebSocket ends when neither side sends anything for so long. Default 3600.",
    )
    buffer_requests = Switch(
        required=False,
        help_text="All of a body is received before the website gets any. `false`: it is passed on as it comes, and "
        "slow visitors take up places at the website. Default true.",
    )
    buffer_responses = Switch(
        required=False,
        help_text="Up to 256 KiB of an answer are taken from the website at once, however slow the visitor. Event "
        "streams then need `X-Accel-Buffering: no`. Default false.",
    )
    max_body_mb = Whole(
        of="MiB",
        least=1,
        most=MAX_BODY_MB,
        required=False,
        help_text="Larger bodies are refused with 413; below 100, the default, those that do not say how long they "
        "are with 411.",
    )
    memory_mb = Whole(
        of="MiB",
        least=16,
        most=100_000,
        required=False,
        allow_null=True,
        help_text="At most, and by default, as your plan has it.",
    )
    pids = Whole(
        of="processes",
        least=8,
        most=100_000,
        required=False,
        allow_null=True,
        help_text="Processes and threads. As your plan has it.",
    )
    cpu = Fraction(
        of="cores",
        least=0.05,
        most=1_000,
        required=False,
        allow_null=True,
        help_text="Cores. At most, and by default, as your plan has it.",
    )
    always_on = Switch(required=False, help_text="Started after a reboot without waiting for a visitor. Default false.")
    sleep = serializers.ChoiceField(
        required=False,
        allow_null=True,
        choices=[tier.value for tier in Sleep],
        error_messages={"invalid_choice": 'Give "off", "hibernate" or "stop", or null.'},
        help_text="What becomes of the website when nobody uses it. `off`: it stays awake. `hibernate`: it is frozen "
        "with all it knows, and goes on with the next visitor. `stop`: it ends, and the next visitor starts it. At "
        "least, and by default, as your plan has it.",
    )
    sleep_after_s = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,  # a plan may have less than OWN_SLEEP_LEAST_S, and what is shown may be sent back
        max_value=SLEEP_CEILING_S,
        error_messages=dict.fromkeys(WRONG_NUMBER, _SLEEP_SENTENCE),
        help_text=f"How long nobody must have used it, {OWN_SLEEP_LEAST_S} at least. At most, where your plan lets "
        "websites sleep, and by default, as your plan has it.",
    )
    monitors_wake = Switch(
        required=False,
        help_text="Whether known services that look whether it is up count as visitors. `false`, the default: they "
        "keep it not awake, and of a website that sleeps they get 200.",
    )
    expose_token = Switch(
        required=False, help_text="Put your API token into the command's environment, as `API_TOKEN`. Default false."
    )

    force_https = Switch(
        required=False, help_text="Send visitors who come over HTTP to HTTPS (308), at all domains. Default false."
    )
    hsts_s = Whole(
        of="seconds",
        least=0,
        most=63_072_000,
        required=False,
        help_text="How long browsers that came over HTTPS shall use nothing else (HSTS); 0, the default, says nothing "
        "to them. It cannot be taken back from a browser that has heard it.",
    )

    def validate_command(self, command: str) -> str:
        return checked(check_command, command)

    def validate_working_directory(self, path: str) -> str:
        return checked(lambda path: check_working_directory(path, username=self._owner.username), path)

    def validate_memory_mb(self, wanted: int | None) -> int | None:
        return _within(self._owner.plan.site().memory_bytes // MIB, wanted)

    def validate_pids(self, wanted: int | None) -> int | None:
        return _within(self._owner.plan.site().pids, wanted)

    def validate_cpu(self, wanted: float | None) -> float | None:
        return _within(self._owner.plan.site().cpu, wanted)

    def validate_sleep(self, wanted: str | None) -> str:
        tiers = list(Sleep)
        least = tiers.index(self._owner.plan.site_sleep)
        if wanted is not None and tiers.index(Sleep(wanted)) < least:
            accepted = " or ".join(f'"{tier.value}"' for tier in tiers[least:])
            raise serializers.ValidationError(
                f"Your plan lets websites sleep that nobody uses: give {accepted}, or null.", code="min_value"
            )
        return wanted or ""

    def validate_sleep_after_s(self, wanted: int | None) -> int | None:
        plan = self._owner.plan
        if wanted is not None and wanted < OWN_SLEEP_LEAST_S and wanted != plan.site_sleep_after_s:
            raise serializers.ValidationError(_SLEEP_SENTENCE, code="min_value")
        if wanted is not None and plan.site_sleep is not Sleep.OFF and wanted > plan.site_sleep_after_s:
            raise serializers.ValidationError(
                f"Your plan lets websites sleep after {plan.site_sleep_after_s} seconds at most: give less, or null.",
                code="max_value",
            )
        return wanted

    @property
    def _owner(self) -> User:
        owner: User = self.context["owner"] if "owner" in self.context else self.context["website"].owner
        return owner


def _within(most: float, wanted: Number) -> Number:
    if wanted is not None and wanted > most:
        raise serializers.ValidationError(f"Your plan gives one website {most:g} at most.", code="max_value")
    return wanted


class WebappRequest(WebappChange):
    command = _command()
