"""
What shells complete: made of the commands' option tables, for bash, zsh and fish.

Source: "Programmable Completion" in bash(1), ``_arguments`` in zshcompsys(1),
complete(1) of fish.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from blcr.cli.options import Command, Option

# By metavar, and by the last word of the synopsis: what bash's compgen, zsh and fish
# call it.  What is not here is not completed.
BASH = {
    "FILE": "-f",
    "NAME": "-f",
    "DIR": "-d",
    "CMD": "-c",
    "PROGRAM": "-c",
    "ID": '-W "$(ps -o pid= -u "$EUID")"',
}
ZSH = {
    "FILE": "_files",
    "NAME": "_files",
    "DIR": "_files -/",
    "CMD": "_cmdstring",
    "PROGRAM": "_command_names -e",
    "ID": "_pids",
}
FISH = {
    "FILE": "-F",
    "NAME": "-F",
    "DIR": "-a '(__fish_complete_directories)'",
    "CMD": "-a '(__fish_complete_command)'",
    "PROGRAM": "-a '(__fish_complete_command)'",
    "ID": "-a '(__fish_complete_pids)'",
}


def completions(command: Command, folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield files, named as shells look for them, and what they contain."""
    yield folder / "bash" / command.name, bash(command)
    yield folder / "zsh" / f"_{command.name}", zsh(command)
    yield folder / "fish" / f"{command.name}.fish", fish(command)


def bash(command: Command) -> str:
    """Return the completion for bash."""
    cases = []
    for option in _shown(command):
        if option.metavar and not option.optional:
            flags = "|".join(option.spellings)
            words = _compgen(BASH.get(option.metavar))
            cases.append(f"        {flags}) {words} return ;;")
    flags = [flag for option in _shown(command) for flag in option.spellings]
    return "\n".join(
        [
            f"# Completion of {command.name} for bash.",
            f"_{command.name}() {{",
            "    local word=$2 before=$3",
            "    COMPREPLY=()",
            "    # Bash takes the = in --file=NAME for a word.",
            "    [[ $before == = ]] && before=${COMP_WORDS[COMP_CWORD-2]}",
            "    [[ $word == = ]] && word=",
            "    case $before in",
            *cases,
            "    esac",
            "    case $word in",
            f"        -*) {_compgen('-W ' + repr(' '.join(flags)))} ;;",
            f"        *) {_compgen(BASH.get(_operand(command)))} ;;",
            "    esac",
            "}",
            f"complete -o filenames -F _{command.name} {command.name}",
            "",
        ]
    )


def _compgen(words: str | None) -> str:
    if words is None:
        return ":;"
    return f'mapfile -t COMPREPLY < <(compgen {words} -- "$word");'


def zsh(command: Command) -> str:
    """Return the completion for zsh."""
    lines = [f"#compdef {command.name}", "_arguments -s -S \\"]
    for option in _shown(command):
        argument = ""
        if option.metavar:
            what = ZSH.get(option.metavar, "")
            colon = "::" if option.optional else ":"
            argument = f"{colon}{option.metavar.lower()}:{what}".replace("=", "-")
        for flag in option.spellings:
            equals = "=" if option.metavar and flag.startswith("--") else ""
            plus = "+" if option.metavar and not flag.startswith("--") else ""
            text = _plain(option.help).replace("[", "\\[").replace("]", "\\]")
            text = text.replace(":", "\\:")
            lines.append(f"    '*{flag}{equals}{plus}[{text}]{argument}' \\")
    operand = _operand(command)
    if command.operands_last:
        lines += ["    '1:program:_command_names -e' \\", "    '*::arguments:_normal'"]
    else:
        lines.append(f"    '1:{operand.lower()}:{ZSH[operand]}'")
    return "\n".join(lines) + "\n"


def fish(command: Command) -> str:
    """Return the completion for fish."""
    lines = [f"complete -c {command.name} -f {FISH[_operand(command)]}"]
    for option in _shown(command):
        words = [f"complete -c {command.name}"]
        for flag in option.spellings:
            kind = "-l" if flag.startswith("--") else "-s"
            words.append(f"{kind} '{flag.lstrip('-')}'")
        if option.metavar and not option.optional:
            words.append(f"-r {FISH.get(option.metavar, '')}".strip())
        words.append(f"-d '{_plain(option.help)}'")
        lines.append(" ".join(words))
    return "\n".join(lines) + "\n"


def _shown(command: Command) -> Iterator[Option]:
    return (option for option in command.options() if not option.hidden)


def _plain(text: str) -> str:
    """Return a help text that may stand between single quotes."""
    return text.rstrip(".").replace("'", "")


def _operand(command: Command) -> str:
    """Return the kind of the first operand: ``ID``, ``FILE``, ``PROGRAM``."""
    words = [word.strip("[].") for word in command.synopsis.split()]
    return next(word for word in words if word in BASH)
