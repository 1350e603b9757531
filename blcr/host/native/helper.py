"""
One system call in a short-lived thread of the program, with descriptors of its own.

A descriptor that a call leaves in the program would stay there if the checkpointer
died before it is closed again.  So the call is made in a thread that has been cloned
without CLONE_FILES: its table of descriptors is a copy, and ends with it.  From its
first instruction on the thread has a stack that leads from any call into
``rt_sigreturn`` and from there into ``exit``.  If the checkpointer dies, at whatever
instant, the thread ends; nothing of it is left.

The thread that clones it waits (CLONE_VFORK) until it has ended, with or without a
checkpointer.  As that is the main thread where possible, whose stack has both frames,
nobody writes over the frame of the new thread as long as it is needed.

Signals are blocked before the clone, and so in the new thread as long as it lives: no
handler runs in it.  Should the checkpointer die before they are, the call that the
thread is about to make then changes nothing.

Source: clone(2); kernel_clone in kernel/fork.c, Linux 6.12.
"""

from __future__ import annotations

import errno
import signal
import time

from blcr.annotations import Self
from blcr.errors import RemoteCallError, TaskGoneError
from blcr.host.native import held, procfs, ptrace
from blcr.host.native.injection import ALL_SIGNALS
from blcr.host.native.process import NativeTask
from blcr.linux import constants

_FRAMES = 2
_FLAGS = ("VM", "FS", "SIGHAND", "THREAD", "SYSVSEM", "VFORK")
_PAUSE_S = 0.00005
_AT_CALL = signal.SIGTRAP | 0x80


class Helper:
    """
    The thread, from entering the block to leaving it.

    Args:
        process: Stopped; nothing has been injected into it yet.
        task: The thread that makes it.

    Attributes:
        tid: Its id as the checkpointer sees it.

    Raises:
        RemoteCallError: The program may not make a thread.
    """

    def __init__(self, process: held.HeldProcess, task: NativeTask) -> None:
        self.tid = 0
        self._process = process
        self._maker = task.outer_tid
        self._injection = process.inject(task, _FRAMES)
        self._stack = 0

    def __enter__(self) -> Self:
        known = set(procfs.tids(self._process.outer_pid))
        try:
            self._make()
        except BaseException:
            for tid in set(procfs.tids(self._process.outer_pid)) - known:
                held.let_go(tid)
            raise
        return self

    def _make(self) -> None:
        """Have the thread made, up to where it is about to run."""
        injection, maker = self._injection, self._maker
        known = constants.of(self._process.arch)
        flags = sum(known[f"CLONE_{name}"] for name in _FLAGS)
        injection.enter("getpid", ())
        ptrace.set_signal_mask(maker, ALL_SIGNALS)
        self._stack = injection.last_stack()
        options = ptrace.PTRACE_O_TRACESYSGOOD | ptrace.PTRACE_O_TRACEVFORK
        ptrace.set_options(maker, options)
        injection.enter("clone", (flags, self._stack))
        self._await_call(maker)
        if self._await_call(maker).event != ptrace.PTRACE_EVENT_VFORK:
            code = -injection.leave() or errno.EAGAIN
            raise RemoteCallError(self._process.pid, "clone", code)
        self.tid = ptrace.event_message(maker)
        ptrace.wait(self.tid)

    def call(self, name: str, *args: int) -> int:
        """Have the thread make its one call; return the result, an error negative."""
        arch = self._process.arch
        note = arch.gp.note_type
        present = ptrace.register_set(self.tid, note)
        if present is None:
            raise TaskGoneError(f"thread {self.tid} ended while it was held")
        regs = self._injection.about_to(name, args, self._stack)
        ptrace.set_register_set(self.tid, note, arch.gp.encode(regs, present))
        self._await_call(self.tid)
        self._await_call(self.tid)
        after = ptrace.register_set(self.tid, note)
        if after is None:
            raise TaskGoneError(f"thread {self.tid} ended while it was held")
        return arch.call_result(arch.gp.decode(after))

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            held.let_go(self.tid)
            return
        try:
            ptrace.detach(self.tid)
        except BaseException:
            held.let_go(self.tid)
            raise
        self._injection.leave()
        while self.tid in procfs.tids(self._process.outer_pid):
            time.sleep(_PAUSE_S)

    def _await_call(self, tid: int) -> ptrace.Stop:
        """Let a thread run to the next beginning or end of a call, or to its clone."""
        number = 0
        while True:
            ptrace.request(ptrace.PTRACE_SYSCALL, tid, 0, number)
            stop = ptrace.wait(tid)
            assert stop is not None
            if stop.signal == _AT_CALL or stop.event == ptrace.PTRACE_EVENT_VFORK:
                return stop
            # SIGSTOP gets past a full mask, and is delivered as in an injection.
            number = 0 if stop.event else stop.signal
