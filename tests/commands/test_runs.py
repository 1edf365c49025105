"""Which folder a run writes to, and what it goes on from, as a user sees it."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]

Run = Callable[..., tuple[int, str, str]]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file in a folder, with all that is in it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def epochs(folder: Path) -> int:
    return len((folder / "history.csv").read_text().splitlines()) - 1


def unfinished(folder: Path) -> None:
    """Make a finished run look as one that was broken off: its limit is further away."""
    (folder / "metrics.json").unlink()


def test_a_refused_resume_changes_nothing(run: Run, small: list[str]) -> None:
    assert run("train.py", *small, "hydra.run.dir=run")[0] == 0
    unfinished(Path("run"))
    before = contents(Path("run"))
    for refused in (
        "dataset.split_seed=5",
        "seed=5",
        "model.channels=8",
        "target=homo",
        "dataset.path=nowhere.xyz",
        "trainer.dtype=float64",
        "optimizer=sgd",
        "+optimizer.momentum=0.5",
        "dataset.train_size=5",
        "trainer.max_epochs=few",
        "trainer.max_epoch=9",
        "optimizer.lr=fast",
    ):
        status, _, errors = run("train.py", "resume=run", refused)
        assert status == 1, refused
        assert errors.startswith("error: "), errors
        assert contents(Path("run")) == before, refused
    status, output, _ = run("train.py", "resume=run", "trainer.max_epochs=3")
    assert status == 0
    assert "trainer.max_epochs: 2 -> 3" in output
    assert epochs(Path("run")) == 3


@pytest.mark.parametrize("name", ["run", "run/checkpoints/last.ckpt", "./run/"])
def test_a_run_goes_on_by_the_name_of_its_folder(run: Run, small: list[str], name: str) -> None:
    run("train.py", *small, "hydra.run.dir=run")
    assert run("train.py", f"resume={name}", "trainer.max_epochs=3")[0] == 0
    assert epochs(Path("run")) == 3
    assert not Path("outputs").exists()


def test_a_plain_resume_takes_the_checkpoints_own_settings(
    run: Run, small: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Even when the files in conf/ have changed meanwhile."""
    conf = tmp_path / "conf"
    subprocess.run(["cp", "-r", ROOT / "conf", conf], check=True)
    for module in ("commands.command_line", "commands.arguments", "training.arguments"):
        monkeypatch.setattr(f"molnet.{module}.CONF", conf)
    run("train.py", *small, "hydra.run.dir=run", "optimizer.weight_decay=0.125")
    for group in ("model/small.yaml", "optimizer/adamw.yaml", "trainer/default.yaml"):
        changed = yaml.safe_load((conf / group).read_text())
        changed |= {key: 7 for key in ("channels", "lr", "gradient_clip") if key in changed}
        (conf / group).write_text(yaml.safe_dump(changed))
    (conf / "dataset" / "structures.yaml").unlink()
    status, output, errors = run("train.py", "resume=run", "trainer.max_epochs=3")
    assert status == 0, errors
    (change,) = re.findall("changed since the checkpoint: (.*)", output)
    assert change == "trainer.max_epochs: 2 -> 3"
    settings = yaml.safe_load(Path("run/config.yaml").read_text())
    assert settings["optimizer"]["weight_decay"] == 0.125
    assert settings["optimizer"]["lr"] == 0.02
    assert settings["arguments"][0] == "dataset=structures"


def test_a_resumed_run_may_be_given_another_choice_of_a_group(run: Run, small: list[str]) -> None:
    run("train.py", *small, "hydra.run.dir=run")
    status, output, _ = run(
        "train.py",
        "resume=run",
        "trainer.max_epochs=3",
        "scheduler=plateau",
        "scheduler.patience=2",
    )
    assert status == 0
    assert "scheduler._target_: molnet.training.schedule.Cosine -> " in output
    settings = yaml.safe_load(Path("run/config.yaml").read_text())["scheduler"]
    assert settings["patience"] == 2
    assert "warmup" not in settings


def test_a_run_that_was_moved_goes_on_where_it_is_now(run: Run, small: list[str]) -> None:
    run("train.py", *small, "hydra.run.dir=run", "logger=default")
    Path("run").rename("elsewhere")
    status, _, errors = run("train.py", "resume=elsewhere", "trainer.max_epochs=3")
    assert status == 0, errors
    assert not Path("run").exists()
    assert epochs(Path("elsewhere")) == 3


