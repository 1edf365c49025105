"""Puts the folders ``conf/`` and ``data/`` into the wheel; all else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithFolders(build_py):
    """Copies into the package what :mod:`molnet.bundled` looks for there.

    An editable install finds the folders where they are.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for name in ("conf", "data"):
            inside = Path(self.build_lib, "molnet", name)
            shutil.rmtree(inside, ignore_errors=True)  # of an earlier build
            shutil.copytree(name, inside, ignore=shutil.ignore_patterns(".*"))


setup(cmdclass={"build_py": BuildWithFolders})
