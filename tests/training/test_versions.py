"""What is recorded of what computed a result."""

import subprocess
from pathlib import Path

import molnet
from molnet.training.versions import commit, versions


def git(folder: Path, *command: str) -> str:
    named = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t.t", *command]
    return subprocess.run(named, capture_output=True, text=True, check=True).stdout.strip()


def test_the_commit_of_a_checkout(tmp_path: Path) -> None:
    assert commit(tmp_path / "none") is None
    git(tmp_path, "init")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "one")
    expected = git(tmp_path, "rev-parse", "--short=12", "HEAD")
    commit.cache_clear()
    assert commit(tmp_path) == expected
    (tmp_path / "file").write_text("two")
    commit.cache_clear()
    assert commit(tmp_path) == f"{expected}-dirty"


def test_versions_name_molnet_and_its_commit() -> None:
    found = versions()
    assert found["molnet"] == molnet.__version__
    assert found.get("commit") == commit(Path(molnet.__file__).parents[1])
