"""
Structures of the kernel's interface, packed and unpacked for any architecture.

`of` gives a `Structure` laid out as a C compiler of that architecture would.  The
definitions are text, a field and its C type a row:

- numbers: ``int uint short ushort long ulong llong ullong size_t pointer char``, and
  ``u8`` to ``s64`` of a fixed width;
- ``wide``, 64 bits of which only a ``long`` counts: a 32-bit program may leave whatever
  it had there in the rest (get_timespec64 in kernel/time/time.c);
- ``sigset``, 64 signals as one number, bit 0 for signal 1, in whatever order of words;
- other structures by name, and arrays of all these.  ``char`` arrays are bytes; an
  array of no elements takes no room but aligns, as in C.

Fields whose names begin with an underscore are padding.  A first line ``packed`` means
that nothing is aligned, ``size N`` that there are at least N bytes.  What an
architecture has differently stands in `Arch.structures` in the same form.

Source: include/uapi/asm-generic and include/uapi/linux of Linux 6.12; elfcore.h there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

from blcr.annotations import Any
from blcr.architecture import Arch, Layout
from blcr.record import Record

# Bytes (0: those of a word), and whether the number has a sign.
_NUMBERS = {
    "char": (1, False),
    "u8": (1, False),
    "s8": (1, True),
    "short": (2, True),
    "ushort": (2, False),
    "u16": (2, False),
    "s16": (2, True),
    "int": (4, True),
    "uint": (4, False),
    "u32": (4, False),
    "s32": (4, True),
    "llong": (8, True),
    "ullong": (8, False),
    "u64": (8, False),
    "s64": (8, True),
    "long": (0, True),
    "ulong": (0, False),
    "size_t": (0, False),
    "pointer": (0, False),
}


class CType(Record):
    """A type of C: its size and alignment in bytes, and how values become bytes."""

    size: int
    alignment: int
    pack: Callable[[Any], bytes]
    unpack: Callable[[bytes], Any]


class Field(Record):
    """A field: where it lies, in bytes from the start of the structure."""

    offset: int
    type: CType


class Structure(Record):
    """A structure as one architecture lays it out; size and alignment in bytes."""

    name: str
    size: int
    alignment: int
    fields: Mapping[str, Field]

    def pack(self, **values: Any) -> bytes:  # noqa: ANN401
        """
        Return the structure with the given fields, the rest of it zero.

        Numbers are cut to their width, as C does; text and arrays may be shorter than
        their room.  A nested structure is given as a mapping.

        Raises:
            KeyError: There is no such field.
            ValueError: A text or array is too long.
        """
        out = bytearray(self.size)
        for name, value in values.items():
            offset, kind = self.fields[name]
            data = kind.pack(value)
            if len(data) > kind.size:
                raise ValueError(f"{self.name}.{name}: more than {kind.size} bytes")
            out[offset : offset + kind.size] = data
        return bytes(out)

    def unpack(self, data: bytes) -> dict[str, Any]:
        """
        Return the fields: numbers, bytes, tuples for arrays, dicts for structures.

        Raises:
            ValueError: There is too little data; what lies behind is not looked at.
        """
        if len(data) < self.size:
            raise ValueError(f"{self.name}: {len(data)} bytes instead of {self.size}")
        return {
            name: kind.unpack(data[offset : offset + kind.size])
            for name, (offset, kind) in self.fields.items()
        }

    def offset(self, field: str) -> int:
        """Return where a field lies, in bytes."""
        return self.fields[field].offset


def of(arch: Arch, name: str) -> Structure:
    """
    Return a structure as `arch` has it.

    Raises:
        KeyError: It is not defined.
    """
    return _structure(name, arch.layout, tuple(arch.structures.items()))


@cache
def _structure(
    name: str, layout: Layout, own: tuple[tuple[str, str], ...]
) -> Structure:
    """Lay out a definition: an architecture's own, or else the generic one."""
    generic = DEFINITIONS_32 if layout.word_size == 4 else DEFINITIONS
    text = dict(own).get(name) or generic.get(name) or DEFINITIONS[name]
    rows = [line.split() for line in text.splitlines() if line.strip()]
    packed = rows[0] == ["packed"]
    sized = rows[0][0] == "size" and rows[0][1].isdigit()
    minimum = int(rows[0][1]) if sized else 0

    fields: dict[str, Field] = {}
    end, alignment = 0, 1
    for field, kind in rows[packed or minimum > 0 :]:
        ctype = _type(kind, layout, own)
        if not packed:
            alignment = max(alignment, ctype.alignment)
            end = _aligned(end, ctype.alignment)
        if not field.startswith("_"):
            fields[field] = Field(end, ctype)
        end += ctype.size
    return Structure(name, max(minimum, _aligned(end, alignment)), alignment, fields)


