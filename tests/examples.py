"""Runs the examples of a page, one after the other: python tests/examples.py PAGE FOLDER.

Blocks of ``sh`` are commands, each run in the folder; blocks of ``python`` are programs; a block of
``python`` or ``yaml`` whose first line is ``# NAME``, below Hydra's ``# @package``, is a file of
that name. Trainings end after two steps, searches after two trainings. QM9 is composed, not
trained. Each example runs in a process of its own, forked from this one, so that libraries are
imported once.
"""

import multiprocessing
import os
import re
import runpy
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STEPS = 2
NOT_RUN = ("pip", "pytest", "pdoc", "git", "cd")
"""Programs that install, test and show; they are not examples of molnet."""

Block = tuple[str, str]


def blocks(page: Path) -> list[Block]:
    """The language and the text of every fenced block."""
    return re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def examples(page: Path) -> list[Block]:
    """Files to write, programs, and single commands."""
    found: list[Block] = []
    for language, text in blocks(page):
        name = re.match(r"(?:# @.*\n)?# (\S+\.(?:py|yaml))\n", text)
        if name is not None:
            found.append((f"file {name[1]}", text))
        elif language == "python":
            found.append(("program", text))
        elif language == "sh":
            lines = text.replace("\\\n", " ").splitlines()
            found += [("command", line) for line in lines if line.strip()]
    return found


def run(kind: str, text: str) -> None:
    """Run one example in this process."""
    shorten_trainings()
    if kind == "program":
        exec(compile(text, "example.py", "exec"), {"__name__": "__main__"})  # noqa: S102
        return
    words = shlex.split(text, comments=True)
    while words and re.match(r"[A-Z_]+=", words[0]):
        name, _, value = words.pop(0).partition("=")
        assert name == "PYTHONPATH"
        sys.path.insert(0, os.path.abspath(value))
    if not words or words[0] in NOT_RUN:
        return
    if "dataset=qm9" in words:
        words += ["--cfg", "job"]
    if any("sweeper" in word for word in words):
        words.append(f"hydra.sweeper.n_trials={STEPS}")
    if words[0] == "molnet":
        from molnet.commands.console import main

        sys.argv = words
        main()
        return
    assert words[0] == "python", f"what does this run? {text}"
    sys.argv = [str(ROOT / words[1]), *words[2:]]
    runpy.run_path(sys.argv[0], run_name="__main__")


def shorten_trainings() -> None:
    """Every training of this process ends after :data:`STEPS` steps."""
    import molnet.training.run as training

    checked = training.checked_train

    def shortened(config):  # type: ignore[no-untyped-def]
        settings = checked(config)
        settings.trainer.max_steps = STEPS
        return settings

    training.checked_train = shortened


def in_a_fork(kind: str, text: str) -> bool:
    """Whether an example succeeds."""
    process = multiprocessing.get_context("fork").Process(target=run, args=(kind, text))
    process.start()
    process.join()
    return process.exitcode == 0


def main() -> None:
    """Run the examples of a page in a folder; ends with status 1 at the first that fails."""
    page, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    import molnet.commands.in_python
    import molnet.simulate  # noqa: F401

    os.chdir(folder)
    for kind, text in examples(page):
        print(f"\n>>> {kind}: {text}", flush=True)
        if kind.startswith("file "):
            path = Path(kind.removeprefix("file "))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif not in_a_fork(kind, text):
            print(f"\nthis example of {page.name} fails:\n{text}", flush=True)
            sys.exit(1)


if __name__ == "__main__":
    main()
