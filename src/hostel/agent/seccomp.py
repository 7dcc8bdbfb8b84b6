"""Which system calls a tenant may make: an allow-list of Hostel's own.

Everything that is not named is refused with EPERM (ENOSYS where programs probe for a newer call and fall back).
Left out on purpose: user namespaces, mounts, bpf, io_uring, keyctl, perf events,
module loading, clocks, swap, quotas, raw devices.
"""

import platform
from typing import Any

# Of a machine, its own and the 32-bit one that its kernel runs too. libseccomp compiles a filter for each at each start
# of a run, which takes milliseconds. On any other machine it is for that one's own alone.
_ARCHITECTURES = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
    "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
}
# Grouped by what they are for; names that a kernel or libseccomp does not know are ignored by runc.
_FILES = """
access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr
flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat
getcwd getdents getdents64 getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch lchown lchown32
lgetxattr link linkat listxattr llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 memfd_create mkdir mkdirat
mknod mknodat name_to_handle_at newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read
readahead readlink readlinkat readv removexattr rename renameat renameat2 rmdir sendfile sendfile64 setxattr splice stat
stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat
utime utimensat utimensat_time64 utimes vmsplice write writev
"""
_MEMORY = """
brk get_mempolicy madvise mbind membarrier mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap msync munlock
munlockall munmap pkey_alloc pkey_free pkey_mprotect process_madvise remap_file_pages set_mempolicy
set_mempolicy_home_node map_shadow_stack mseal cachestat
"""
_PROCESSES = """
arch_prctl capget capset execve execveat exit exit_group fork get_robust_list get_thread_area getcpu getegid getegid32
geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid getpriority getresgid getresgid32
getresuid getresuid32 getrlimit getrusage getsid gettid getuid getuid32 ioprio_get ioprio_set kcmp kill pause
pidfd_getfd pidfd_open pidfd_send_signal prctl prlimit64 ptrace process_mrelease restart_syscall rseq rt_sigaction
rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
sched_setscheduler sched_yield seccomp set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid
setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32
setresuid setresuid32 setreuid setreuid32 setrlimit setsid setuid setuid32 sigaltstack signalfd signalfd4 sigprocmask
sigreturn sysinfo tgkill times tkill ugetrlimit uname vfork wait4 waitid waitpid landlock_add_rule
landlock_create_ruleset landlock_restrict_self
"""
_WAITING = """
alarm clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 epoll_create
epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 futex
futex_requeue futex_time64 futex_wait futex_waitv futex_wake getitimer gettimeofday io_cancel io_destroy io_getevents
io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl nanosleep _newselect pipe pipe2 poll ppoll ppoll_time64
pselect6 pselect6_time64 select time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64
timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64
"""
_TALKING = """
accept accept4 bind connect getpeername getrandom getsockname getsockopt ipc listen mq_getsetattr mq_notify mq_open
mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd recv
recvfrom recvmmsg recvmmsg_time64 recvmsg semctl semget semop semtimedop semtimedop_time64 send sendmmsg sendmsg sendto
setsockopt shmat shmctl shmdt shmget shutdown socketpair
"""

_CLONE_NEW_ANY = 0x7E020000  # every CLONE_NEW* flag of clone(2) but the time namespace's, which clone cannot take
_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6
_AF_NETLINK, _NETLINK_ROUTE = 16, 0  # getaddrinfo asks it for addresses
_EPERM, _ENOSYS = 1, 38


def render_profile() -> dict[str, Any]:
    """The `linux.seccomp` object of an OCI configuration."""
    allowed = " ".join((_FILES, _MEMORY, _PROCESSES, _WAITING, _TALKING)).split()
    no_namespaces = {"index": 0, "value": _CLONE_NEW_ANY, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _EPERM,
        "architectures": _ARCHITECTURES.get(platform.machine(), []),
        "syscalls": [
            {"names": sorted(set(allowed)), "action": "SCMP_ACT_ALLOW"},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [no_namespaces]},
            # clone3 hides its flags behind a pointer that a filter cannot read: glibc falls back to clone.
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS},
            # No socketcall: 32-bit programs could ask it for families that a filter cannot see. glibc does without.
            *(_allow_socket(family) for family in _FAMILIES),
            _allow_netlink(),
            # personality: Linux (0) and what `uname26` and setarch -R ask for; others weaken address randomisation.
            *(_allow_personality(value) for value in (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)),
        ],
    }


def _allow_socket(family: int) -> dict[str, Any]:
    argument = {"index": 0, "value": family, "op": "SCMP_CMP_EQ"}
    return {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [argument]}


def _allow_netlink() -> dict[str, Any]:
    family = {"index": 0, "value": _AF_NETLINK, "op": "SCMP_CMP_EQ"}
    protocol = {"index": 2, "value": _NETLINK_ROUTE, "op": "SCMP_CMP_EQ"}
    return {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [family, protocol]}


def _allow_personality(value: int) -> dict[str, Any]:
    argument = {"index": 0, "value": value, "op": "SCMP_CMP_EQ"}
    return {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [argument]}
