"""Where things live below an installation's root."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Paths:
    """All paths of one installation. The panel uses the same names inside its sandbox, with root `/`."""

    root: Path

    @property
    def config_file(self) -> Path:
        return self.root / "etc/hostel/hostel.toml"

    @property
    def state(self) -> Path:
        return self.root / "var/lib/hostel"

    @property
    def run(self) -> Path:
        """Sockets, runs, FIFOs, pid files: gone after a reboot."""
        return self.root / "run/hostel"

    @property
    def log(self) -> Path:
        return self.root / "var/log/hostel"

    # -- state

    @property
    def installation_file(self) -> Path:
        return self.state / "installation.json"

    @property
    def panel(self) -> Path:
        """The panel's database and secret key; owned by the panel's uid."""
        return self.state / "panel"

    @property
    def last_console(self) -> Path:
        """The highest number that a console has had."""
        return self.state / "last_console"

    @property
    def tenants(self) -> Path:
        return self.state / "tenants"

    @property
    def websites(self) -> Path:
        return self.state / "websites"

    @property
    def routes(self) -> Path:
        """One `<canonical domain>.json` a route; readable by nginx's workers."""
        return self.state / "routes"

    @property
    def uploads(self) -> Path:
        """Request bodies that nginx's workers are receiving, beyond what stays in memory. Emptied when it starts."""
        return self.state / "uploads"

    @property
    def certificates(self) -> Path:
        """`ca.pem` and `ca.key`; `<name>.pem` (chain) and `<name>.key` for each served certificate. Keys are 0600."""
        return self.state / "certificates"

    @property
    def homes(self) -> Path:
        return self.state / "homes"

    @property
    def metrics(self) -> Path:
        """One file a website with what its charts show, of a fixed size; may be lost."""
        return self.state / "metrics"

    @property
    def backups(self) -> Path:
        return self.state / "backups"

    # -- run

    @property
    def supervisor(self) -> Path:
        """`lock`, and `<part>.json` for each part that was started: which process it is."""
        return self.run / "supervisor"

    @property
    def edge(self) -> Path:
        """nginx.conf, nginx.pid, Lua files; `control/edge.sock`, root only, where the agent pushes."""
        return self.run / "edge"

    @property
    def edge_socket(self) -> Path:
        return self.edge / "control/edge.sock"

    @property
    def challenges(self) -> Path:
        """What certificate authorities ask for: a file for each token, readable by nginx's workers."""
        return self.edge / "challenges"

    @property
    def agent_for_panel(self) -> Path:
        """Directory that is mounted into the panel's sandbox; the socket in it is `agent.sock`."""
        return self.run / "agent/panel"

    @property
    def agent_secret(self) -> Path:
        """What the agent shows the panel when it pulls wanted state; new at each start of the agent."""
        return self.agent_for_panel / "secret"

    @property
    def agent_for_edge(self) -> Path:
        return self.run / "agent/edge"

    @property
    def agent_for_root(self) -> Path:
        return self.run / "agent/root"

    @property
    def logger_socket(self) -> Path:
        return self.run / "logger/logger.sock"

    @property
    def sockets(self) -> Path:
        """`<tenant number>/<run>/app.sock`; one tmpfs a tenant, mounted nosymfollow. Short: sun_path is 107 bytes."""
        return self.run / "s"

    @property
    def runs(self) -> Path:
        """`<run>/`: the OCI bundle (config.json, rootfs) and run.json."""
        return self.run / "runs"

    @property
    def streams(self) -> Path:
        """`<run>/`: the FIFOs `stdout` and `stderr` and `streams.json`, which the logger reads."""
        return self.run / "streams"

    # -- log

    @property
    def site_logs(self) -> Path:
        """`<username>/<domain>.{access,error,server}.log`; `<username>` is /var/log in the user's sandboxes."""
        return self.log / "sites"
