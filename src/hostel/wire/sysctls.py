"""Settings of the kernel that keep users of one machine apart: `hostel up` sets them, the agent looks at them."""

from dataclasses import dataclass
from pathlib import Path

PROC_SYS = Path("/proc/sys")


@dataclass(frozen=True, slots=True)
class Sysctl:
    """One setting, which protects at `least` or more."""

    name: str  # as sysctl(8) has it
    least: int
    protects: str

    @property
    def file(self) -> Path:
        return PROC_SYS.joinpath(*self.name.split("."))

    def read(self) -> int | None:
        """None where this kernel does not have it, or says something that is no number."""
        try:
            return int(self.file.read_text())
        except (OSError, ValueError):
            return None

    def is_in_force(self) -> bool:
        value = self.read()
        return value is not None and value >= self.least


SYSCTLS = (
    Sysctl("fs.protected_hardlinks", 1, "files from links that their owners did not make"),
    Sysctl("fs.protected_symlinks", 1, "programs from others' links in shared directories"),
    Sysctl("fs.protected_fifos", 1, "programs from others' pipes in shared directories"),
    Sysctl("fs.protected_regular", 1, "programs from others' files in shared directories"),
    Sysctl("kernel.dmesg_restrict", 1, "the kernel's messages"),
    Sysctl("kernel.kptr_restrict", 1, "the kernel's addresses"),
)
