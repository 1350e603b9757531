"""Structures against the kernel's headers, and there and back again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blcr import registry
from blcr.architecture import Arch, Layout
from blcr.linux import structures
from harness import headers

KERNEL_HEADERS = """
    linux/types.h linux/time.h linux/time_types.h linux/times.h linux/timex.h
    linux/signal.h linux/sched.h linux/sched/types.h linux/capability.h
    linux/prctl.h linux/futex.h linux/rseq.h linux/resource.h linux/utsname.h
    linux/sysinfo.h linux/uio.h linux/poll.h linux/eventpoll.h linux/openat2.h
    linux/fcntl.h linux/signalfd.h asm/stat.h
    linux/aio_abi.h linux/filter.h linux/stat.h asm/statfs.h linux/un.h linux/termios.h
    linux/mqueue.h linux/sem.h linux/msg.h linux/shm.h
    kernel.h
""".split()

# Structure: type in C, and the prefix of its members' names.
KERNEL = {
    "timespec": ("struct timespec", "tv_"),
    "timespec64": ("struct __kernel_timespec", "tv_"),
    "timeval": ("struct timeval", "tv_"),
    "itimerval": ("struct itimerval", "it_"),
    "itimerspec": ("struct itimerspec", "it_"),
    "itimerspec64": ("struct __kernel_itimerspec", "it_"),
    "mq_attr": ("struct mq_attr", "mq_"),
    "tms": ("struct tms", "tms_"),
    "timex": ("struct timex", ""),
    "sigaltstack": ("stack_t", "ss_"),
    "siginfo": ("siginfo_t", "si_"),
    "siginfo_kill": ("siginfo_t", "si_"),
    "siginfo_rt": ("siginfo_t", "si_"),
    "siginfo_timer": ("siginfo_t", "si_"),
    "siginfo_child": ("siginfo_t", "si_"),
    "siginfo_fault": ("siginfo_t", "si_"),
    "siginfo_poll": ("siginfo_t", "si_"),
    "siginfo_sys": ("siginfo_t", "si_"),
    "sigevent": ("sigevent_t", "sigev_"),
    "signalfd_siginfo": ("struct signalfd_siginfo", "ssi_"),
    "clone_args": ("struct clone_args", ""),
    "sched_attr": ("struct sched_attr", ""),
    "cap_header": ("struct __user_cap_header_struct", ""),
    "cap_data": ("struct __user_cap_data_struct", ""),
    "robust_list_head": ("struct robust_list_head", ""),
    "rseq": ("struct rseq", ""),
    "rseq_cs": ("struct rseq_cs", ""),
    "prctl_mm_map": ("struct prctl_mm_map", ""),
    "rlimit": ("struct rlimit", "rlim_"),
    "rlimit64": ("struct rlimit64", "rlim_"),
    "rusage": ("struct rusage", "ru_"),
    "utsname": ("struct new_utsname", ""),
    "sysinfo": ("struct sysinfo", ""),
    "iovec": ("struct iovec", "iov_"),
    "pollfd": ("struct pollfd", ""),
    "epoll_event": ("struct epoll_event", ""),
    "open_how": ("struct open_how", ""),
    "flock": ("struct flock", "l_"),
    "stat": ("struct stat", "st_"),
    "statx_timestamp": ("struct statx_timestamp", "tv_"),
    "statx": ("struct statx", "stx_"),
    "statfs": ("struct statfs", "f_"),
    "statfs64": ("struct statfs64", "f_"),
    "iocb": ("struct iocb", "aio_"),
    "sock_fprog": ("struct sock_fprog", ""),
    "sockaddr_un": ("struct sockaddr_un", "sun_"),
    "termios": ("struct termios", "c_"),
    "winsize": ("struct winsize", "ws_"),
    "sigaction": ("struct kernel_sigaction", "act_"),
    "sigset_argpack": ("struct sigset_argpack", "set_"),
    "old_timespec32": ("struct old_timespec32", "tv_"),
    "dirent": ("struct linux_dirent", "d_"),
    "dirent64": ("struct linux_dirent64", "d_"),
    "ipc_perm": ("struct ipc64_perm", ""),
    "shmid64_ds": ("struct shmid64_ds", "shm_"),
    "msqid64_ds": ("struct msqid64_ds", "msg_"),
    "semid64_ds": ("struct semid64_ds", "sem_"),
    "sembuf": ("struct sembuf", "sem_"),
    "msghdr": ("struct user_msghdr", "msg_"),
    "cmsghdr": ("struct kernel_cmsghdr", "cmsg_"),
    "elf_siginfo": ("struct elf_siginfo", "si_"),
    "elf_prstatus": ("struct elf_prstatus", "pr_"),
    "elf_prpsinfo": ("struct elf_prpsinfo", "pr_"),
}

# Those that exist with one word size only.
KERNEL_32 = {
    "stat64": ("struct stat64", "st_"),
    "flock64": ("struct flock64", "l_"),
}

# Newer kernels have appended to these.
GROWING = {"rseq", "clone_args", "open_how"}

# No header has the first; a number, the same number, and one that not all architectures
# have.
NOT_COMPARED = {"aio_ring", "sched_param", "sigset", "user_desc"}

# Members of another name, by prefix and field.
MEMBERS = {
    "si_raw": "_sifields",
    "si_arch": "_sifields._sigsys._arch",
    "si_call_addr": "_sifields._sigsys._call_addr",
    "si_syscall": "_sifields._sigsys._syscall",
    "sigev_tid": "_sigev_un._tid",
}


def claims(arch: Arch, table: dict[str, tuple[str, str]]) -> list[str]:
    """Return the claims that all fields lie where `arch` has them."""
    made = []
    for name, (c_type, prefix) in table.items():
        structure = structures.of(arch, name)
        relation = ">=" if name in GROWING else "=="
        made.append(f"sizeof({c_type}) {relation} {structure.size}")
        for field, (offset, kind) in structure.fields.items():
            member = MEMBERS.get(prefix + field, prefix + field)
            made.append(f"__builtin_offsetof({c_type}, {member}) == {offset}")
            if kind.size:
                made.append(f"sizeof((({c_type} *)0)->{member}) == {kind.size}")
    return made


def test_structures_are_those_of_the_kernel(arch: Arch) -> None:
    """Sizes, offsets and widths are those of the kernel's headers."""
    table = KERNEL | (KERNEL_32 if arch.word_size == 4 else {})

    found = headers.complaints(arch.name, KERNEL_HEADERS, claims(arch, table))

    assert found == ""


