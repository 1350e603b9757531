"""
System calls of 32-bit processes, and the convention of the whole family.

Source: arch/x86/entry/syscalls/syscall_32.tbl; arch_do_signal_or_restart in
arch/x86/kernel/signal.c; MAX_ERRNO in include/linux/err.h; Linux 6.12.
"""

from __future__ import annotations

from blcr.architecture import INTERRUPTED, InterruptedCall, Registers, call_table
from blcr.linux.unistd import OLD_CALLS, TIME64_CALLS, UNIFIED_CALLS
from blcr.record import Record

MAX_ERRNO = 4095


class Convention(Record):
    """
    How system calls are made, fail and are resumed, by the names of the registers.

    The kernel keeps the number in `original`; -1 there says that the process is not in
    a call, and nothing will be resumed.
    """

    word_size: int
    pc: str
    result: str
    original: str
    args: tuple[str, ...]
    instruction_size: int = 2

    @property
    def _mask(self) -> int:
        return (1 << 8 * self.word_size) - 1

    def begin_call(
        self, regs: Registers, number: int, args: tuple[int, ...]
    ) -> Registers:
        """Return registers that make the call."""
        mask = self._mask
        values = {name: arg & mask for name, arg in zip(self.args, args, strict=False)}
        return {**regs, **values, self.result: number, self.original: mask}

    def redirect_call(
        self, regs: Registers, number: int, args: tuple[int, ...]
    ) -> Registers:
        """Return registers at the entry of a call that make another one."""
        begun = self.begin_call(regs, number, args)
        return {**begun, self.result: regs[self.result], self.original: number}

    def call_result(self, regs: Registers) -> int:
        """Return the result: a negative errno, or the value, which is not negative."""
        value = regs[self.result]
        return value - self._mask - 1 if value > self._mask - MAX_ERRNO else value

    def set_result(self, regs: Registers, result: int) -> Registers:
        """Return registers as after a call."""
        return {**regs, self.result: result & self._mask}

    def interrupted_call(self, regs: Registers) -> InterruptedCall | None:
        """Return the call that the kernel is about to resume or has just broken off."""
        number, error = regs[self.original], -self.call_result(regs)
        if error not in INTERRUPTED or number > self._mask >> 1:
            return None
        return InterruptedCall(number, tuple(regs[name] for name in self.args), error)

    def rewind_call(self, regs: Registers, call: InterruptedCall) -> Registers:
        """Return registers about to make the call again, which no kernel will touch."""
        pc = regs[self.pc] - self.instruction_size
        return self.begin_call({**regs, self.pc: pc}, call.number, call.args)

    def interrupt_call(self, regs: Registers, number: int, error: int) -> Registers:
        """Return registers as the kernel has them before it resumes a rewound call."""
        pc = regs[self.pc] + self.instruction_size
        return self.set_result({**regs, self.pc: pc, self.original: number}, -error)


CONVENTION = Convention(
    word_size=4,
    pc="eip",
    result="eax",
    original="orig_eax",
    args=("ebx", "ecx", "edx", "esi", "edi", "ebp"),
)

_OWN = call_table(
    """
    113 vm86old 166 vm86 query_module poll nfsservctl setresgid getresgid prctl
    rt_sigreturn rt_sigaction rt_sigprocmask rt_sigpending rt_sigtimedwait
    rt_sigqueueinfo rt_sigsuspend pread64 pwrite64 chown getcwd capget capset
    sigaltstack sendfile getpmsg putpmsg vfork ugetrlimit mmap2 truncate64 ftruncate64
    stat64 lstat64 fstat64 lchown32 getuid32 getgid32 geteuid32 getegid32 setreuid32
    setregid32 getgroups32 setgroups32 fchown32 setresuid32 getresuid32 setresgid32
    getresgid32 chown32 setuid32 setgid32 setfsuid32 setfsgid32 pivot_root mincore
    madvise getdents64 fcntl64 224 gettid readahead setxattr lsetxattr fsetxattr
    getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr removexattr
    lremovexattr fremovexattr tkill sendfile64 futex sched_setaffinity sched_getaffinity
    set_thread_area get_thread_area io_setup io_destroy io_getevents io_submit io_cancel
    fadvise64 252 exit_group lookup_dcookie epoll_create epoll_ctl epoll_wait
    remap_file_pages set_tid_address timer_create timer_settime timer_gettime
    timer_getoverrun timer_delete clock_settime clock_gettime clock_getres
    clock_nanosleep statfs64 fstatfs64 tgkill utimes fadvise64_64 vserver mbind
    get_mempolicy set_mempolicy mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify
    mq_getsetattr kexec_load waitid 286 add_key request_key keyctl ioprio_set ioprio_get
    inotify_init inotify_add_watch inotify_rm_watch migrate_pages openat mkdirat mknodat
    fchownat futimesat fstatat64 unlinkat renameat linkat symlinkat readlinkat fchmodat
    faccessat pselect6 ppoll unshare set_robust_list get_robust_list splice
    sync_file_range tee vmsplice move_pages getcpu epoll_pwait utimensat signalfd
    timerfd_create eventfd fallocate timerfd_settime timerfd_gettime signalfd4 eventfd2
    epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev rt_tgsigqueueinfo
    perf_event_open recvmmsg fanotify_init fanotify_mark prlimit64 name_to_handle_at
    open_by_handle_at clock_adjtime syncfs sendmmsg setns process_vm_readv
    process_vm_writev kcmp finit_module sched_setattr sched_getattr renameat2 seccomp
    getrandom memfd_create bpf execveat socket socketpair bind connect listen accept4
    getsockopt setsockopt getsockname getpeername sendto sendmsg recvfrom recvmsg
    shutdown userfaultfd membarrier mlock2 copy_file_range preadv2 pwritev2
    pkey_mprotect pkey_alloc pkey_free statx arch_prctl io_pgetevents rseq 393 semget
    semctl shmget shmctl shmat shmdt msgget msgsnd msgrcv msgctl 447 memfd_secret
    """
)
SYSCALLS = OLD_CALLS | _OWN | TIME64_CALLS | UNIFIED_CALLS
