"""How a command is called from where the user stands."""

import shlex
import shutil
import sys
from pathlib import Path


def command(name: str) -> str:
    """How to call the command ``name`` in the way in which this process was called.

    It is ``molnet NAME``, ``python -m molnet NAME`` or ``python scripts/NAME.py``.
    """
    program = Path(sys.argv[0])
    script = program.with_name(f"{name}.py")
    if program.suffix == ".py" and program.parent.name == "scripts" and script.is_file():
        return f"python {shlex.quote(str(script))}"
    if program.name == "__main__.py" and program.parent.name == "molnet":
        return f"python -m molnet {name}"
    if program.stem == "molnet" and shutil.which("molnet") is None:
        return f"{shlex.quote(str(program))} {name}"  # its environment is not activated
    return f"molnet {name}"
