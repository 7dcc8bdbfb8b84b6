"""What sandboxes see instead of the host's /etc and /usr/local: generated, root-owned, read-only inside.

Both trees are one for the whole installation and named by their content: a start of the agent that changes nothing
uses the trees that are there, and sandboxes that run keep theirs. Only passwd and group differ from tenant to tenant.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hostel.agent.interpreters import Interpreter
from hostel.agent.oci import Mount

HOST_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
KEEPER = "/usr/local/libexec/keeper.py"
DOOR = "/usr/local/libexec/door.py"
WORKSHOP = "/usr/local/libexec/workshop.py"
CONSOLE = "/usr/local/libexec/console.py"
HOSTNAME = "hostel"
# Copied from the host where it has them: no secrets, and programs fail in odd ways without.
_FROM_HOST = ("alternatives", "bash_completion.d", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "magic",
              "mime.types", "pip.conf", "protocols", "python3", "python3.11", "services", "timezone", "ssl/openssl.cnf",
              "terminfo", "perl", "fonts", "inputrc")  # fmt: skip
_DIRECTORIES = ("dev", "etc", "home", "opt", "proc", "root", "run", "sys", "tmp", "usr", "var/log", "var/sockets",
                "var/tmp", "var/www", "srv", "mnt")  # fmt: skip
_MERGED = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")  # links into /usr, as Debian has them since 12

_BASHRC = """\
# Read by every interactive bash on this machine, before ~/.bashrc.
[ -z "$PS1" ] && return
PS1='\\[\\e[0;0m\\]\\A \\w\\[\\e[0;33m\\] \\[\\e[1;32m\\]$ \\[\\e[0;0m\\]'
shopt -s checkwinsize
alias ls='ls --color=auto'
# The first time it tells of each file that it makes.
[ -r /usr/local/bin/virtualenvwrapper.sh ] && . /usr/local/bin/virtualenvwrapper.sh 2>/dev/null
"""
_PROFILE = """\
[ -n "$BASH" ] && . /etc/bash.bashrc
[ -r ~/.bashrc ] && . ~/.bashrc
# A console that was opened in a virtualenv.
[ -n "$HOSTEL_VIRTUALENV" ] && . "$HOSTEL_VIRTUALENV/bin/activate"
unset HOSTEL_VIRTUALENV
"""
_PIP = '#!/bin/sh\nexec /usr/local/bin/python3 -m pip "$@"\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """The trees that every sandbox of this start of the agent gets."""

    usr_local: Path
    etc: Path
    interpreters: tuple[Interpreter, ...]

    def mounts(self) -> tuple[Mount, ...]:
        own = [each for each in self.interpreters if not each.is_system]
        return (
            Mount(source="/usr", to="/usr"),
            Mount(source=str(self.usr_local), to="/usr/local"),
            Mount(source=str(self.etc), to="/etc"),
            *(Mount(source=str(each.prefix), to=f"/opt/python/{each.name}") for each in own),
            *(Mount(source=str(each.prefix), to=str(each.prefix)) for each in own if each.is_shared),
        )


def build_image(
    directory: Path,
    interpreters: Sequence[Interpreter],
    *,
    hosts: Mapping[str, str],
    resolver: str,
    own_ca: bytes,
) -> Image:
    """The trees below `directory`. `hosts` gives names their addresses; `own_ca` (PEM) is trusted beside the host's."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    usr_local = _by_content(directory, "local", lambda new: _build_usr_local(new, interpreters))
    etc = _by_content(directory, "etc", lambda new: _build_etc(new, hosts, resolver, own_ca))
    return Image(usr_local=usr_local, etc=etc, interpreters=tuple(interpreters))


