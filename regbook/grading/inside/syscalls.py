"""A filter on the system calls of a submission, beyond what namespaces and limits cover.

It refuses memory that no limit counts (memfd, System V segments, message queues, kernel keys),
access to other processes, and parts of the kernel that no exercise needs. Some calls are refused
only for some arguments: new namespaces, and what would limit or slow the warm process. Source:
seccomp(2); the numbers are those of the kernel's system call tables.
"""

import ctypes
import errno
import platform
import struct

# The audit architecture, then the numbers.
REFUSED = {
    "x86_64": (0xC000003E, {
        "memfd_create": 319, "memfd_secret": 447, "shmget": 29, "semget": 64, "msgget": 68,
        "mq_open": 240, "add_key": 248, "request_key": 249, "keyctl": 250,
        "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "pidfd_getfd": 438,
        "unshare": 272, "setns": 308, "mount": 165, "umount2": 166, "pivot_root": 155,
        "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "io_uring_setup": 425,
    }),
    "aarch64": (0xC00000B7, {
        "memfd_create": 279, "memfd_secret": 447, "shmget": 194, "semget": 190, "msgget": 186,
        "mq_open": 180, "add_key": 217, "request_key": 218, "keyctl": 219,
        "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "pidfd_getfd": 438,
        "unshare": 97, "setns": 268, "mount": 40, "umount2": 39, "pivot_root": 41,
        "bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "io_uring_setup": 425,
    }),
}  # fmt: skip
# A new thread (which glibc asks clone for when there is no clone3), a new process, and what a
# process may do to another one of its user: to process 1 it must not.
CLONE = {"x86_64": 56, "aarch64": 220}
CLONE3 = 435
ON_A_PROCESS = {
    "x86_64": {"prlimit64": 302, "sched_setaffinity": 203, "sched_setscheduler": 144,
               "sched_setparam": 142, "sched_setattr": 314},
    "aarch64": {"prlimit64": 261, "sched_setaffinity": 122, "sched_setscheduler": 119,
                "sched_setparam": 118, "sched_setattr": 274},
}  # fmt: skip
SET_PRIORITY = {"x86_64": 141, "aarch64": 140}
NAMESPACES = 0x7E020000  # the flags of clone that make new ones, CLONE_NEWUSER among them
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
FIRST, SECOND = 16, 24  # where the low halves of the arguments stand
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
ABSENT = 0x00050000 | errno.ENOSYS
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _when(number, *lines):
    """Return the lines that run `lines`, which end with a return, for one call."""
    return [(EQUAL, 0, len(lines), number), *lines]


def _unless(*tests):
    """Return the lines that refuse the call when a test of an argument holds, else allow it."""
    lines = []
    for test, place, value in tests:
        lines += [(LOAD, 0, 0, place), (test, 0, 1, value), (RETURN, 0, 0, REFUSE)]
    return [*lines, (RETURN, 0, 0, ALLOW)]


def refuse() -> None:
    """Refuse these calls in this process and all its children, for good.

    The process must have no new privileges (bubblewrap sees to that). Does nothing on another
    processor architecture. Raises OSError when the kernel does not accept the filter.
    """
    if platform.machine() not in REFUSED:
        return
    machine = platform.machine()
    architecture, calls = REFUSED[machine]
    lines = [
        (LOAD, 0, 0, 4),  # the architecture; another one would mean other numbers
        (EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, 0),  # the number; from 2**30 on they are those of the x32 variant
        (AT_LEAST, 0, 1, 1 << 30),
        (RETURN, 0, 0, KILL),
        *_when(CLONE3, (RETURN, 0, 0, ABSENT)),
        *_when(CLONE[machine], *_unless((ANY_BIT, FIRST, NAMESPACES))),
        *_when(SET_PRIORITY[machine], *_unless((EQUAL, SECOND, 1), (EQUAL, FIRST, 2))),
    ]
    for number in ON_A_PROCESS[machine].values():
        lines += _when(number, *_unless((EQUAL, FIRST, 1)))
    for number in calls.values():
        lines += _when(number, (RETURN, 0, 0, REFUSE))
    lines.append((RETURN, 0, 0, ALLOW))
    code = b"".join(struct.pack("=HBBI", *line) for line in lines)
    program = _Program(len(lines), code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "the system call filter was not accepted")
