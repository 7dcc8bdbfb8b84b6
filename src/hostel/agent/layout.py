"""The directories of an installation, and the secret by which the panel knows the agent."""

import os
import secrets

from hostel.agent.installation import PANEL_NUMBER, Installation
from hostel.wire.files import write_atomically
from hostel.wire.paths import Paths


def ensure_directories(paths: Paths, *, edge_gid: int) -> None:
    """The installation's directories with the modes that keep strangers out. Idempotent."""
    for directory, mode, gid in (
        (paths.state, 0o711, 0),
        (paths.run, 0o711, 0),
        (paths.log, 0o711, 0),
        (paths.tenants, 0o700, 0),
        (paths.websites, 0o700, 0),
        (paths.routes, 0o750, edge_gid),
        (paths.certificates, 0o711, 0),
        (paths.homes, 0o711, 0),
        (paths.backups, 0o700, 0),
        (paths.metrics, 0o700, 0),
        (paths.sockets, 0o711, 0),
        (paths.runs, 0o700, 0),
        (paths.streams, 0o700, 0),
        (paths.site_logs, 0o711, 0),
        (paths.agent_for_root, 0o700, 0),
        (paths.agent_for_edge, 0o750, edge_gid),
        (paths.agent_for_panel, 0o755, 0),
    ):
        directory.mkdir(parents=True, exist_ok=True)
        os.chown(directory, 0, gid)
        directory.chmod(mode)


def write_agent_secret(paths: Paths, installation: Installation) -> str:
    """A new secret that the panel can read: whoever shows it to the panel is the agent."""
    secret = secrets.token_hex(32)
    uid = installation.uid(PANEL_NUMBER)
    write_atomically(paths.agent_secret, secret.encode(), mode=0o400, owner=(uid, uid))
    return secret
