"""The place of predictions: reserved for one process, and whole or not there at all.

The output is written to ``NAME.partial`` and renamed at the end.
"""

import errno
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from molnet.models import Model
from molnet.simulate.writing import COMPRESSIBLE, WRITERS, PredictionWriter, explained_place

logger = logging.getLogger(__name__)


def writer_for(output: Path) -> type[PredictionWriter]:
    """The format that a file's name asks for.

    Raises:
        ValueError: for a name that ends in none of the known suffixes.
    """
    suffix = Path(output.stem if output.suffix == ".gz" else output).suffix
    if suffix not in (COMPRESSIBLE if output.suffix == ".gz" else WRITERS):
        raise ValueError(
            f"expected an output file ending in {', '.join(WRITERS)} (or in one of "
            f"{', '.join(COMPRESSIBLE)} and .gz), received {output}"
        )
    return WRITERS[suffix]


@contextmanager
def reserved(output: Path, inputs: Sequence[Path]) -> Iterator[None]:
    """Within this block ``output`` can be written, and by nobody else.

    Args:
        output: the final name of the file.
        inputs: files that must stay as they are.

    Raises:
        ValueError: for an unknown suffix; for an output that is an input, by whatever name, or is
            being written by another process.
        OSError: it is a folder, or the place cannot be written to.
    """
    writer_for(output)
    if output.is_dir():
        raise IsADirectoryError(
            errno.EISDIR, "this is a folder: name a file in it with output=FILE", str(output)
        )
    for path in (output, partial_of(output)):
        for file in inputs:
            # resolved, as "new/../a.xyz" is a.xyz once there is the folder "new"
            if path.resolve() == file.resolve() or (path.exists() and path.samefile(file)):
                raise ValueError(
                    f"the output {path} is also an input ({file}), which predictions must not "
                    "replace: name another file with output=FILE"
                )
    lock_path = output.with_name(f".{output.name}.lock")
    lock = FileLock(lock_path, timeout=0)
    with explained_place(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise ValueError(
                f"another process is writing predictions to {output}: wait until it has ended, or "
                "name another file with output=FILE"
            ) from error
    try:
        yield
    finally:
        lock_path.unlink(missing_ok=True)
        lock.release()


def partial_of(output: Path) -> Path:
    """The name of the file while it is incomplete."""
    return output.with_name(f"{output.name}.partial")


@contextmanager
def open_predictions(output: Path, model: Model) -> Iterator[PredictionWriter]:
    """A writer whose file takes its name when the block ends without an error.

    After an error, or Ctrl-C, what was written by then stays in ``OUTPUT.partial``, and a log line
    says so. A file that had the name before is replaced at the end, and not touched earlier.

    Raises:
        ValueError: for an unknown suffix.
        OSError: when the place cannot be written to, or the disk is full.
    """
    format = writer_for(output)
    partial = partial_of(output)
    with explained_place(partial):
        writer = format(partial, model, output.suffix == ".gz")
    try:
        try:
            yield writer
            writer.finish()
        finally:
            with explained_place(partial):
                writer.close()
        with explained_place(output):
            partial.replace(output)
    except BaseException:
        if writer.structures:
            logger.warning("up to %d predictions are kept in %s", writer.structures, partial)
        else:
            partial.unlink()
        raise