def test_a_run_goes_on_in_another_folder_with_its_best_model(run: Run, small: list[str]) -> None:
    run("train.py", *small, "hydra.run.dir=run")
    before = contents(Path("run"))
    status, _, errors = run(
        "train.py", "resume=run", "hydra.run.dir=b", "trainer.max_epochs=3", "optimizer.lr=1e-12"
    )
    assert status == 0, errors
    assert contents(Path("run")) == before
    assert Path("b/model/model.safetensors").is_file()
    assert Path("b/metrics.json").is_file()


def test_a_finished_run_says_so_and_stays_as_it_is(run: Run, small: list[str]) -> None:
    run("train.py", *small, "hydra.run.dir=run")
    before = contents(Path("run"))
    for arguments in (["resume=run"], [*small, "resume=auto", "hydra.run.dir=run"]):
        status, output, _ = run("train.py", *arguments)
        assert status == 0
        assert "is finished" in output
        assert "resume=run trainer.max_epochs=" in output
        assert contents(Path("run")) == before


def test_auto_begins_goes_on_and_ends(run: Run, small: list[str]) -> None:
    """What a batch system runs again and again."""
    command = [*small, "resume=auto", "hydra.run.dir=run"]
    assert run("train.py", *command)[0] == 0
    unfinished(Path("run"))
    for leftover in ("checkpoints/last.partial", ".history.csv.host.7.2a.partial"):
        (Path("run") / leftover).write_bytes(b"half")  # of a process that was killed
    Path("run/mine.partial").touch()
    status, _, errors = run("train.py", *command, "trainer.max_epochs=3")
    assert status == 0, errors
    assert epochs(Path("run")) == 3
    assert [path.name for path in Path("run").rglob("*.partial")] == ["mine.partial"]
    assert run("train.py", *command, "trainer.max_epochs=3", "seed=1")[0] == 1


def test_auto_begins_anew_where_no_state_was_saved(run: Run, small: list[str]) -> None:
    run("train.py", *small, "hydra.run.dir=run")
    unfinished(Path("run"))
    Path("run/checkpoints/last.ckpt").unlink()
    assert run("train.py", *small, "hydra.run.dir=run")[0] == 1
    assert run("train.py", *small, "hydra.run.dir=run", "resume=auto")[0] == 0


def test_auto_finds_the_newest_unfinished_run_of_the_same_command(
    run: Run, small: list[str]
) -> None:
    def folders() -> list[Path]:
        return sorted(Path("outputs").glob("*/*"))

    run("train.py", *small)
    run("train.py", *small, "seed=3")
    for folder in folders():
        unfinished(folder)
    assert run("train.py", *small, "resume=auto")[0] == 0
    first, second = folders()
    assert (first / "metrics.json").is_file()
    assert not (second / "metrics.json").is_file()
    assert run("train.py", "resume=auto", *small)[0] == 0  # there is nothing left to go on from
    assert len(folders()) == 3
    with FileLock(second / ".lock"):  # a living process is not disturbed
        assert run("train.py", *small, "seed=3", "resume=auto")[0] == 0
    assert len(folders()) == 4


def test_a_folder_with_results_is_refused(run: Run, small: list[str]) -> None:
    assert run("train.py", *small, "hydra.run.dir=run")[0] == 0
    before = contents(Path("run"))
    for script, arguments in (("train.py", small), ("evaluate.py", ["model=run"])):
        status, _, errors = run(script, *arguments, "hydra.run.dir=run")
        assert status == 1
        assert "run already holds the results of a run" in errors
        assert "hydra.run.dir=FOLDER" in errors
        assert contents(Path("run")) == before


def test_a_folder_in_use_is_refused_and_one_of_a_dead_process_is_not(
    run: Run, small: list[str]
) -> None:
    Path("run").mkdir()
    with FileLock("run/.lock"):
        status, _, errors = run("train.py", *small, "hydra.run.dir=run")
    assert status == 1
    assert "another process is writing to" in errors
    Path("run/.lock").touch()
    Path("run/config.yaml").write_text("left by an attempt that was killed")
    assert run("train.py", *small, "hydra.run.dir=run")[0] == 0
    assert not Path("run/.lock").exists()


def test_mistakes_leave_no_folder_behind(run: Run, small: list[str]) -> None:
    for mistake in ("trainer.max_epochs=few", "dataset.path=nowhere.xyz", "dataset.train_size=99"):
        assert run("train.py", *small, mistake)[0] == 1
    assert not list(Path("outputs").glob("*/*"))
    Path("mine").mkdir()
    assert run("train.py", *small, "dataset.path=nowhere.xyz", "hydra.run.dir=mine")[0] == 1
    assert not list(Path("mine").iterdir())


