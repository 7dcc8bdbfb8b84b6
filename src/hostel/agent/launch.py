"""What a website, a console or the panel is started with: command, environment, mounts. No deed is done here."""

import secrets
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path

import hostel
from hostel.agent.image import CA_BUNDLE, CONSOLE, DOOR, KEEPER, WORKSHOP, Image, account_mounts
from hostel.agent.oci import Mount
from hostel.agent.ports import Ports
from hostel.agent.sandbox import Kind, RunSpec
from hostel.agent.sockets import SOCKET_NAME
from hostel.agent.tenant import Tenant
from hostel.wire.config import Config
from hostel.wire.console import SHELL, ConsoleReport, split_arguments
from hostel.wire.names import SYSTEM_TENANT, canonical_domain
from hostel.wire.paths import Paths
from hostel.wire.streams import Streams
from hostel.wire.website import MIB, Limits, Listens, RunId, WebsiteSpec

TERMINAL = "xterm-256color"
DOOR_LIMITS = Limits(memory_bytes=128 * MIB, pids=32, cpu=1.0)
WORKSHOP_LIMITS = Limits(memory_bytes=512 * MIB, pids=128, cpu=1.0)
_INSIDE = Paths(Path("/"))  # where the panel finds things in its sandbox


def new_run() -> RunId:
    """Never the same twice, through crashes and restores: time in milliseconds and randomness, 14 characters."""
    return RunId(f"{int(time.time() * 1000):x}"[-8:] + secrets.token_hex(3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Launcher:
    """Knows the installation's image and configuration; makes RunSpecs."""

    config: Config
    paths: Paths
    image: Image
    ports: Ports

    def website(self, spec: WebsiteSpec, tenant: Tenant) -> RunSpec:
        """The next run of a website, the panel's own included."""
        run = new_run()
        is_panel = spec.tenant == SYSTEM_TENANT
        socket_directory = f"/var/sockets/{spec.domain_name}"
        environment = self._environment(tenant, is_panel=is_panel) | dict(spec.environment)
        environment["DOMAIN_SOCKET"] = f"{socket_directory}/app.sock"
        port = self.ports.take(run) if spec.listens_on is Listens.PORT else 0
        if port:
            environment["PORT"] = str(port)
        if spec.expose_token and tenant.record.api_token:
            environment["API_TOKEN"] = tenant.record.api_token
        logs = tenant.log_directory
        return RunSpec(
            run=run,
            kind=Kind.WEBSITE,
            tenant=tenant.name,
            argv=_shell(spec),
            environment=environment,
            limits=spec.limits,
            mounts=(
                *self._mounts(tenant, is_panel=is_panel),
                _socket_mount(tenant, run, to=socket_directory),
            ),
            cwd=self._home(tenant, is_panel=is_panel),
            interpreters=self.image.interpreters,
            website=canonical_domain(spec.domain_name),
            port=port,
            streams=Streams(
                run=run,
                stdout=str(logs / f"{spec.domain_name}.server.log"),
                stderr=str(logs / f"{spec.domain_name}.error.log"),
            ),
        )

    def command(self, tenant: Tenant, argv: tuple[str, ...], limits: Limits, *, terminal: bool) -> RunSpec:
        """A shell or one command. For the system tenant it runs beside the panel, with the panel's mounts."""
        is_panel = tenant.name == SYSTEM_TENANT
        environment = self._environment(tenant, is_panel=is_panel)
        if not is_panel:
            environment |= _for_hands(tenant)
        if terminal:
            environment["TERM"] = TERMINAL
            argv = ("/usr/bin/python3", "-I", KEEPER, *argv)
        return RunSpec(
            run=new_run(),
            kind=Kind.COMMAND,
            tenant=tenant.name,
            argv=argv,
            environment=environment,
            limits=limits,
            mounts=self._mounts(tenant, is_panel=is_panel),
            cwd=self._home(tenant, is_panel=is_panel),
            interpreters=self.image.interpreters,
        )

    def console(self, tenant: Tenant, console: ConsoleReport, *, notice: str) -> RunSpec:
        """What keeps a command on a terminal while nobody looks. `notice` is shown first."""
        run = new_run()
        directory = "/var/sockets/console"
        home, wanted = self._home(tenant, is_panel=False), console.wanted
        # A login shell, as `hostel shell` gives: both read the same files of the user's.
        program = ("/bin/bash", "-l") if wanted.executable == SHELL else (wanted.executable,)
        argv = ("/usr/bin/python3", "-I", CONSOLE, f"{directory}/{SOCKET_NAME}", notice,
                wanted.working_directory or home, wanted.virtualenv, *program)  # fmt: skip
        return RunSpec(
            run=run,
            kind=Kind.CONSOLE,
            tenant=tenant.name,
            argv=(*argv, *split_arguments(wanted.arguments)),
            environment=self._environment(tenant, is_panel=False) | _for_hands(tenant) | {"TERM": TERMINAL},
            limits=tenant.record.limits,
            mounts=(
                *self._mounts(tenant, is_panel=False),
                _socket_mount(tenant, run, to=directory),
            ),
            cwd=home,
            interpreters=self.image.interpreters,
            console=console,
        )

    def door(self, tenant: Tenant) -> RunSpec:
        """What does to files what the files API asks for, as the tenant."""
        return self._asked(tenant, DOOR, DOOR_LIMITS)

    def workshop(self, tenant: Tenant) -> RunSpec:
        """What tries commands and makes virtualenvs, as the tenant."""
        return self._asked(tenant, WORKSHOP, WORKSHOP_LIMITS)

    def _asked(self, tenant: Tenant, program: str, limits: Limits) -> RunSpec:
        """One of the platform's own programs that answers at a socket."""
        run = new_run()
        directory = "/var/sockets/door"
        home = self._home(tenant, is_panel=False)
        return RunSpec(
            run=run,
            kind=Kind.DOOR,
            tenant=tenant.name,
            argv=("/usr/bin/python3", "-I", program, f"{directory}/{SOCKET_NAME}", home),
            environment=self._environment(tenant, is_panel=False),
            limits=limits,
            mounts=(
                *self._mounts(tenant, is_panel=False),
                _socket_mount(tenant, run, to=directory),
            ),
            cwd=home,
            interpreters=self.image.interpreters,
        )

    def _home(self, tenant: Tenant, *, is_panel: bool) -> str:
        return str(_INSIDE.panel) if is_panel else f"/home/{tenant.name}"

    def _environment(self, tenant: Tenant, *, is_panel: bool) -> dict[str, str]:
        home = self._home(tenant, is_panel=is_panel)
        search = f"{home}/.local/bin:/usr/local/bin:/usr/bin:/bin"
        environment = {
            "PATH": search,
            "HOME": home,
            "USER": tenant.name,
            "LOGNAME": tenant.name,
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "PYTHONUNBUFFERED": "1",
            # The edge sets X-Forwarded-For itself, so servers may believe it.
            "FORWARDED_ALLOW_IPS": "*",
            "SSL_CERT_FILE": CA_BUNDLE,
            "REQUESTS_CA_BUNDLE": CA_BUNDLE,
            "PIP_CERT": CA_BUNDLE,
        }
        if is_panel:
            environment |= {"HOSTEL_ROOT": "/", "PATH": f"{sys.prefix}/bin:{search}"}
            return environment
        environment |= {
            "PYTHONANYWHERE_SITE": self.config.authority(self.config.panel_host),
            "PYTHONANYWHERE_DOMAIN": self.config.sites.domain,
            "VIRTUALENVWRAPPER_PYTHON": "/usr/bin/python3",
        }
        return environment | dict(self.config.sandbox.environment)

    def _mounts(self, tenant: Tenant, *, is_panel: bool) -> tuple[Mount, ...]:
        logs = Mount(source=str(tenant.log_directory), to="/var/log", executable=False)
        accounts = account_mounts(tenant.account_directory, name=tenant.name, uid=tenant.uid)
        own = self._panel_mounts() if is_panel else self._user_mounts(tenant)
        return (*self.image.mounts(), *accounts, logs, *own)

    def _user_mounts(self, tenant: Tenant) -> tuple[Mount, ...]:
        return (Mount(source=str(tenant.home), to=f"/home/{tenant.name}", writable=True),)

    def _panel_mounts(self) -> tuple[Mount, ...]:
        """The panel's data, the configuration, the way to the agent, and Hostel's own code where it lies."""
        code = {sys.prefix, sys.base_prefix, str(Path(hostel.__file__).parent.parent), sysconfig.get_path("purelib")}
        outside_usr = sorted(place for place in code if not place.startswith("/usr/"))
        nested = {p for p in outside_usr if any(p != other and p.startswith(f"{other}/") for other in outside_usr)}
        return (
            Mount(source=str(self.paths.panel), to=str(_INSIDE.panel), writable=True, executable=False),
            Mount(source=str(self.paths.config_file.parent), to=str(_INSIDE.config_file.parent)),
            Mount(source=str(self.paths.agent_for_panel), to=str(_INSIDE.agent_for_panel), writable=True),
            *(Mount(source=place, to=place) for place in outside_usr if place not in nested and place != "/usr"),
        )


def _socket_mount(tenant: Tenant, run: RunId, *, to: str) -> Mount:
    """Where a run's own server has its socket."""
    return Mount(source=str(tenant.socket_directory / run), to=to, writable=True, executable=False)


def _for_hands(tenant: Tenant) -> dict[str, str]:
    """What people find in the environment beyond what websites do."""
    token = {"API_TOKEN": tenant.record.api_token} if tenant.record.api_token else {}
    return {"WORKON_HOME": f"/home/{tenant.name}/.virtualenvs", **token}


def _shell(spec: WebsiteSpec) -> tuple[str, ...]:
    """-f: no globbing. bash becomes the last simple command, which therefore is PID 1 and gets the TERM.

    To another directory than the home it goes itself, in the sandbox and as the tenant: runc would go there as root.
    """
    shell = ("/bin/bash", "-f", "-c")
    if not spec.working_directory:
        return (*shell, spec.command)
    return (*shell, 'cd -- "$1" && exec /bin/bash -f -c "$2"', "bash", spec.working_directory, spec.command)
