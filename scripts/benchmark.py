"""Measure the speed of molnet beside that of e3nn, NequIP and SchNetPack, and its accuracy.

    python scripts/benchmark.py train         one training step of the model
    python scripts/benchmark.py evaluate      its energies and forces
    python scripts/benchmark.py md            steps of molecular dynamics through ASE
    python scripts/benchmark.py relax         relaxations, all at once and one by one through ASE
    python scripts/benchmark.py vibrations    errors of Hessians and frequencies (no times)
    python scripts/benchmark.py scaling       time and memory for thousands of atoms
    python scripts/benchmark.py convolution   the convolution
    python scripts/benchmark.py o3            the equivariant modules
    python scripts/benchmark.py knots         errors of the radial splines (no times)
    python scripts/benchmark.py accuracy      errors of trained models against wall time

The compared programs take turns in one process. In its turn a program is called again and again for
100 ms (`--turn 0`: once). Medians are compared, so that a machine whose speed drifts slows all
programs alike. `train` and `evaluate` compare with the same network written in e3nn's modules,
which gives the same energies and forces for the same weights.
`--json FILE` writes the results to a file, `--plot FILE.png` draws them, and
`python scripts/benchmark.py train --help` lists the other options. Needs e3nn
(`pip install -e ".[dev]"`). `accuracy` lets molnet, MACE, NequIP and SchNetPack train by their own
commands, one after the other, and writes all into a folder.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import e3nn
import torch
from ase import Atoms
from benchmarking.accuracy_command import accuracy_options, of_a_code, run_accuracy
from benchmarking.convolution import convolution_comparisons
from benchmarking.curves import Curve
from benchmarking.dynamics import PEERS as DYNAMICS_OF
from benchmarking.dynamics import CodeError, dynamics
from benchmarking.knots import Fit, fit_table, fits
from benchmarking.o3 import o3_comparisons
from benchmarking.peers import PEERS, MissingPeerError
from benchmarking.plot import plot_fits, plot_growth, plot_timings
from benchmarking.relaxation import Relaxations, relaxations
from benchmarking.scaling import Growth, growth_table, scaling
from benchmarking.steps import Batches, evaluating, thread_scaling, throughput, training
from benchmarking.systems import Size, TooFewStructuresError, describe, read_structures, spread
from benchmarking.timing import Comparison, Timing, machine, measure, table
from benchmarking.training_run import TrainingError
from benchmarking.vibrations import Frequencies, frequencies

from molnet.datasets.download import DownloadError
from molnet.datasets.qm9 import QM9Error
from molnet.graph import from_atoms
from molnet.graph.frames import StructureFileError
from molnet.kernels.allocator import reuse_freed_memory
from molnet.models import load_model

Result = Timing | Growth | Fit | Relaxations | Frequencies | Curve
Run = Callable[[argparse.Namespace], Sequence[Result]]
Plot = Callable[[Sequence[Any], str, Path], None]

INPUT_ERRORS = (
    *(FileNotFoundError, StructureFileError, TooFewStructuresError, MissingPeerError),
    *(QM9Error, DownloadError, TrainingError, CodeError),
)
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def main(arguments: list[str] | None = None) -> Sequence[Result]:
    """Parse the command line, measure, print, and write files if asked to."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.set_default_dtype(DTYPES[options.dtype])
    torch.manual_seed(0)
    reuse_freed_memory()  # serves all sides alike
    if "jit_mode" in options and options.jit_mode is not None:
        e3nn.set_optimization_defaults(jit_mode=options.jit_mode)
    head = machine()
    print(head, flush=True)

    try:
        results = options.run(options)
    except INPUT_ERRORS as error:
        parser.error(str(error))
    if options.json is not None:
        rows = [result.as_row() for result in results]
        options.json.write_text(json.dumps({"machine": head, "results": rows}, indent=2) + "\n")
    if options.plot is not None:
        options.draw(results, head, options.plot)
    return results


