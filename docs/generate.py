"""
Write those parts of the documentation that the code knows: ``python docs/generate.py``.

The manual pages and the completions of shells come from the commands' option tables,
the table of backends in ``porting.md`` from the folders in ``arch/``, that of programs
that cross between hosts in ``support.md`` from the tests' ledger.  With ``--check``
nothing is written, and the exit status says whether anything is out of step.
"""

from __future__ import annotations

import io
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

from completion import completions

from blcr import registry
from blcr.cli.options import COMMANDS, Command, Option

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from harness import crossing

ROOT = Path(__file__).parent.parent
MARK = "<!-- backends: docs/generate.py -->\n"
CROSSING_MARK = "<!-- crossing: docs/generate.py -->\n"

STATUSES = {
    "cr_run": "That of the program; 126 if it cannot be executed, 127 without one.",
    "cr_restart": "That of the first process, or as the signal that ended it; after a "
    "failure one of the following.",
}
ERRORS = """
1 not permitted, or a failure of another kind
3 there is no such process
16 the process, file or pid is in use
17 the file exists
21 the file is a folder
22 the request contradicts itself, or the context is damaged
28 no space is left on the device
52 the process uses something that cannot be saved, or an option is not supported yet
53 the context is of a newer format
55 the context is of another architecture
56 a debugger traces the process
255 the command line cannot be understood, or the context cannot be opened
"""


def main() -> int:
    """Write, or check, all of it."""
    stale = [
        path
        for path, text in generated()
        if not path.exists() or path.read_text() != text
    ]
    for path, text in generated():
        if "--check" not in sys.argv:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        elif path in stale:
            sys.stderr.write(f"{path.relative_to(ROOT)} is stale\n")
    return 1 if stale and "--check" in sys.argv else 0


def generated() -> Iterator[tuple[Path, str]]:
    """Yield files and what they shall contain."""
    for command in COMMANDS:
        yield ROOT / "docs" / "man" / f"{command.name}.1", manual(command)
        yield from completions(command, ROOT / "docs" / "completions")
    for name, mark, table in (
        ("porting.md", MARK, backends()),
        ("support.md", CROSSING_MARK, crossing.report()),
    ):
        path = ROOT / "docs" / name
        before, _, after = path.read_text().split(mark)
        yield path, f"{before}{mark}{table}{mark}{after}"


def manual(command: Command) -> str:
    """Return the manual page of a command."""
    lines = [
        f'.TH {command.name.upper()} 1 "" "blcr" "User Commands"',
        ".SH NAME",
        f"{command.name} \\- {command.summary}",
        ".SH SYNOPSIS",
        f".B {command.name}",
        _escaped(command.synopsis),
        ".SH DESCRIPTION",
        "\n.PP\n".join(map(_escaped, command.description)),
        ".SH OPTIONS",
    ]
    for group in command.groups:
        lines.append(f".SS {_escaped(group.title)}")
        for option in group.options:
            if not option.hidden:
                lines += [".TP", _flags(option), _escaped(option.help)]
    lines += [".SH EXIT STATUS", _escaped(STATUSES.get(command.name, "0, or:"))]
    for row in ERRORS.strip().splitlines():
        number, _, meaning = row.partition(" ")
        lines += [".TP", number, _escaped(meaning)]
    others = [one.name for one in COMMANDS if one is not command]
    lines += [".SH SEE ALSO", ",\n".join(f".BR {name} (1)" for name in others)]
    return "\n".join(lines) + "\n"


def _flags(option: Option) -> str:
    return _escaped(", ".join(f"\\fB{flag}\\fR" for flag in option.shown()))


def _escaped(text: str) -> str:
    return text.replace("-", "\\-")


def backends() -> str:
    """Return the table of architectures with their lines of code."""
    rows = [
        "| backend | lines of code | with comments and docstrings |",
        "|---|---|---|",
    ]
    for name in registry.names():
        code = total = 0
        for path in sorted((ROOT / "arch" / name).glob("*.py")):
            text = path.read_text()
            code += len(_code_lines(text))
            total += len(text.splitlines())
        rows.append(f"| {name} | {code} | {total} |")
    return "\n".join(rows) + "\n"


def _code_lines(text: str) -> set[int]:
    """Return the numbers of the lines that are neither blank, comment nor docstring."""
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT}
    silent |= {tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER}
    lines: set[int] = set()
    begins = True
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        docstring = begins and token.type == tokenize.STRING
        if token.type not in silent and not docstring:
            lines.update(range(token.start[0], token.end[0] + 1))
        if token.type not in {tokenize.COMMENT, tokenize.NL}:
            begins = token.type in silent
    return lines


if __name__ == "__main__":
    sys.exit(main())
