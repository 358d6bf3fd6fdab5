"""A filter on the system calls of a submission, beyond what namespaces and limits cover.

It refuses memory that no limit counts (memfd, System V segments, message queues, kernel keys),
access to other processes, and parts of the kernel that no exercise needs. Source: seccomp(2); the
numbers are those of the kernel's system call tables.
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
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def refuse():
    """Refuse these calls in this process and all its children, for good.

    The process must have no new privileges (bubblewrap sees to that). Does nothing on another
    processor architecture. Raises OSError when the kernel does not accept the filter.
    """
    if platform.machine() not in REFUSED:
        return
    architecture, calls = REFUSED[platform.machine()]
    numbers = sorted(calls.values())
    count = len(numbers)
    lines = [
        (LOAD, 0, 0, 4),  # the architecture; another one would mean other numbers
        (EQUAL, 0, count + 4, architecture),
        (LOAD, 0, 0, 0),  # the number; from 2**30 on they are those of the x32 variant
        (AT_LEAST, count + 1, 0, 1 << 30),
        *((EQUAL, count - i, 0, number) for i, number in enumerate(numbers)),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, KILL),
    ]
    code = b"".join(struct.pack("=HBBI", *line) for line in lines)
    program = _Program(len(lines), code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "the system call filter was not accepted")
