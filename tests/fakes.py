"""Programs in place of real ones: shell scripts made of steps, in a directory that comes before others in PATH.

``program`` does its steps and nothing else; ``around`` is the real program, ``$REAL``, with steps before it, where
what ends the script (``refuse``, ``after``, ``PASS``) ends it there. Steps are lines of shell, so that a test may add
its own. A pattern is one of ``case``, against the arguments with a blank before, between and after them.
"""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

#: arguments of sacctmgr that change nothing
READS = "*show*"
#: the real program takes over
PASS = 'exec "$REAL" "$@"'
#: whoever called this program dies at once
KILL = "kill -9 $PPID"


def program(directory: Path, name: str, *steps: str, shell: str = "/bin/sh") -> Path:
    """A program that does these steps; one of that name in the directory, or a link to one, is replaced."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / name
    file.unlink(missing_ok=True)
    file.write_text("\n".join((f"#!{shell}", *steps)) + "\n")
    file.chmod(0o755)
    return file


def around(directory: Path, name: str, *steps: str) -> Path:
    """The real program of this host with steps before it."""
    real = shutil.which(name)
    assert real, f"this host has no {name}"
    return program(directory, name, f"REAL={real}", *steps, PASS)


def linked(directory: Path, *names: str, to: Path = Path("/usr/bin")) -> None:
    """The real programs beside those of ours, for where a directory is all that is looked at; missing ones are none."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        (directory / name).unlink(missing_ok=True)
        if (to / name).exists():
            (directory / name).symlink_to(to / name)


def in_front(directory: Path) -> str:
    """PATH with this directory before all others."""
    return f"{directory}:{os.environ['PATH']}"


# ---------------------------------------------------------------------- steps


def log(file: Path, what: str = "$*") -> str:
    """A line in a file for each call."""
    return f'echo "{what}" >> {file}'


def answer(text: str) -> str:
    """This on standard output, as it is."""
    return f"printf '%s\\n' {shlex.quote(text)}"


def refuse(text: str, code: int = 1) -> str:
    """This as an error, and the end."""
    return f"{answer(text)} >&2\nexit {code}"


def slow(seconds: float) -> str:
    """Nothing happens for a while."""
    return f"sleep {seconds}"


def where(condition: str, *steps: str) -> str:
    """Steps under a condition of the shell."""
    return "\n".join((f"if {condition}; then", *steps, "fi"))


def on(pattern: str, *steps: str) -> str:
    """Steps for some arguments."""
    return "\n".join((f'case " $* " in {pattern})', *steps, ";; esac"))


def unless(pattern: str, *steps: str) -> str:
    """Steps for all other arguments."""
    return "\n".join((f'case " $* " in {pattern}) ;; *)', *steps, ";; esac"))


def nth(file: Path, number: int, *steps: str) -> str:
    """Steps at the call of that number, counted in a file from 1 on."""
    counting = f"n=$(($(cat {file} 2>/dev/null || echo 0) + 1)); echo $n > {file}"
    return f"{counting}\n{where(f'[ $n -eq {number} ]', *steps)}"


def once(file: Path, *steps: str) -> str:
    """Steps at the first call; the file is there afterwards."""
    return where(f"[ ! -e {file} ]", f"touch {file}", *steps)


def after(*steps: str) -> str:
    """The real program to its end, then these steps; its exit code."""
    return "\n".join(('"$REAL" "$@"; code=$?', *steps, "exit $code"))


#: the caller is killed before, inside (what was begun goes on without the one that began it) and after the real program
KILLS = {"before": f"{KILL}; exit 1", "inside": f"{KILL}; sleep 0.3; {PASS}", "after": after(KILL)}