def _aligned(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment


def _type(text: str, layout: Layout, own: tuple[tuple[str, str], ...]) -> CType:
    """Return a row's type."""
    name, bracket, count = text.rstrip("]").partition("[")
    if name in _NUMBERS:
        element = _number(*_NUMBERS[name], layout)
    elif name == "wide":
        element = _wide(layout)
    elif name == "sigset":
        element = _signal_set(layout)
    else:
        inner = _structure(name, layout, own)
        element = CType(
            inner.size,
            inner.alignment,
            lambda fields: inner.pack(**fields),
            inner.unpack,
        )
    if not bracket:
        return element
    return _text(int(count)) if name == "char" else _array(element, int(count))


def _number(size: int, signed: bool, layout: Layout) -> CType:
    size = size or layout.word_size
    byteorder, mask = layout.byteorder, (1 << 8 * size) - 1
    return CType(
        size,
        layout.align_8 if size == 8 else size,
        lambda value: (value & mask).to_bytes(size, byteorder),
        lambda data: int.from_bytes(data, byteorder, signed=signed),
    )


def _wide(layout: Layout) -> CType:
    """Return the type of 64 bits of which only a word counts."""
    whole = _number(8, signed=True, layout=layout)
    top = 1 << 8 * layout.word_size - 1

    def cut(data: bytes) -> int:
        return int((whole.unpack(data) + top) % (2 * top) - top)

    return whole._replace(unpack=cut)


def _signal_set(layout: Layout) -> CType:
    """Return the type of a set of 64 signals: words, that of signal 1 first."""
    word = layout.word_size

    def ordered(data: bytes) -> bytes:
        if layout.byteorder == "little":
            return data
        return b"".join(data[at : at + word][::-1] for at in range(0, 8, word))

    return CType(
        8,
        word,
        lambda value: ordered(value.to_bytes(8, "little")),
        lambda data: int.from_bytes(ordered(data), "little"),
    )


def _text(size: int) -> CType:
    return CType(size, 1, lambda value: value.ljust(size, b"\0"), bytes)


def _array(element: CType, count: int) -> CType:
    size = element.size

    def pack(values: Sequence[Any]) -> bytes:
        return b"".join(map(element.pack, values)).ljust(count * size, b"\0")

    def unpack(data: bytes) -> tuple[Any, ...]:
        return tuple(
            element.unpack(data[at : at + size]) for at in range(0, len(data), size)
        )

    return CType(count * size, element.alignment, pack, unpack)


DEFINITIONS_32: Mapping[str, str] = {
    "shmid64_ds": """
        perm        ipc_perm
        segsz       size_t
        atime       ulong
        atime_high  ulong
        dtime       ulong
        dtime_high  ulong
        ctime       ulong
        ctime_high  ulong
        cpid        int
        lpid        int
        nattch      ulong
        _           ulong[2]
    """,
    "msqid64_ds": """
        perm        ipc_perm
        stime       ulong
        stime_high  ulong
        rtime       ulong
        rtime_high  ulong
        ctime       ulong
        ctime_high  ulong
        cbytes      ulong
        qnum        ulong
        qbytes      ulong
        lspid       int
        lrpid       int
        _           ulong[2]
    """,
    "semid64_ds": """
        perm        ipc_perm
        otime       ulong
        otime_high  ulong
        ctime       ulong
        ctime_high  ulong
        nsems       ulong
        _           ulong[2]
    """,
    # Its mode_t has 16 bits there.
    "ipc_perm": """
        key   int
        uid   uint
        gid   uint
        cuid  uint
        cgid  uint
        mode  ushort
        _     ushort
        seq   ushort
        _     ushort
        _     ulong[2]
    """,
}
"""
What asm-generic has differently where a word has 32 bits: times have a second word.

Source: include/uapi/asm-generic/{ipc,shm,msg,sem}buf.h.
"""

DEFINITIONS: Mapping[str, str] = {
    # Time.
    "timespec": """
        sec   long
        nsec  long
    """,
    "old_timespec32": """
        sec   s32
        nsec  s32
    """,
    "timespec64": """
        sec   s64
        nsec  wide
    """,
    "timeval": """
        sec   long
        usec  long
    """,
    "itimerval": """
        interval  timeval
        value     timeval
    """,
    # System V objects; with words of 32 bits see `DEFINITIONS_32`.
    "ipc_perm": """
        key   int
        uid   uint
        gid   uint
        cuid  uint
        cgid  uint
        mode  uint
        seq   ushort
        _     ushort
        _     ulong[2]
    """,
    "shmid64_ds": """
        perm    ipc_perm
        segsz   size_t
        atime   long
        dtime   long
        ctime   long
        cpid    int
        lpid    int
        nattch  ulong
        _       ulong[2]
    """,
    "msqid64_ds": """
        perm    ipc_perm
        stime   long
        rtime   long
        ctime   long
        cbytes  ulong
        qnum    ulong
        qbytes  ulong
        lspid   int
        lrpid   int
        _       ulong[2]
    """,
    "semid64_ds": """
        perm   ipc_perm
        otime  long
        ctime  long
        nsems  ulong
        _      ulong[2]
    """,
    "sembuf": """
        num  ushort
        op   short
        flg  short
    """,
    "mq_attr": """
        flags    long
        maxmsg   long
        msgsize  long
        curmsgs  long
        _        long[4]
    """,
    "itimerspec": """
        interval  timespec
        value     timespec
    """,
    "itimerspec64": """
        interval  timespec64
        value     timespec64
    """,
    "tms": """
        utime   long
        stime   long
        cutime  long
        cstime  long
    """,
    "timex": """
        modes      uint
        offset     long
        freq       long
        maxerror   long
        esterror   long
        status     int
        constant   long
        precision  long
        tolerance  long
        time       timeval
        tick       long
        ppsfreq    long
        jitter     long
        shift      int
        stabil     long
        jitcnt     long
        calcnt     long
        errcnt     long
        stbcnt     long
        tai        int
        _          int[11]
    """,
    # Signals.
    "sigaction": """
        handler   pointer
        flags     ulong
        restorer  pointer
        mask      sigset
    """,
    "sigset": """
        mask  sigset
    """,
    "sigaltstack": """
        sp     pointer
        flags  int
        size   size_t
    """,
    # pselect6's sixth argument.
    "sigset_argpack": """
        mask  pointer
        size  size_t
    """,
    "sigevent": """
        size 64
        value   pointer
        signo   int
        notify  int
        tid     int
    """,
    # The union behind the head, by kind of signal; see sigaction(2).
    "siginfo": """
        size 128
        signo  int
        errno  int
        code   int
        raw    pointer[0]
    """,
    "siginfo_kill": """
        size 128
        signo  int
        errno  int
        code   int
        _      pointer[0]
        pid    int
        uid    uint
    """,
    "siginfo_rt": """
        size 128
        signo  int
        errno  int
        code   int
        _      pointer[0]
        pid    int
        uid    uint
        value  pointer
    """,
    "siginfo_timer": """
        size 128
        signo    int
        errno    int
        code     int
        _        pointer[0]
        tid      int
        overrun  int
        value    pointer
    """,
    "siginfo_child": """
        size 128
        signo   int
        errno   int
        code    int
        _       pointer[0]
        pid     int
        uid     uint
        status  int
        utime   long
        stime   long
    """,
    "siginfo_fault": """
        size 128
        signo  int
        errno  int
        code   int
        _      pointer[0]
        addr   pointer
    """,
    "siginfo_poll": """
        size 128
        signo  int
        errno  int
        code   int
        _      pointer[0]
        band   long
        fd     int
    """,
    "siginfo_sys": """
        size 128
        signo      int
        errno      int
        code       int
        _          pointer[0]
        call_addr  pointer
        syscall    int
        arch       uint
    """,
    "signalfd_siginfo": """
        size 128
        signo    u32
        errno    s32
        code     s32
        pid      u32
        uid      u32
        fd       s32
        tid      u32
        band     u32
        overrun  u32
        trapno   u32
        status   s32
        int      s32
        ptr      u64
        utime    u64
        stime    u64
    """,
    # Processes and threads.
    "clone_args": """
        flags         u64
        pidfd         u64
        child_tid     u64
        parent_tid    u64
        exit_signal   u64
        stack         u64
        stack_size    u64
        tls           u64
        set_tid       u64
        set_tid_size  u64
        cgroup        u64
    """,
    "cap_header": """
        version  u32
        pid      int
    """,
    "cap_data": """
        effective    u32
        permitted    u32
        inheritable  u32
    """,
    "sched_attr": """
        size            u32
        sched_policy    u32
        sched_flags     u64
        sched_nice      s32
        sched_priority  u32
        sched_runtime   u64
        sched_deadline  u64
        sched_period    u64
        sched_util_min  u32
        sched_util_max  u32
    """,
    # As 64-bit kernels read it, from 32-bit programs too, for which the header has it
    # shorter.
    "prctl_mm_map": """
        start_code   u64
        end_code     u64
        start_data   u64
        end_data     u64
        start_brk    u64
        brk          u64
        start_stack  u64
        arg_start    u64
        arg_end      u64
        env_start    u64
        env_end      u64
        auxv         pointer
        auxv_size    u32
        exe_fd       u32
    """,
    "robust_list_head": """
        list             pointer
        futex_offset     long
        list_op_pending  pointer
    """,
    "rseq": """
        size 32
        cpu_id_start  u32
        cpu_id        u32
        rseq_cs       u64
        flags         u32
    """,
    "rseq_cs": """
        version             u32
        flags               u32
        start_ip            u64
        post_commit_offset  u64
        abort_ip            u64
    """,
    "user_desc": """
        entry_number  uint
        base_addr     uint
        limit         uint
        flags         uint
    """,
    "sched_param": """
        priority  int
    """,
    "rlimit": """
        cur  ulong
        max  ulong
    """,
    "rlimit64": """
        cur  u64
        max  u64
    """,
    "rusage": """
        utime     timeval
        stime     timeval
        maxrss    long
        ixrss     long
        idrss     long
        isrss     long
        minflt    long
        majflt    long
        nswap     long
        inblock   long
        oublock   long
        msgsnd    long
        msgrcv    long
        nsignals  long
        nvcsw     long
        nivcsw    long
    """,
    # The machine.
    "utsname": """
        sysname     char[65]
        nodename    char[65]
        release     char[65]
        version     char[65]
        machine     char[65]
        domainname  char[65]
    """,
    "sysinfo": """
        size 64
        uptime     long
        loads      ulong[3]
        totalram   ulong
        freeram    ulong
        sharedram  ulong
        bufferram  ulong
        totalswap  ulong
        freeswap   ulong
        procs      u16
        _          u16
        totalhigh  ulong
        freehigh   ulong
        mem_unit   u32
    """,
    # Files.
    "iovec": """
        base  pointer
        len   size_t
    """,
    "pollfd": """
        fd       int
        events   short
        revents  short
    """,
    "epoll_event": """
        events  u32
        data    u64
    """,
    "open_how": """
        flags    u64
        mode     u64
        resolve  u64
    """,
    "flock": """
        type    short
        whence  short
        start   long
        len     long
        pid     int
    """,
    "flock64": """
        type    short
        whence  short
        start   s64
        len     s64
        pid     int
    """,
    "stat": """
        dev         ulong
        ino         ulong
        mode        uint
        nlink       uint
        uid         uint
        gid         uint
        rdev        ulong
        _           ulong
        size        long
        blksize     int
        _           int
        blocks      long
        atime       long
        atime_nsec  ulong
        mtime       long
        mtime_nsec  ulong
        ctime       long
        ctime_nsec  ulong
        _           uint[2]
    """,
    "stat64": """
        dev         u64
        ino         u64
        mode        uint
        nlink       uint
        uid         uint
        gid         uint
        rdev        u64
        _           u64
        size        s64
        blksize     int
        _           int
        blocks      s64
        atime       int
        atime_nsec  uint
        mtime       int
        mtime_nsec  uint
        ctime       int
        ctime_nsec  uint
        _           uint[2]
    """,
    "statx_timestamp": """
        sec   s64
        nsec  u32
        _     s32
    """,
    "statx": """
        size 256
        mask             u32
        blksize          u32
        attributes       u64
        nlink            u32
        uid              u32
        gid              u32
        mode             u16
        _                u16
        ino              u64
        size             u64
        blocks           u64
        attributes_mask  u64
        atime            statx_timestamp
        btime            statx_timestamp
        ctime            statx_timestamp
        mtime            statx_timestamp
        rdev_major       u32
        rdev_minor       u32
        dev_major        u32
        dev_minor        u32
        mnt_id           u64
    """,
    "statfs": """
        type     ulong
        bsize    ulong
        blocks   ulong
        bfree    ulong
        bavail   ulong
        files    ulong
        ffree    ulong
        fsid     int[2]
        namelen  ulong
        frsize   ulong
        flags    ulong
        _        ulong[4]
    """,
    "statfs64": """
        type     ulong
        bsize    ulong
        blocks   u64
        bfree    u64
        bavail   u64
        files    u64
        ffree    u64
        fsid     int[2]
        namelen  ulong
        frsize   ulong
        flags    ulong
        _        ulong[4]
    """,
    "dirent": """
        ino     ulong
        off     ulong
        reclen  ushort
        name    char[0]
    """,
    "dirent64": """
        ino     u64
        off     s64
        reclen  ushort
        type    u8
        name    char[0]
    """,
    "sockaddr_un": """
        family  ushort
        path    char[108]
    """,
    "msghdr": """
        name        pointer
        namelen     int
        iov         pointer
        iovlen      size_t
        control     pointer
        controllen  size_t
        flags       uint
    """,
    "cmsghdr": """
        len    size_t
        level  int
        type   int
    """,
    # Asynchronous I/O: a ring begins with the first, which is in fs/aio.c.
    "aio_ring": """
        id               uint
        nr               uint
        head             uint
        tail             uint
        magic            uint
        compat_features  uint
        incompat_features  uint
        header_length    uint
    """,
    # The two numbers left out are in another order in another byte order.
    "iocb": """
        data        u64
        _           u32[2]
        lio_opcode  u16
        reqprio     s16
        fildes      u32
        buf         u64
        nbytes      u64
        offset      s64
        _reserved   u64
        flags       u32
        resfd       u32
    """,
    "sock_fprog": """
        len     ushort
        filter  pointer
    """,
    # Terminals.
    "termios": """
        iflag  uint
        oflag  uint
        cflag  uint
        lflag  uint
        line   u8
        cc     char[19]
    """,
    "winsize": """
        row     ushort
        col     ushort
        xpixel  ushort
        ypixel  ushort
    """,
    # Notes of core files.  The general registers follow elf_prstatus, and after them
    # an int that says whether there are floating-point registers.
    "elf_siginfo": """
        signo  int
        code   int
        errno  int
    """,
    "elf_prstatus": """
        info     elf_siginfo
        cursig   short
        sigpend  ulong
        sighold  ulong
        pid      int
        ppid     int
        pgrp     int
        sid      int
        utime    timeval
        stime    timeval
        cutime   timeval
        cstime   timeval
    """,
    "elf_prpsinfo": """
        state   char
        sname   char
        zomb    char
        nice    char
        flag    ulong
        uid     uint
        gid     uint
        pid     int
        ppid    int
        pgrp    int
        sid     int
        fname   char[16]
        psargs  char[80]
    """,
}
