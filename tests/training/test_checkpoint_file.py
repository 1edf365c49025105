"""A checkpoint is read unchanged, or refused in one line that never advises to run its code."""

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from molnet.training.checkpoint_file import PARTS, CheckpointError, read_checkpoint, seal
from molnet.training.run import train


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "last.ckpt"
    state = dict.fromkeys(PARTS, 1) | {"config": {"seed": 1}, "state_dict": {"w": torch.ones(3)}}
    torch.save(state, path)
    seal(path)
    return path


def refused(path: Path, reason: str) -> None:
    with pytest.raises(CheckpointError) as raised:
        read_checkpoint(path)
    text = str(raised.value)
    assert text.startswith(f"{path} is damaged, or not a checkpoint of molnet: ")
    assert reason in text
    assert "weights_only" not in text
    assert "\n" not in text


CUT = "it does not end with the checksum"


def test_a_sealed_checkpoint_is_an_archive_that_pytorch_reads(path: Path) -> None:
    assert read_checkpoint(path)["config"] == {"seed": 1}
    assert torch.equal(read_checkpoint(path)["state_dict"]["w"], torch.ones(3))
    assert torch.load(path, weights_only=True)["config"] == {"seed": 1}
    assert zipfile.ZipFile(path).testzip() is None


def test_every_flipped_bit_is_found(path: Path) -> None:
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for byte in [*range(-200, 0), *rng.choice(len(data), 300)]:
        flipped = bytearray(data)
        flipped[byte] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        refused(path, CUT)
    path.write_bytes(data)
    read_checkpoint(path)


@pytest.mark.parametrize("length", [0, 1, 70, 79, 80, 500, -1, -80, -100])
def test_a_cut_checkpoint_is_refused(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])
    refused(path, CUT)


def test_other_files_are_refused(path: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.txt", "text")
    for data in (b"text\n", b"\0" * 1000, pickle.dumps({"config": 1}), archive.getvalue()):
        path.write_bytes(data)
        refused(path, CUT)
    path.write_bytes(archive.getvalue())
    seal(path)
    refused(path, "PyTorch cannot read it")


class Malice:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("code of a checkpoint has run",)


def test_code_in_a_checkpoint_does_not_run(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"config": Malice()}, path)
    seal(path)
    refused(path, "PyTorch cannot read it (UnpicklingError)")
    assert "has run" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [{}, [], 3, {"state_dict": {}}])
def test_what_lacks_parts_is_refused(path: Path, content: object) -> None:
    torch.save(content, path)
    seal(path)
    refused(path, "it lacks config")


def test_what_holds_no_settings_is_refused(path: Path) -> None:
    torch.save(dict.fromkeys(PARTS), path)
    seal(path)
    refused(path, "it holds no settings")


def test_only_a_bare_archive_is_sealed(path: Path) -> None:
    with pytest.raises(ValueError, match="expected a zip archive without a comment"):
        seal(path)


def test_a_run_writes_and_refuses_such_checkpoints(
    settings: Callable[..., DictConfig], tmp_path: Path
) -> None:
    train(settings("trainer.max_epochs=1"))
    folder = tmp_path / "run" / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["best.ckpt", "last.ckpt"]
    read_checkpoint(folder / "best.ckpt")
    data = bytearray((folder / "last.ckpt").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "last.ckpt").write_bytes(data)
    (folder / "last.partial").write_bytes(b"of a killed run")
    with pytest.raises(CheckpointError, match=r"last\.ckpt is damaged.*best\.ckpt"):
        train(settings("trainer.max_epochs=2", f"resume={folder / 'last.ckpt'}"))
    train(settings("trainer.max_epochs=2", f"resume={folder / 'best.ckpt'}"))
    assert sorted(path.name for path in folder.iterdir()) == ["best.ckpt", "last.ckpt"]
