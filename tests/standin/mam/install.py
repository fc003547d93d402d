"""Puts the stand-in's executables into a directory: for tests, and for the demonstration, which has nothing but Python.

python3 -m tests.standin.mam.install DIRECTORY
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.fakes import program
from tests.standin.mam.client import PROGRAMS
from tests.standin.mam.program import VARIABLE

ROOT = Path(__file__).parents[3]
EMPTY_QUEUE = "<Data><Object>queue</Object></Data>"


def installed(binaries: Path, ledger: Path) -> dict[str, str]:
    """The ``mam-*`` commands, and a queue that is empty; what they need of the environment."""
    ledger.mkdir(parents=True, exist_ok=True)
    for name in PROGRAMS:
        begin = f"import sys; sys.argv[0]={name!r}; sys.path.insert(0, {str(ROOT)!r})"
        run = f"{begin}; from tests.standin.mam.program import main; sys.exit(main())"
        # -S: nothing of the site's packages is needed, and it starts in half the time
        program(binaries, name, f'exec {sys.executable} -S -c {json.dumps(run)} "$@"')
    program(binaries, "showq", f'cat "${VARIABLE}/queue" 2>/dev/null || echo "{EMPTY_QUEUE}"')
    program(binaries, "mjobctl", f'rm -f "${VARIABLE}/queue"')
    return {VARIABLE: str(ledger)}


if __name__ == "__main__":
    installed(Path(sys.argv[1]), Path(sys.argv[1]) / "mam")