def test_names_are_relative_to_where_the_command_was_typed(
    run: Run, small: list[str], structures: Path
) -> None:
    Path("frames").mkdir()
    copy = Path("frames/water.extxyz")
    copy.write_bytes(structures.read_bytes())
    chdir = "hydra.job.chdir=true"
    for number, path in enumerate(("frames/water.extxyz", "frames/*", "[frames/water.extxyz]")):
        status, _, errors = run(
            "train.py", *small, f"dataset.path={path}", chdir, f"hydra.run.dir=run{number}"
        )
        assert status == 0, errors
        assert Path(f"run{number}/metrics.json").is_file()
    assert run("train.py", "resume=run0", "trainer.max_epochs=3", chdir)[0] == 0
    assert run("train.py", *small, chdir, "hydra.run.dir=run0", "resume=auto")[0] == 0
    status, _, errors = run("evaluate.py", "model=run0", chdir, "hydra.run.dir=evaluation")
    assert status == 0, errors
    assert Path("evaluation/metrics.json").is_file()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A disk of so many kB, which only root can make."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def make(size: int) -> Path:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(folder)]
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("needs the right to mount a small disk")
        return folder

    yield make
    subprocess.run(["umount", str(folder)], capture_output=True)


@pytest.mark.parametrize("size", [16, 40, 64, 76, 88])
def test_a_full_disk_advises_what_can_be_done(
    run: Run, small: list[str], small_disk: Callable[[int], Path], size: int
) -> None:
    folder = small_disk(size) / "run"
    status, _, errors = run("train.py", *small, f"hydra.run.dir={folder}", "trainer.max_epochs=3")
    if status == 0:
        pytest.skip("the disk is large enough")
    assert status == 1
    saved = (folder / "checkpoints" / "last.ckpt").is_file()
    assert "no space left for the run's files" in errors
    assert (f"resume={folder}" in errors) is saved
    assert ("No checkpoint is saved yet" in errors) is not saved
    assert not list(folder.rglob("*.partial"))
    if saved:
        subprocess.run(["mount", "-o", "remount,size=9000k", str(folder.parent)], check=True)
        assert run("train.py", f"resume={folder}")[0] == 0
        assert epochs(folder) == 3


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "train.py"), *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_runs_that_start_in_the_same_second_have_folders_of_their_own(
    run: Run, small: list[str], tmp_path: Path
) -> None:
    at_once = "hydra.run.dir=${new_folder:outputs/now}"  # all of them in the same second
    run("train.py", *small, "hydra.run.dir=warm")  # compiles the kernels, builds the store
    runs = [started(tmp_path, *small, at_once, f"seed={seed}") for seed in range(4)]
    for process in runs:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    folders = sorted(tmp_path.glob("outputs/*"))
    assert [folder.name for folder in folders] == ["now", "now-2", "now-3", "now-4"]
    seeds = {yaml.safe_load((folder / "config.yaml").read_text())["seed"] for folder in folders}
    assert seeds == {0, 1, 2, 3}
    for folder in folders:
        assert (folder / "metrics.json").is_file()
        state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
        assert state["config"]["run_folder"] == str(folder)


@pytest.mark.slow
def test_only_one_of_those_that_are_given_one_folder_gets_it(
    run: Run, small: list[str], tmp_path: Path
) -> None:
    run("train.py", *small, "hydra.run.dir=warm")
    runs = [started(tmp_path, *small, "hydra.run.dir=one", f"seed={n}") for n in range(4)]
    ends = [(process.communicate(timeout=300)[1], process.returncode) for process in runs]
    refused = [errors for errors, status in ends if status == 1]
    assert len(refused) == 3
    for errors in refused:
        assert "another process is writing to" in errors or "holds the results" in errors
    assert epochs(tmp_path / "one") == 2


@pytest.mark.slow
def test_the_members_of_a_sweep_share_a_folder_and_two_sweeps_do_not(
    run: Run, small: list[str]
) -> None:
    together = "hydra.sweep.dir=${new_folder:multirun/now}"
    for _ in range(2):
        assert run("train.py", "-m", *small, together, "model.cutoff=3,4")[0] == 0
    folders = sorted(str(path.parent) for path in Path("multirun").glob("*/*/metrics.json"))
    assert folders == [f"multirun/{name}/{n}" for name in ("now-2", "now") for n in (0, 1)]
    assert run("train.py", "-m", *small, "hydra.sweep.dir=multirun/now", "seed=3,4")[0] == 1
    again = [*small, "hydra.sweep.dir=multirun/now", "model.cutoff=3,4", "resume=auto"]
    status, output, _ = run("train.py", "-m", *again)
    assert status == 0
    assert output.count("is finished") == 2
