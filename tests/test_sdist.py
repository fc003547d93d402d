"""What is published is whole: who has the source distribution has the documents, the examples and the tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.conftest import ROOT

BUILD = "import setuptools.build_meta as b, sys; print(b.build_sdist(sys.argv[1]))"
WHOLE = ("docs", "examples", "plans", "tests", "reconciler")
FILES = ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "pyproject.toml")


def test_the_source_distribution_is_whole(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    leave = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*_cache", "build", "dist")
    for name in (*WHOLE, *FILES, "MANIFEST.in"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=leave)
        else:
            shutil.copy(ROOT / name, tree / name)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(tmp_path)], cwd=tree, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {str(p.relative_to(tree)) for name in WHOLE for p in (tree / name).rglob("*") if p.is_file()}
    wanted = {name for name in wanted if not name.endswith(".pyc")} | set(FILES)
    assert not wanted - packed, sorted(wanted - packed)[:20]