def test_no_structure_is_left_out() -> None:
    """Every definition is compared with a header."""
    compared = {*KERNEL, *KERNEL_32}

    assert structures.DEFINITIONS.keys() == compared | NOT_COMPARED


LAYOUTS = [
    Layout(8, "little"),
    Layout(4, "little", 4),
    Layout(4, "big"),
    Layout(8, "big"),
]


def described(layout: Layout, **own: str) -> Arch:
    """Return an architecture of which only structures are of interest."""
    return registry.get(registry.names()[0])._replace(layout=layout, structures=own)


def values(kind: structures.CType) -> st.SearchStrategy[Any]:
    """Return values that a field of a simple type can hold."""
    sample = kind.unpack(bytes(kind.size))
    if isinstance(sample, bytes):
        return st.binary(min_size=kind.size, max_size=kind.size)
    return st.binary(min_size=kind.size, max_size=kind.size).map(kind.unpack)


@given(st.data())
def test_what_is_packed_is_unpacked(data: st.DataObject) -> None:
    """Every field of every structure keeps its value, in all layouts."""
    arch = described(data.draw(st.sampled_from(LAYOUTS)))
    structure = structures.of(
        arch, data.draw(st.sampled_from([*structures.DEFINITIONS]))
    )
    fields = {
        name: data.draw(values(kind)) for name, (_, kind) in structure.fields.items()
    }

    packed = structure.pack(**fields)

    assert len(packed) == structure.size
    assert structure.unpack(packed) == fields


def test_missing_fields_are_zero() -> None:
    """What is not given is packed as zero."""
    stack = structures.of(described(Layout(4, "big")), "sigaltstack")

    assert stack.pack(size=0x1234) == bytes.fromhex("00000000 00000000 00001234")


def test_numbers_are_cut_as_in_c() -> None:
    """A number too wide, or negative where there is no sign, keeps its low bits."""
    pair = structures.of(described(Layout(4, "little"), x="a u8\nb s8"), "x")

    assert pair.pack(a=-1, b=0x180) == b"\xff\x80"
    assert pair.unpack(b"\xff\x80") == {"a": 255, "b": -128}


def test_the_word_of_signal_1_comes_first() -> None:
    """A set is words in order of signal numbers, each in the byte order."""
    little, big, wide = (
        structures.of(described(layout), "sigset").pack(mask=1 << 32 | 2)
        for layout in (Layout(4, "little"), Layout(4, "big"), Layout(8, "big"))
    )

    assert little == bytes.fromhex("02000000 01000000")
    assert big == bytes.fromhex("00000002 00000001")
    assert wide == bytes.fromhex("00000001 00000002")


def test_a_packed_structure_has_no_gaps() -> None:
    """A first row `packed` takes all alignment away."""
    event = structures.of(
        described(Layout(8, "little"), epoll_event="packed\nevents u32\ndata u64"),
        "epoll_event",
    )

    assert (event.size, event.offset("data")) == (12, 4)


def test_a_text_too_long_is_refused() -> None:
    """It would run into the next field."""
    names = structures.of(described(Layout(8, "little")), "utsname")

    with pytest.raises(ValueError, match=r"utsname\.sysname: more than 65 bytes"):
        names.pack(sysname=bytes(66))


def test_too_little_data_is_refused() -> None:
    """A structure is never read from half of it."""
    spec = structures.of(described(Layout(8, "little")), "timespec")

    with pytest.raises(ValueError, match="timespec: 15 bytes instead of 16"):
        spec.unpack(bytes(15))
