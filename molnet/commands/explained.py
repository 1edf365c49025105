"""Errors as a user reads them: one message that says what to do.

A user's mistake ends a command with one message and exit status 1, Ctrl-C with status 130, SIGTERM
with 143 and SIGUSR1 with 138. A bug in the program shows a traceback. ``HYDRA_FULL_ERROR=1`` shows
every traceback.
"""

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from molnet.training.errors import ConfigError, did_you_mean
from molnet.training.interruption import (
    end_if_unread,
    number_of,
    raised_as_exceptions,
    word_for,
)


@contextmanager
def explained(wants_traceback: bool = False) -> Iterator[None]:
    """Within this block a user's mistake ends the process with a message and status 1."""
    try:
        with raised_as_exceptions():
            yield
    except BrokenPipeError:
        end_if_unread()  # here, as Hydra would report an error of the job
        raise
    except KeyboardInterrupt as interruption:
        number = number_of(interruption)
        print(f"\n{word_for(number)}.", file=sys.stderr)
        sys.exit(128 + number)
    except (HydraException, OmegaConfBaseException, ValueError, OSError) as error:
        message = explanation(error)
        if wants_traceback or message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        sys.exit(1)


def explanation(error: Exception) -> str | None:
    """The message for the user; None for an error that is a bug in the program."""
    if isinstance(error, OverrideParseException):
        return (
            f"cannot read {error.override!r} on the command line: "
            f"{str(error).splitlines()[0]}. Expected KEY=VALUE"
        )
    if isinstance(error, MissingConfigException):
        return _missing_choice(error)
    if isinstance(error, ConfigCompositionException):
        cause = error.__cause__
        if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.full_key:
            try:
                return _unknown_option(str(cause.full_key), cause.parent_node)
            except ConfigError as other:
                return str(other)  # the settings name no data set
        return one_line(error)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return one_line(error)
    if isinstance(error, FileExistsError) and error.strerror == os.strerror(errno.EEXIST):
        return f"expected a folder, or the name of a new one; {error.filename} is a file"
    if isinstance(error, OSError) or _raised_by_package(error):
        return str(error)
    return None


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _raised_by_package(error: Exception) -> bool:
    """Whether molnet itself raised the error, rather than a library that it had called.

    An error of one of molnet's own kinds counts wherever it was raised, such as in a data set of
    the user's own.
    """
    if type(error).__module__.startswith("molnet."):
        return True
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__", "")).startswith("molnet.")


def _missing_choice(error: MissingConfigException) -> str:
    group, _, choice = (error.missing_cfg_file or "").rpartition("/")
    if not error.options:
        return str(error).splitlines()[0]
    return f"unknown option {group}={choice}: {did_you_mean(choice, error.options)}"


def _unknown_option(key: str, node: Any) -> str:
    """Name the known key nearest to ``key``: the same word elsewhere, or a similar one.

    Args:
        key: what the user gave.
        node: the part of the settings that does not know it.
    """
    config = node._get_root()
    known = sorted(other for other in _keys(config) if other.partition(".")[0] != "hydra")
    parent, _, word = key.rpartition(".")
    if parent == "dataset" and "dataset._target_" in known:
        options = _options_of_class(config.dataset._target_)
        if word in options:
            return f"the file of the data set does not set {word}: give +{key}=VALUE, or add it"
        known += [f"dataset.{option}" for option in options]
    elsewhere = [other for other in known if other.rpartition(".")[2] == word]
    if elsewhere:
        return f"unknown option {key}: did you mean {' or '.join(elsewhere)}?"
    while parent and parent not in known:  # the mistake is further up
        key, (parent, _, _) = parent, parent.rpartition(".")
    siblings = [other for other in known if other.rpartition(".")[0] == parent]
    return f"unknown option {key}: {did_you_mean(key, siblings)}"


def _options_of_class(target: Any) -> list[str]:
    """Options of a data set's class, which the user's own file of a data set may leave out."""
    if str(target).startswith("molnet."):
        return []  # conf/dataset sets all of them
    from molnet.training.data_set_settings import options_of_class

    return options_of_class(target)


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, node):
        yield f"{prefix}{key}"
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            yield from _keys(child, f"{prefix}{key}.")