def make_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(
        name: str,
        run: Run,
        summary: str,
        options: argparse.ArgumentParser,
        draw: Plot = plot_timings,
    ) -> None:
        commands.add_parser(
            name, help=summary, description=summary, parents=[options, _common()]
        ).set_defaults(run=run, draw=draw)

    layers = argparse.ArgumentParser(add_help=False, parents=[_comparison()])
    layers.add_argument("--batch", type=int, default=4096, help="rows of features")
    layers.add_argument("--channels", type=int, default=64)
    command("o3", _run_o3, "equivariant modules against e3nn's", layers)

    edges = argparse.ArgumentParser(add_help=False, parents=[_comparison(), _frames()])
    edges.add_argument("--molecules", type=int, default=50, help="in the graph")
    edges.add_argument("--cutoff", type=float, default=5.0, help="Å")
    edges.add_argument("--channels", type=int, default=64)
    command("convolution", _run_convolution, "the convolution against e3nn's", edges)

    training = argparse.ArgumentParser(add_help=False, parents=[_batches()])
    training.add_argument(
        "--thread-scaling", action="store_true", help="compare 2 threads with 1, molnet alone"
    )
    command("train", _run_train, "a training step of the model", training)
    command("evaluate", _run_evaluate, "energies and forces of batches", _batches())

    steps = argparse.ArgumentParser(add_help=False, parents=[_frames(), _trained()])
    steps.add_argument("--molecules", type=int, default=1, help="one after the other")
    steps.add_argument("--steps", type=int, default=200)
    steps.add_argument(
        "--python",
        type=of_a_code(DYNAMICS_OF),
        action="append",
        default=[],
        metavar="CODE=PATH",
        help=f"the Python of the environment of {' or '.join(DYNAMICS_OF)}, to compare with",
    )
    command("md", _run_md, "molecular dynamics of single molecules through ASE", steps)

    rattled = argparse.ArgumentParser(add_help=False, parents=[_frames(), _trained()])
    rattled.add_argument("--molecules", type=int, default=200)
    rattled.add_argument("--rattle", type=float, default=0.07, help="Å")
    rattled.add_argument("--fmax", type=float, default=0.01, help="eV/Å")
    rattled.add_argument(
        "--xtb", type=int, default=0, help="compare bond lengths of so many molecules with xTB's"
    )
    command(
        "relax", _run_relax, "relaxations of rattled molecules, beside ASE's", rattled, _no_plot
    )

    modes = argparse.ArgumentParser(add_help=False, parents=[_frames(), _trained()])
    modes.add_argument("--molecules", type=int, default=20)
    modes.add_argument(
        "--xtb", type=int, default=0, help="compare frequencies of so many molecules with xTB's"
    )
    command("vibrations", _run_vibrations, "Hessians and frequencies", modes, _no_plot)

    boxes = argparse.ArgumentParser(add_help=False, parents=[_model()])
    boxes.add_argument("--atoms", type=int, nargs="+", default=[1000, 10000], help="in a box")
    boxes.add_argument("--repeats", type=int, default=3)
    command("scaling", _run_scaling, "energies and forces of boxes of water", boxes, plot_growth)

    splines = argparse.ArgumentParser(add_help=False, parents=[_model()])
    splines.add_argument("--knots", type=int, nargs="+", default=[16, 32, 64, 128, 256, 512])
    splines.add_argument("--networks", type=int, default=3, help="with different initial weights")
    command("knots", _run_knots, "errors of the splines of radial functions", splines, plot_fits)

    summary = "errors of molnet, MACE, NequIP and PaiNN against the wall time of their training"
    commands.add_parser(
        "accuracy", help=summary, description=summary, parents=[accuracy_options(), _threads()]
    ).set_defaults(run=run_accuracy, dtype="float32", json=None, plot=None)
    return parser


def _threads() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    return options


def _common() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False, parents=[_threads()])
    options.add_argument("--dtype", choices=DTYPES, default="float32")
    options.add_argument("--json", type=Path, metavar="FILE", help="write the results to a file")
    options.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the results")
    return options


def _comparison() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--repeats", type=int, default=15, help="turns of each program")
    options.add_argument(
        "--turn",
        type=float,
        default=100.0,
        metavar="MS",
        help="length of a turn; 0 for a single call",
    )
    options.add_argument(
        "--jit-mode",
        choices=["eager", "script", "inductor"],
        help="e3nn's optimization default; by default e3nn's own choice",
    )
    return options


def _model() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--cutoff", type=float, default=5.0, help="Å")
    options.add_argument("--l-max", type=int, default=2)
    options.add_argument("--channels", type=int, default=64)
    options.add_argument("--layers", type=int, default=4)
    return options


