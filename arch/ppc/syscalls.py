"""
System calls: ``sc`` says failure in the condition register, ``scv`` in the result.

Source: arch/powerpc/kernel/syscalls/syscall.tbl, interrupt.c and check_syscall_restart
in signal.c there; Documentation/arch/powerpc/syscall64-abi.rst; Linux 6.12.
"""

from __future__ import annotations

from blcr.architecture import INTERRUPTED, InterruptedCall, Registers, call_table
from blcr.linux.unistd import OLD_CALLS, TIME64_CALLS, UNIFIED_CALLS
from blcr.record import Record

INSTRUCTION_SIZE = 4
SUMMARY_OVERFLOW = 0x1000_0000
"""CR0.SO in ccr: a call by ``sc`` failed, and gpr3 is the errno."""
MAX_ERRNO = 4095
SC, SCV = 0xC00, 0x3000
"""In trap while in a call; anything else, and nothing is resumed."""
SCV_AHEAD = 0x3010
"""In trap of a thread about to make a call by ``scv``: no trap that there is."""
ARGS = ("gpr3", "gpr4", "gpr5", "gpr6", "gpr7", "gpr8")


def _trap(regs: Registers) -> int:
    # The low four bits of trap are flags of the kernel's.
    return regs["trap"] & ~0xF


class Convention(Record):
    """How system calls are made, fail and are resumed; `mask` has a word's bits."""

    mask: int

    def begin_call(
        self, regs: Registers, number: int, args: tuple[int, ...]
    ) -> Registers:
        """Return registers that make the call."""
        values = {name: arg & self.mask for name, arg in zip(ARGS, args, strict=False)}
        ccr = regs["ccr"] & ~SUMMARY_OVERFLOW
        return {**regs, **values, "gpr0": number, "ccr": ccr, "trap": 0}

    def call_result(self, regs: Registers) -> int:
        """Return the result: a negative errno, or the value, which is not negative."""
        value = regs["gpr3"]
        if _trap(regs) == SCV:
            return value - self.mask - 1 if value > self.mask - MAX_ERRNO else value
        return -value if regs["ccr"] & SUMMARY_OVERFLOW else value

    def set_result(self, regs: Registers, result: int) -> Registers:
        """Return registers as after a call."""
        if _trap(regs) == SCV:
            return {**regs, "gpr3": result & self.mask}
        ccr = regs["ccr"] & ~SUMMARY_OVERFLOW
        if result < 0:
            return {**regs, "gpr3": -result, "ccr": ccr | SUMMARY_OVERFLOW}
        return {**regs, "gpr3": result & self.mask, "ccr": ccr}

    def interrupted_call(self, regs: Registers) -> InterruptedCall | None:
        """Return the call that the kernel is about to resume or has just broken off."""
        error = -self.call_result(regs)
        if _trap(regs) not in {SC, SCV} or error not in INTERRUPTED:
            return None
        args = (regs["orig_gpr3"], *(regs[name] for name in ARGS[1:]))
        return InterruptedCall(regs["gpr0"], args, error)

    def rewind_call(self, regs: Registers, call: InterruptedCall) -> Registers:
        """Return registers about to make the call again, which no kernel will touch."""
        back = {**regs, "nip": regs["nip"] - INSTRUCTION_SIZE}
        begun = self.begin_call(back, call.number, call.args)
        return {**begun, "trap": SCV_AHEAD} if _trap(regs) == SCV else begun

    def interrupt_call(self, regs: Registers, number: int, error: int) -> Registers:
        """Return registers as the kernel has them before it resumes a rewound call."""
        inside = {
            **regs,
            "nip": regs["nip"] + INSTRUCTION_SIZE,
            "gpr0": number,
            "orig_gpr3": regs["gpr3"],
            "trap": SCV if regs["trap"] == SCV_AHEAD else SC,
        }
        return self.set_result(inside, -error)


CONVENTION = Convention(0xFFFF_FFFF)

_OWN = call_table(
    """
    113 vm86 166 query_module poll nfsservctl setresgid getresgid prctl rt_sigreturn
    rt_sigaction rt_sigprocmask rt_sigpending rt_sigtimedwait rt_sigqueueinfo
    rt_sigsuspend pread64 pwrite64 chown getcwd capget capset sigaltstack sendfile
    getpmsg putpmsg vfork ugetrlimit readahead mmap2 truncate64 ftruncate64 stat64
    lstat64 fstat64 pciconfig_read pciconfig_write pciconfig_iobase multiplexer
    getdents64 pivot_root fcntl64 madvise mincore gettid tkill setxattr lsetxattr
    fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr removexattr
    lremovexattr fremovexattr futex sched_setaffinity sched_getaffinity 225 tuxcall
    sendfile64 io_setup io_destroy io_getevents io_submit io_cancel set_tid_address
    fadvise64 exit_group lookup_dcookie epoll_create epoll_ctl epoll_wait
    remap_file_pages timer_create timer_settime timer_gettime timer_getoverrun
    timer_delete clock_settime clock_gettime clock_getres clock_nanosleep swapcontext
    tgkill utimes statfs64 fstatfs64 fadvise64_64 rtas sys_debug_setcontext 258
    migrate_pages mbind get_mempolicy set_mempolicy mq_open mq_unlink mq_timedsend
    mq_timedreceive mq_notify mq_getsetattr kexec_load add_key request_key keyctl waitid
    ioprio_set ioprio_get inotify_init inotify_add_watch inotify_rm_watch spu_run
    spu_create pselect6 ppoll unshare splice tee vmsplice openat mkdirat mknodat
    fchownat futimesat fstatat64 unlinkat renameat linkat symlinkat readlinkat fchmodat
    faccessat get_robust_list set_robust_list move_pages getcpu epoll_pwait utimensat
    signalfd timerfd_create eventfd sync_file_range2 fallocate subpage_prot
    timerfd_settime timerfd_gettime signalfd4 eventfd2 epoll_create1 dup3 pipe2
    inotify_init1 perf_event_open preadv pwritev rt_tgsigqueueinfo fanotify_init
    fanotify_mark prlimit64 socket bind connect listen accept getsockname getpeername
    socketpair send sendto recv recvfrom shutdown setsockopt getsockopt sendmsg recvmsg
    recvmmsg accept4 name_to_handle_at open_by_handle_at clock_adjtime syncfs sendmmsg
    setns process_vm_readv process_vm_writev finit_module kcmp sched_setattr
    sched_getattr renameat2 seccomp getrandom memfd_create bpf execveat switch_endian
    userfaultfd membarrier 378 mlock2 copy_file_range preadv2 pwritev2 kexec_file_load
    statx pkey_alloc pkey_free pkey_mprotect rseq io_pgetevents 393 semget semctl shmget
    shmctl shmat shmdt msgget msgsnd msgrcv msgctl
    """
)
SYSCALLS = OLD_CALLS | _OWN | TIME64_CALLS | UNIFIED_CALLS
