"""
The options of the commands: tables, and the parser that reads them.

Parser, ``--help`` and the manual pages are made of the same tables.  Options are
understood as getopt_long(3) does it: short ones may be joined, long ones abbreviated as
long as that is unambiguous, an argument follows after ``=`` or as the next word, and
``--`` ends them.  Which options there are is BLCR 0.8.5's choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from blcr.errors import BlcrError
from blcr.record import Record


class BadUsageError(BlcrError):
    """The command line cannot be understood."""

    exit_status = 255


class Option(Record):
    """
    One option.

    Attributes:
        key: What it decides; of several options with one key the last one wins.
        flags: Its spellings, such as ``"-f --file"``.
        help: What it does.
        value: What it decides for; with an argument, of what kind that is.
        metavar: What its argument is called; empty: it takes none.
        optional: The argument may be left out.
        hidden: Understood, but not shown.
    """

    key: str
    flags: str
    help: str
    value: str = ""
    metavar: str = ""
    optional: bool = False
    hidden: bool = False

    @property
    def spellings(self) -> tuple[str, ...]:
        """Its flags one by one."""
        return tuple(self.flags.split())

    def shown(self) -> tuple[str, ...]:
        """Return the flags as help shows them, the last one with the argument."""
        *others, last = self.spellings
        if not self.metavar:
            return self.spellings
        argument = f"{'=' if last.startswith('--') else ' '}{self.metavar}"
        return (*others, last + (f"[{argument}]" if self.optional else argument))


class Group(Record):
    """Options that belong together, under one heading."""

    title: str
    options: tuple[Option, ...]


class Command(Record):
    """
    A command.

    Attributes:
        synopsis: Its arguments in short.
        summary: What it does, in one line.
        description: Paragraphs for the manual.
        operands_last: The first argument that is no option ends the options.
    """

    name: str
    synopsis: str
    summary: str
    description: tuple[str, ...]
    groups: tuple[Group, ...]
    operands_last: bool = False

    def options(self) -> Iterator[Option]:
        """Yield all options."""
        for group in self.groups:
            yield from group.options


class Given(Record):
    """An option as it was given, with its argument, if any."""

    option: Option
    argument: str | None

    @property
    def value(self) -> str:
        """The argument, or what an option without one stands for."""
        return self.option.value if self.argument is None else self.argument


class Arguments(Record):
    """A command line, understood."""

    options: tuple[Given, ...]
    operands: tuple[str, ...]

    def all(self, key: str) -> tuple[Given, ...]:
        """Return the options that decide `key`, in order."""
        return tuple(one for one in self.options if one.option.key == key)

    def last(self, key: str, default: str = "") -> str:
        """Return what the last of those options decides for."""
        given = self.all(key)
        return given[-1].value if given else default

    def has(self, key: str) -> bool:
        """Tell whether there is such an option."""
        return bool(self.all(key))


def parse(command: Command, words: Sequence[str]) -> Arguments:
    """
    Understand a command line.

    Raises:
        BadUsageError: It has options that do not exist, or lacks an argument.
    """
    rest = list(words)
    options: list[Given] = []
    operands: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--":
            operands += rest
            break
        if word.startswith("--"):
            options.append(_long(command, word, rest))
        elif word.startswith("-") and word != "-":
            options += _short(command, word, rest)
        else:
            operands.append(word)
            if command.operands_last:
                operands += rest
                break
    return Arguments(tuple(options), tuple(operands))


def _long(command: Command, word: str, rest: list[str]) -> Given:
    name, equals, argument = word.partition("=")
    spellings = {flag: one for one in command.options() for flag in one.spellings}
    found = {one for flag, one in spellings.items() if flag.startswith(name)}
    if name in spellings:
        found = {spellings[name]}
    if not found:
        raise BadUsageError(f"unknown option '{name}'")
    if len(found) > 1:
        raise BadUsageError(f"option '{name}' is ambiguous")
    option = found.pop()
    if equals and not option.metavar:
        raise BadUsageError(f"option '{name}' takes no argument")
    if equals or not option.metavar or option.optional:
        return Given(option, argument if equals else None)
    if not rest:
        raise BadUsageError(f"option '{name}' needs an argument")
    return Given(option, rest.pop(0))


def _short(command: Command, word: str, rest: list[str]) -> Iterator[Given]:
    spellings = {flag: one for one in command.options() for flag in one.spellings}
    letters = word[1:]
    while letters:
        flag, letters = f"-{letters[0]}", letters[1:]
        option = spellings.get(flag)
        if option is None:
            raise BadUsageError(f"unknown option '{flag}'")
        if not option.metavar:
            yield Given(option, None)
            continue
        if not letters and not rest:
            raise BadUsageError(f"option '{flag}' needs an argument")
        yield Given(option, letters or rest.pop(0))
        return


HELP = Option("help", "-? -h --help", "Show this help and exit.")
VERSION = Option("version", "--version", "Show the version and exit.")
QUIET = Option("quiet", "-q --quiet", "Print nothing on standard error.")
JSON = Option("json", "--json", "Print the result as JSON on standard output.")
TRACEBACK = Option(
    "traceback", "--traceback", "Show where in the code an error arose.", hidden=True
)

_SIGNALS = (
    Option("signal", "--run", "Let them run on (the default)."),
    Option("signal", "-S --signal", "Send them this signal.", metavar="N"),
    Option("signal", "--stop", "Send them SIGSTOP.", "STOP"),
    Option("signal", "--term", "Send them SIGTERM.", "TERM"),
    Option("signal", "--abort", "Send them SIGABRT.", "ABRT"),
    Option("signal", "--kill", "Send them SIGKILL.", "KILL"),
    Option("signal", "--cont", "Send them SIGCONT.", "CONT"),
    # They differ from the above where programs have callbacks, of which there are none.
    Option("signal", "--early-stop", "", "STOP", hidden=True),
    Option("signal", "--early-abrt", "", "ABRT", hidden=True),
)

_MESSAGES = Group(
    "Messages on what is saved or rebuilt with a loss",
    (
        Option("messages", "--kmsg-none", "Print none.", "none"),
        Option(
            "messages", "--kmsg-error", "Print them after a failure (default).", "error"
        ),
        Option("messages", "--kmsg-warning", "Print them in any case.", "warning"),
    ),
)

CHECKPOINT = Command(
    "cr_checkpoint",
    "[OPTION]... ID",
    "write running processes to a context file",
    (
        "Saves the process ID, and whatever the scope adds, to a context file from "
        "which cr_restart(1) makes it go on. The program need not have been started in "
        "any special way. It runs on unharmed, unless a signal is asked for, which it "
        "gets before it executes another instruction.",
        "ID:GUEST means a process inside the emulator that has the pid ID, and what "
        "the scope adds to that; ID alone means all processes in there.",
        "Without a destination the context is context.ID in the current folder.",
    ),
    (
        Group(
            "General",
            (
                Option("verbose", "-v --verbose", "Say what is being done."),
                QUIET,
                JSON,
                HELP,
                VERSION,
                TRACEBACK,
            ),
        ),
        Group(
            "Which processes",
            (
                Option(
                    "scope",
                    "-T --tree",
                    "The process ID and all its descendants (the default).",
                    "tree",
                ),
                Option("scope", "-p --pid --process", "The process ID alone.", "pid"),
                Option("scope", "-g --pgid --group", "The process group ID.", "pgid"),
                Option("scope", "-s --sid --session", "The session ID.", "sid"),
            ),
        ),
        Group(
            "Where to",
            (
                Option(
                    "destination",
                    "-c --cwd",
                    "The file context.ID in the current folder (the default).",
                    "cwd",
                ),
                Option(
                    "destination",
                    "-f --file",
                    "This file.",
                    value="file",
                    metavar="FILE",
                ),
                Option(
                    "destination",
                    "-F --fd",
                    "This open descriptor, from its current offset.",
                    value="fd",
                    metavar="FD",
                ),
                Option(
                    "destination",
                    "-d --dir",
                    "Not implemented.",
                    value="dir",
                    metavar="DIR",
                ),
            ),
        ),
        Group(
            "If the file is there already",
            (
                Option(
                    "policy",
                    "--atomic",
                    "Replace it as soon as the new one is whole (the default).",
                    "atomic",
                ),
                Option(
                    "policy",
                    "--backup",
                    "Likewise, and keep it as NAME, or as FILE.~N~.",
                    value="backup",
                    metavar="NAME",
                    optional=True,
                ),
                Option("policy", "--clobber", "Write over it.", "clobber"),
                Option("policy", "--noclobber", "Fail.", "noclobber"),
            ),
        ),
        Group("What the processes do afterwards", _SIGNALS),
        Group(
            "Other options",
            (
                Option(
                    "sync",
                    "--sync",
                    "Wait until the context is on the disk (the default).",
                    "yes",
                ),
                Option("sync", "--nosync", "Do not wait for the disk."),
                Option(
                    "time",
                    "-t --time",
                    "Give up if the processes do not stand still after SEC seconds.",
                    metavar="SEC",
                ),
                Option(
                    "save",
                    "--save-exe",
                    "Save the contents of executables; a restart needs none then.",
                    "exe",
                ),
                Option(
                    "save",
                    "--save-private",
                    "Likewise of files mapped privately, such as libraries.",
                    "private",
                ),
                Option(
                    "save",
                    "--save-shared",
                    "Likewise of files mapped shared; a restart puts them back.",
                    "shared",
                ),
                Option("save", "--save-all", "Likewise of all mapped files.", "all"),
                Option(
                    "save", "--save-none", "Save files by name (the default).", "none"
                ),
                Option(
                    "save",
                    "--save-files",
                    "Save the contents of open files; a restart puts them back.",
                    "files",
                ),
                Option(
                    "close",
                    "--close-connections",
                    "Save connections that lead outside, too; a restart closes them.",
                ),
            ),
        ),
        Group(
            "Processes that a debugger traces",
            (
                Option("ptraced", "--ptraced-error", "Fail (the default).", "error"),
                Option("ptraced", "--ptraced-skip", "Leave them out.", "skip"),
                Option("ptraced", "--ptraced-allow", "Save them.", "allow"),
                Option(
                    "ptracer",
                    "--ptracer-error",
                    "Fail for debuggers (the default).",
                    "error",
                ),
                Option("ptracer", "--ptracer-skip", "Leave debuggers out.", "skip"),
            ),
        ),
        _MESSAGES,
    ),
)

_BOUNDS = (
    Option(
        "memory",
        "--memory",
        "Give emulated programs SIZE bytes together; with K, M or G units of 1024, "
        "1024^2 or 1024^3 (default half of what there is, up to 2G).",
        metavar="SIZE",
    ),
    Option(
        "tasks",
        "--tasks",
        "Let emulated programs have N threads together (default 2000).",
        metavar="N",
    ),
)

RESTART = Command(
    "cr_restart",
    "[OPTION]... [FILE]",
    "let the processes of a context file go on",
    (
        "Rebuilds the processes that cr_checkpoint(1) wrote to FILE. Either all of "
        "them run, or none is left. cr_restart stays as their parent, passes on the "
        "signals that it gets, and ends as the first of them does.",
    ),
    (
        Group(
            "General",
            (
                QUIET,
                JSON,
                HELP,
                Option("version", "-v --version", "Show the version and exit."),
                TRACEBACK,
            ),
        ),
        Group(
            "Where from",
            (
                Option(
                    "source", "-f --file", "This file.", value="file", metavar="FILE"
                ),
                Option(
                    "source",
                    "-F --fd",
                    "This open descriptor, from its current offset; also a pipe.",
                    value="fd",
                    metavar="FD",
                ),
                Option(
                    "source", "-d --dir", "Not implemented.", value="dir", metavar="DIR"
                ),
            ),
        ),
        Group(
            "Where to",
            (
                Option(
                    "check",
                    "--check",
                    "Start nothing; say whether this machine can, and what it lacks.",
                ),
                Option(
                    "emulate",
                    "--emulate",
                    "Run the processes under an emulator of their CPU.",
                ),
                Option(
                    "sysroot",
                    "--sysroot",
                    "Look for absolute paths of emulated programs in DIR first.",
                    metavar="DIR",
                ),
                *_BOUNDS,
                Option(
                    "relocate",
                    "--relocate",
                    "Use NEW for paths that begin with OLD; may be repeated.",
                    metavar="OLD=NEW",
                ),
                Option(
                    "keep-grown",
                    "--keep-grown",
                    "Do not cut files that have grown since back to their old length.",
                ),
                Option(
                    "close",
                    "--close-connections",
                    "Do not make connections to others again: they have ended.",
                ),
            ),
        ),
        Group(
            "Identity",
            (
                Option(
                    "restore-pid",
                    "--restore-pid",
                    "Give the processes their pids again (the default).",
                    "yes",
                ),
                Option("restore-pid", "--no-restore-pid", "Give them new ones."),
                Option(
                    "restore-pgid",
                    "--restore-pgid",
                    "Give them their process groups again.",
                    "yes",
                ),
                Option(
                    "restore-pgid",
                    "--no-restore-pgid",
                    "Leave the first one in that of cr_restart (the default).",
                ),
                Option(
                    "restore-sid",
                    "--restore-sid",
                    "Give them their sessions again.",
                    "yes",
                ),
                Option(
                    "restore-sid",
                    "--no-restore-sid",
                    "Leave the first one in that of cr_restart (the default).",
                ),
            ),
        ),
        Group(
            "What the processes do then",
            (
                *_SIGNALS,
                Option("signal", "--freeze", "The same as --stop.", "STOP"),
            ),
        ),
        Group(
            "In later checkpoints",
            (
                Option(
                    "omit",
                    "--omit-maybe",
                    "Leave cr_restart out where it is the one asked for (default).",
                    "maybe",
                ),
                Option("omit", "--omit-always", "Always leave it out.", "always"),
                Option("omit", "--omit-never", "Never leave it out.", "never"),
            ),
        ),
        Group(
            "Commands to run",
            (
                Option(
                    "on-success", "--run-on-success", "When they run.", metavar="CMD"
                ),
                Option(
                    "on-failure",
                    "--run-on-failure",
                    "After any failure.",
                    metavar="CMD",
                ),
                Option(
                    "on-args",
                    "--run-on-fail-args",
                    "After a mistake in the arguments, or without a readable context.",
                    metavar="CMD",
                ),
                Option(
                    "on-temp",
                    "--run-on-fail-temp",
                    "After a failure that may go away: no memory, a pid in use.",
                    metavar="CMD",
                ),
                Option(
                    "on-env",
                    "--run-on-fail-env",
                    "After one that others can mend: a missing file, a permission.",
                    metavar="CMD",
                ),
                Option(
                    "on-perm",
                    "--run-on-fail-perm",
                    "After one that will not go away: a damaged context.",
                    metavar="CMD",
                ),
            ),
        ),
        _MESSAGES,
    ),
)

RUN = Command(
    "cr_run",
    "[OPTION]... [--] PROGRAM [ARGUMENT]...",
    "start a program that is going to be checkpointed",
    (
        "Starts PROGRAM. A program can be checkpointed however it was started; this "
        "command is for choosing where it runs and what it may bind itself to, so that "
        "its contexts can be restarted elsewhere.",
    ),
    (
        Group("General", (HELP, VERSION, TRACEBACK)),
        Group(
            "Options",
            (
                Option("mode", "--run", "Start the program (the default).", "run"),
                Option("mode", "--omit", "Leave it out of checkpoints.", "omit"),
                Option("emulate", "--emulate", "Run it under an emulator of its CPU."),
                Option(
                    "sysroot",
                    "--sysroot",
                    "Look for absolute paths of the program in DIR first.",
                    metavar="DIR",
                ),
                Option(
                    "seed",
                    "--seed",
                    "Let the threads of an emulated program take turns as N decides.",
                    metavar="N",
                ),
                Option(
                    "strace",
                    "--strace",
                    "Print the system calls of an emulated program.",
                ),
                *_BOUNDS,
                Option(
                    "cpu",
                    "--cpu",
                    "Let it use no CPU features beyond LEVEL.",
                    metavar="LEVEL",
                ),
            ),
        ),
    ),
    operands_last=True,
)

INFO = Command(
    "cr_info",
    "[OPTION]... FILE",
    "show what is in a context file",
    (
        "Shows the processes of a context: threads with registers and the instruction "
        "at which each goes on, memory, descriptors, signals. FILE may be '-', which "
        "stands for standard input. The checksums of the whole file are compared "
        "first.",
    ),
    (
        Group("General", (JSON, HELP, VERSION, TRACEBACK)),
        Group(
            "What to show instead of all of it",
            (
                Option("threads", "--threads", "Threads and their registers."),
                Option("maps", "--maps", "The memory map."),
                Option("files", "--files", "Descriptors and open files."),
                Option("signals", "--signals", "Signal actions, pending signals."),
                Option("all", "--all", "All, and all registers of every kind."),
            ),
        ),
        Group(
            "Other options",
            (Option("quick", "--quick", "Do not compare checksums."),),
        ),
    ),
)

COMMANDS = (RUN, CHECKPOINT, RESTART, INFO)
