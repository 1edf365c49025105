"""What a command loads."""

import gc
import json
import subprocess
import sys
from pathlib import Path

import ase.io
import pytest
from ase.build import molecule

from molnet.commands.importing import importing

HEAVY = {"torch_geometric", "pytorch_lightning", "matplotlib", "ase.io.nwchem", "ase.io.abinit"}


def test_predictions_load_what_they_use(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "water.xyz", molecule("H2O"))
    program = (
        "import json, sys; from molnet.commands.console import main; "
        "main(['predict', 'water.xyz', 'output=out.json']); "
        "print(json.dumps(list(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(run.stdout.splitlines()[-1]))
    assert {"torch", "ase.io.extxyz"} <= loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize(
    "command", [["--help"], ["models"], ["complete", "bash", "molnet predict mod"]]
)
def test_light_commands_do_without_pytorch(command: list[str]) -> None:
    program = (
        f"import sys; from molnet.commands.console import main; main({command}); "
        "sys.exit('torch' in sys.modules or 'hydra' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_garbage_is_collected_again_afterwards() -> None:
    with importing():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.unfreeze()


def test_an_import_that_fails_changes_nothing() -> None:
    with pytest.raises(ImportError), importing():
        raise ImportError
    assert gc.isenabled()
    gc.unfreeze()