def _batches() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False, parents=[_comparison(), _structures()])
    options.add_argument("--molecules", type=int, nargs="+", default=[5, 50], help="in a batch")
    options.add_argument("--targets", choices=["energy_forces", "energy"], default="energy_forces")
    options.add_argument(
        "--peers", nargs="+", choices=PEERS, default=[], help="more packages to compare with"
    )
    return options


def _trained() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--model", default="organic", help="a bundled model, or a folder")
    return options


def _structures() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(add_help=False, parents=[_model(), _frames()])


def _frames() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    source = options.add_mutually_exclusive_group()
    source.add_argument(
        "--frames",
        type=Path,
        metavar="FILE",
        help="structures, in any format that ASE reads; by default acetylacetone if ../shared/data "
        "has it, otherwise the bundled organic set",
    )
    source.add_argument("--qm9", action="store_true", help="molecules of QM9")
    return options


def _timed(comparisons: Iterable[Comparison], options: argparse.Namespace) -> list[Timing]:
    timings = [measure(comparison, options.repeats, options.turn) for comparison in comparisons]
    print(table(timings))
    return timings


def _run_o3(options: argparse.Namespace) -> list[Timing]:
    return _timed(o3_comparisons(options.batch, options.channels), options)


def _run_convolution(options: argparse.Namespace) -> list[Timing]:
    name, structures = read_structures(options.frames, options.qm9)
    chosen = spread(structures, options.molecules)
    graph = from_atoms(chosen, options.cutoff, DTYPES[options.dtype])
    print(f"{name}, {describe(graph)}", flush=True)
    return _timed(convolution_comparisons(graph, options.cutoff, options.channels), options)


def _run_train(options: argparse.Namespace) -> list[Timing]:
    batches = _batches_of(options)
    if options.thread_scaling:
        return _timed(thread_scaling(batches), options)
    timings = _timed(training(batches), options)
    if not batches.forces:
        print(throughput(timings, batches.molecules))
    return timings


def _run_evaluate(options: argparse.Namespace) -> list[Timing]:
    return _timed(evaluating(_batches_of(options)), options)


def _run_md(options: argparse.Namespace) -> list[Timing]:
    name, structures = read_structures(options.frames, options.qm9)
    chosen = spread(structures, options.molecules)
    print(f"a step of dynamics; {name}, model {options.model}", flush=True)
    model = load_model(options.model, dtype=options.dtype)
    pythons = {name: Path(python) for name, python in options.python}
    timings = dynamics(model, chosen, options.steps, pythons, options.threads)
    print(table(timings))
    return timings


def _run_relax(options: argparse.Namespace) -> list[Relaxations]:
    name, structures = read_structures(options.frames, options.qm9)
    chosen = spread(structures, options.molecules)
    print(f"{name}, {len(chosen)} molecules", flush=True)
    result = relaxations(chosen, options.model, options.rattle, options.fmax, options.xtb)
    print(result)
    return [result]


def _run_vibrations(options: argparse.Namespace) -> list[Frequencies]:
    name, structures = read_structures(options.frames, options.qm9)
    chosen = spread(structures, options.molecules)
    print(f"{name}, {len(chosen)} molecules", flush=True)
    result = frequencies(chosen, options.model, options.xtb)
    print(result)
    return [result]


def _no_plot(*_: object) -> None:
    raise SystemExit("these results are not drawn: leave --plot out")


def _run_scaling(options: argparse.Namespace) -> list[Growth]:
    print(f"water, {_size(options)}", flush=True)
    rows = list(
        scaling(
            options.atoms, _size(options), DTYPES[options.dtype], options.threads, options.repeats
        )
    )
    print(growth_table(rows))
    return rows


def _run_knots(options: argparse.Namespace) -> list[Fit]:
    print(f"splines of the radial functions, {_size(options)}", flush=True)
    rows = list(fits(options.knots, _size(options), DTYPES[options.dtype], options.networks))
    print(fit_table(rows))
    return rows


def _size(options: argparse.Namespace) -> Size:
    return Size(options.cutoff, options.l_max, options.channels, options.layers)


def _read(options: argparse.Namespace) -> list[Atoms]:
    """The structures that the command line asks for."""
    name, structures = read_structures(options.frames, options.qm9)
    print(f"{name}, {_size(options)}", flush=True)
    return structures


def _batches_of(options: argparse.Namespace) -> Batches:
    return Batches(
        _read(options),
        options.molecules,
        _size(options),
        DTYPES[options.dtype],
        options.targets == "energy_forces",
        options.peers,
    )


if __name__ == "__main__":
    main()
