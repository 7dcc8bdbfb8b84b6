"""`hostel up`: writes the configuration on first start, checks the machine, becomes the supervisor."""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from hostel.cli.command import DEFAULT_ROOT, Command, RootOption, complain, say
from hostel.cli.errors import CommandFailed
from hostel.cli.prerequisites import SYSTEM_PATH, Check, Status, check_root_directory, check_root_user, preflight
from hostel.wire.config import Config, read_config, render_config
from hostel.wire.errors import ConfigError
from hostel.wire.files import write_atomically
from hostel.wire.names import canonical_domain
from hostel.wire.paths import Paths
from hostel.wire.sysctls import SYSCTLS

DEFAULT_DOMAIN = "hostel.localhost"
DEFAULT_HTTP_PORT = 80
DEFAULT_HTTPS_PORT = 443

app = typer.Typer()


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked for on the command line; None where nothing was."""

    domain: str | None
    http_port: int | None
    https_port: int | None
    environment: Mapping[str, str]


@app.command(cls=Command, epilog="Example: hostel up --domain example.org   (and DNS: *.example.org to this machine)")
def up(
    root: RootOption = DEFAULT_ROOT,
    domain: Annotated[
        str | None, typer.Option(metavar="DOMAIN", help="Websites appear below it.", show_default=DEFAULT_DOMAIN)
    ] = None,
    http_port: Annotated[
        int | None,
        typer.Option(metavar="PORT", min=1, max=65535, help="For HTTP.", show_default=str(DEFAULT_HTTP_PORT)),
    ] = None,
    https_port: Annotated[
        int | None,
        typer.Option(metavar="PORT", min=1, max=65535, help="For HTTPS.", show_default=str(DEFAULT_HTTPS_PORT)),
    ] = None,
    sandbox_env: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="Set a variable in every website and console. Repeatable.", show_default=False
        ),
    ] = None,
) -> None:
    """Start the platform and stay in the foreground: edge, logger, agent, and through the agent the panel.

    The first start writes etc/hostel/hostel.toml below the root; from then on that file decides, and a flag that
    says otherwise is an error. Started again after a crash it adopts what still runs. Ctrl-C or SIGTERM stops all.
    """
    paths = Paths(root)
    wishes = Wishes(domain, http_port, https_port, parse_environment(sandbox_env or ()))
    refuse_failures([check_root_user(), check_root_directory(paths)])
    config = ensure_config(paths.config_file, wishes)
    refuse_failures(preflight(paths, config))
    set_sysctls()
    say(f"Hostel starts with {paths.config_file}. Pages and API: https://{config.authority(config.panel_host)}/")
    become_supervisor(root)


def set_sysctls() -> None:
    """Bring the kernel's settings to what keeps users apart, and say what was changed: it holds until the next boot."""
    for sysctl in SYSCTLS:
        if sysctl.is_in_force():
            continue
        old = sysctl.read()
        with contextlib.suppress(OSError):
            sysctl.file.write_text(str(sysctl.least))
        if not sysctl.is_in_force():
            message = f"{sysctl.name} is {old} and cannot be set to {sysctl.least}, which protects {sysctl.protects}"
            hint = f"on the machine itself: sysctl -w {sysctl.name}={sysctl.least}"
            raise CommandFailed(message, hint=hint)
        say(f"{sysctl.name}: {old} → {sysctl.least}, to protect {sysctl.protects}")


def become_supervisor(root: Path) -> None:
    # -P: the directory that `hostel up` was called in must have no say in what is imported.
    argv = [sys.executable, "-P", "-m", "hostel.supervisor", "--root", str(root)]
    environment = {**os.environ, "PATH": SYSTEM_PATH}  # a root shell without sbin in its PATH is common
    os.execve(argv[0], argv, environment)


def parse_environment(pairs: Sequence[str]) -> dict[str, str]:
    environment = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key.isidentifier() or not value.isprintable():
            hint = "for example --sandbox-env PIP_DEFAULT_TIMEOUT=60"
            raise CommandFailed(f"--sandbox-env {pair!r} is not of the form KEY=VALUE", hint=hint)
        environment[key] = value
    return environment


def refuse_failures(checks: Sequence[Check]) -> None:
    """Say all that stands in the way at once, and end if anything does."""
    failures = [check for check in checks if check.status is Status.FAILS]
    for check in failures:
        complain(f"{check.name}: {check.message}", hint=check.hint)
    if failures:
        raise typer.Exit(1)


# -- hostel.toml


def ensure_config(file: Path, wishes: Wishes) -> Config:
    """The configuration: of `file` if it exists, and then `wishes` must agree with it; else written from `wishes`."""
    if not file.exists():
        write_first_config(file, wishes)
    config = read_config(file)
    for key, in_file, wished in differences(config, wishes):
        raise ConfigDiffers(file, key, in_file, wished)
    return config


class ConfigDiffers(CommandFailed):
    """A flag and the configuration file disagree."""

    code = "config_differs"

    def __init__(self, file: Path, key: str, in_file: object, wished: object) -> None:
        message = f"{file} says {key} = {in_file}, the command line says {wished}"
        super().__init__(message, hint=f"edit {key} in {file}, or leave the flag out")


def differences(config: Config, wishes: Wishes) -> Iterator[tuple[str, object, object]]:
    """Key, value in the file and value wished for, wherever these two differ."""
    pairs: list[tuple[str, object, object]] = [
        ("sites.domain", config.sites.domain, wishes.domain and canonical_domain(wishes.domain)),
        ("listen.http_port", config.listen.http_port, wishes.http_port),
        ("listen.https_port", config.listen.https_port, wishes.https_port),
    ]
    for key, value in wishes.environment.items():
        pairs.append((f"sandbox.environment.{key}", config.sandbox.environment.get(key, "nothing"), value))
    return ((key, in_file, wished) for key, in_file, wished in pairs if wished is not None and wished != in_file)


def write_first_config(file: Path, wishes: Wishes) -> None:
    text = render_config(
        domain=canonical_domain(wishes.domain or DEFAULT_DOMAIN),
        http_port=wishes.http_port or DEFAULT_HTTP_PORT,
        https_port=wishes.https_port or DEFAULT_HTTPS_PORT,
        environment=wishes.environment,
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, text.encode())
    try:
        read_config(file)
    except ConfigError:  # what was asked for cannot be; the next call shall be a first one again
        file.unlink()
        raise
    say(f"Wrote {file}.")