def account_mounts(directory: Path, *, name: str, uid: int) -> tuple[Mount, ...]:
    """passwd and group that know one tenant, written below `directory` and laid over the image's."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    root, nobody = "root:x:0:0:root:/root:/usr/sbin/nologin", "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin"
    passwd = f"{root}\n{nobody}\n{name}:x:{uid}:{uid}::/home/{name}:/bin/bash\n"
    group = f"root:x:0:\ntty:x:5:\nwww-data:x:33:\nnogroup:x:65534:\n{name}:x:{uid}:\n"
    for file, text in (("passwd", passwd), ("group", group)):
        if not (directory / file).exists():
            _write(directory / file, text)
    return tuple(Mount(source=str(directory / file), to=f"/etc/{file}") for file in ("passwd", "group"))


def _build_usr_local(new: Path, interpreters: Sequence[Interpreter]) -> None:
    """python3.X, pip, virtualenvwrapper, and the programs of Hostel's own that run as the tenant."""
    for name in ("bin", "etc", "games", "include", "lib", "libexec", "man", "sbin", "share", "src"):
        (new / name).mkdir()
    binaries = new / "bin"
    for each in interpreters:
        python = f"python{each.name}"
        (binaries / python).symlink_to(f"/opt/python/{each.name}/bin/{python}")
        if not each.is_system:
            # A virtualenv made by /usr/local/bin/python3.X looks for its library from there upwards, and would else
            # take the distribution's in /usr/lib (getpath.py).
            for part in ("lib", "include"):
                (new / part / python).symlink_to(f"/opt/python/{each.name}/{part}/{python}")
    if interpreters:
        for name in ("python3", "python"):
            (binaries / name).symlink_to(f"python{interpreters[-1].name}")
    (binaries / "virtualenvwrapper.sh").symlink_to("/usr/share/virtualenvwrapper/virtualenvwrapper.sh")
    for name in ("pip", "pip3"):
        _write(binaries / name, _PIP, 0o755)
    for own in (KEEPER, DOOR, WORKSHOP, CONSOLE):
        shutil.copyfile(Path(__file__).with_name(os.path.basename(own)), new / "libexec" / os.path.basename(own))


def _build_etc(new: Path, hosts: Mapping[str, str], resolver: str, own_ca: bytes) -> None:
    for name in _FROM_HOST:
        _copy(Path("/etc") / name, new / name)
    lines = [f"127.0.0.1 localhost {HOSTNAME}", "::1 localhost ip6-localhost"]
    lines += [f"{address} {name}" for name, address in hosts.items()]
    _write(new / "hosts", "\n".join(lines) + "\n")
    _write(new / "hostname", f"{HOSTNAME}\n")
    _write(new / "resolv.conf", f"nameserver {resolver}\n")
    _write(new / "nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n")
    _write(new / "profile", _PROFILE)
    _write(new / "bash.bashrc", _BASHRC)
    _write(new / "bashrc", ". /etc/bash.bashrc\n")
    for name in ("passwd", "group"):
        _write(new / name, "")  # where `account_mounts` lays the tenant's own
    (new / "hostel").mkdir()  # where the panel's sandbox has its configuration
    certificates = new / "ssl/certs"
    certificates.mkdir(parents=True, exist_ok=True)
    host = HOST_CA_BUNDLE.read_bytes() if HOST_CA_BUNDLE.exists() else b""
    (certificates / "ca-certificates.crt").write_bytes(host + own_ca)


def build_skeleton(rootfs: Path, interpreters: Sequence[Interpreter]) -> None:
    """The root directory of one run: links and mount points, nothing else."""
    rootfs.mkdir(mode=0o755)
    rootfs.chmod(0o755)
    for name in _DIRECTORIES:
        (rootfs / name).mkdir(parents=True)
    for name in ("tmp", "var/tmp"):
        (rootfs / name).chmod(0o1777)  # runc 1.1 gives a tmpfs the mode of its mount point, whatever mode= says
    for each in interpreters:
        if each.is_system:
            (rootfs / f"opt/python/{each.name}/bin").mkdir(parents=True)
            python = f"bin/python{each.name}"
            (rootfs / f"opt/python/{each.name}" / python).symlink_to(f"/usr/{python}")
    for name in _MERGED:
        if Path("/", name).exists():
            (rootfs / name).symlink_to(f"usr/{name}")


def _by_content(directory: Path, name: str, build: Callable[[Path], None]) -> Path:
    """Build a tree and give it a name that says what is in it; when there is one of that name, that one."""
    new = directory / f".{name}.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    build(new)
    target = directory / f"{name}-{_digest(new)}"
    if target.exists():
        shutil.rmtree(new)
    else:
        os.rename(new, target)
    return target


def _digest(tree: Path) -> str:
    """Also makes every directory and file of the tree readable to all: the umask had its say."""
    digest = hashlib.sha256()
    tree.chmod(0o755)
    for path in sorted(tree.rglob("*")):
        digest.update(f"\0{path.relative_to(tree)}\0".encode())
        if path.is_symlink():
            digest.update(os.readlink(path).encode())
        elif path.is_dir():
            path.chmod(0o755)
        else:
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _copy(source: Path, target: Path) -> None:
    if not source.exists() or not source.stat().st_mode & 0o004:
        return  # what the host's own users may not read (an index's password in pip.conf), tenants may not either
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore_dangling_symlinks=True)
    else:
        shutil.copyfile(source, target)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.write_text(text)
    path.chmod(mode)
