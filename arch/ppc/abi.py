"""
What differs here from asm-generic.

Source: arch/powerpc/include/uapi/asm/{stat,termbits,fcntl,mman,ioctl,ioctls,errno,
auxvec,ipcbuf,shmbuf,msgbuf,sembuf}.h, Linux 6.12.
"""

from __future__ import annotations

from blcr.architecture import Layout, constant_table

LAYOUT = Layout(word_size=4, byteorder="big")

CONSTANTS = constant_table(
    """
    # socket.h, errno.h.
    SO_RCVLOWAT=16 SO_SNDLOWAT=17 SO_RCVTIMEO_OLD=18 SO_SNDTIMEO_OLD=19 SO_PASSCRED=20
    SO_PEERCRED=21 EDEADLOCK=58
    # fcntl.h, mman.h, auxvec.h.
    O_DIRECTORY=0o40000 O_NOFOLLOW=0o100000 O_LARGEFILE=0o200000 O_DIRECT=0o400000
    O_TMPFILE=0o20040000 MAP_NORESERVE=0x40 MAP_LOCKED=0x80 MCL_CURRENT=0x2000
    MCL_FUTURE=0x4000 MCL_ONFAULT=0x8000 AT_DCACHEBSIZE=19 AT_ICACHEBSIZE=20
    AT_UCACHEBSIZE=21 AT_IGNOREPPC=22
    # ioctl.h: another width and other values of the direction than elsewhere.
    FIOCLEX=0x20006601 FIONCLEX=0x20006602 FIONBIO=0x8004667e FIONREAD=0x4004667f
    TCGETS=0x402c7413 TCSETS=0x802c7414 TCSETSW=0x802c7415 TCSETSF=0x802c7416
    TCSBRK=0x2000741d TCXONC=0x2000741e TCFLSH=0x2000741f TIOCSWINSZ=0x80087467
    TIOCGWINSZ=0x40087468 TIOCOUTQ=0x40047473 TIOCSPGRP=0x80047476 TIOCGPGRP=0x40047477
    TIOCGPTN=0x40045430 TIOCSPTLCK=0x80045431 TIOCGPTPEER=0x20005441
    TIOCGPKT=0x40045438 TIOCGPTLCK=0x40045439 TIOCGEXCL=0x40045440
    INOTIFY_IOC_SETNEXTWD=0x80044900 TFD_IOC_SET_TICKS=0x80085400
    # termbits.h.
    IUCLC=0x1000 IXON=0x200 IXOFF=0x400 OLCUC=0x4 ONLCR=0x2 NLDLY=0x300 TABDLY=0xc00
    CRDLY=0x3000 FFDLY=0x4000 BSDLY=0x8000 VTDLY=0x10000 CBAUD=0xff BOTHER=0x1f
    B57600=0x10 CSIZE=0x300 CSTOPB=0x400 CREAD=0x800 PARENB=0x1000 PARODD=0x2000
    HUPCL=0x4000 CLOCAL=0x8000 ISIG=0x80 ICANON=0x100 XCASE=0x4000 ECHOE=0x2 ECHOK=0x4
    ECHONL=0x10 NOFLSH=0x80000000 TOSTOP=0x400000 ECHOCTL=0x40 ECHOPRT=0x20 ECHOKE=0x1
    FLUSHO=0x800000 PENDIN=0x20000000 IEXTEN=0x400 EXTPROC=0x10000000 VMIN=5 VEOL=6
    VTIME=7 VEOL2=8 VSWTC=9 VWERASE=10 VREPRINT=11 VSUSP=12 VSTART=13 VSTOP=14
    VDISCARD=16
    """
)

STAT_FROM_UID = """
    uid         uint
    gid         uint
    rdev        ulong
    size        long
    blksize     ulong
    blocks      ulong
    atime       ulong
    atime_nsec  ulong
    mtime       ulong
    mtime_nsec  ulong
    ctime       ulong
    ctime_nsec  ulong
"""

STRUCTURES_OF_FAMILY = {
    "termios": """
        iflag   uint
        oflag   uint
        cflag   uint
        lflag   uint
        cc      char[19]
        line    u8
        ispeed  uint
        ospeed  uint
    """,
    "ipc_perm": """
        key   int
        uid   uint
        gid   uint
        cuid  uint
        cgid  uint
        mode  uint
        seq   uint
        _     uint
        _     u64[2]
    """,
}

STRUCTURES = {
    **STRUCTURES_OF_FAMILY,
    "shmid64_ds": """
        perm        ipc_perm
        atime_high  ulong
        atime       ulong
        dtime_high  ulong
        dtime       ulong
        ctime_high  ulong
        ctime       ulong
        _           ulong
        segsz       size_t
        cpid        int
        lpid        int
        nattch      ulong
        _           ulong[2]
    """,
    "msqid64_ds": """
        perm        ipc_perm
        stime_high  ulong
        stime       ulong
        rtime_high  ulong
        rtime       ulong
        ctime_high  ulong
        ctime       ulong
        cbytes      ulong
        qnum        ulong
        qbytes      ulong
        lspid       int
        lrpid       int
        _           ulong[2]
    """,
    "semid64_ds": """
        perm        ipc_perm
        otime_high  ulong
        otime       ulong
        ctime_high  ulong
        ctime       ulong
        nsems       ulong
        _           ulong[2]
    """,
    "stat": f"""
        dev         ulong
        ino         ulong
        mode        uint
        nlink       ushort
        {STAT_FROM_UID}
        _           ulong[2]
    """,
    "stat64": """
        dev         u64
        ino         u64
        mode        uint
        nlink       uint
        uid         uint
        gid         uint
        rdev        u64
        _           ushort
        size        s64
        blksize     int
        blocks      s64
        atime       int
        atime_nsec  uint
        mtime       int
        mtime_nsec  uint
        ctime       int
        ctime_nsec  uint
        _           uint[2]
    """,
}
