"""From the modules' ``forward`` to a program of steps that kernels can do.

The layers are evaluated once with stand-ins for features and modules: a stand-in of a module that
has a step of its own (:meth:`as_step`) writes the step down, all others run their own ``forward``.
So the modules are the only statement of what a layer does, and a layer of another kind becomes fast
as soon as all it does is made of such steps. Whatever else is done to features cannot be followed
(:class:`NotTraceableError` says what and where), and the modules are then evaluated themselves.

:mod:`torch.fx` would do the same, but patches ``torch.nn.Module`` for all threads while it traces.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import is_
from types import FunctionType, MethodType
from typing import Any, NamedTuple

import torch
from torch import nn

from molnet.kernels import Columns, Primitive, Program, Step, UnfitError


class NotTraceableError(Exception):
    """What is done to features is not made of steps that kernels know; says where and what."""


@dataclass(frozen=True)
class Given:
    """An argument of the layers that is handed on as it is.

    Attributes:
        name: of the parameter that takes it, in every module.
        layer: whose radial weights it is, if it is some.
    """

    name: str
    layer: int | None = None


class Traced(NamedTuple):
    """A program and where its weights are.

    Attributes:
        program: the steps.
        weights: for each weight the module that holds it as ``weight``, or the index of the layer
            whose table of radial functions it is.
    """

    program: Program
    weights: tuple[nn.Module | int, ...]


def trace(layers: Callable[..., Any], root: nn.Module, width: int, num_layers: int) -> Traced:
    """The program of ``layers(root, x, species, harmonics, weights, edges)``.

    Args:
        layers: the function, a method of ``root``'s class.
        root: the module that holds all others.
        width: of the features x of the species.
        num_layers: how many radial weights there are.

    Raises:
        NotTraceableError: the layers do more than steps.
    """
    trace = _Trace([width])
    weights = [Given("weights", i) for i in range(num_layers)]
    given = Given("species"), Given("harmonics"), weights, Given("edges")
    try:
        outputs = layers(_StandIn(root, "", trace), _Value(trace, 0), *given)
        return trace.finished(outputs)
    except NotTraceableError:
        raise
    except UnfitError as error:
        raise NotTraceableError(str(error)) from error
    # The modules' code may fail in any way on what is no tensor; nothing is swallowed.
    except Exception as error:
        raise NotTraceableError(f"{trace.place}: {type(error).__name__}: {error}") from error


@dataclass
class _Entry:
    primitive: Primitive
    source: int
    target: int
    onto: bool
    weight: int | None


@dataclass
class _Trace:
    """Steps that have been written down, and widths of the values."""

    widths: list[int]
    steps: list[_Entry] = field(default_factory=list)
    weights: list[nn.Module | int] = field(default_factory=list)
    place: str = "the layers"

    def refuse(self, what: str) -> NotTraceableError:
        return NotTraceableError(f"{self.place}: {what}")

    def step(self, primitive: Primitive, source: "_Value", weight: nn.Module | int) -> "_Value":
        """A new value, made from another one."""
        if primitive.dim_in != self.widths[source.slot]:
            raise self.refuse(
                f"expected features of width {primitive.dim_in}, got {self.widths[source.slot]}"
            )
        self.widths.append(primitive.dim_out)
        index = None
        if primitive.learns:
            index = len(self.weights)
            self.weights.append(weight)
        target = len(self.widths) - 1
        self.steps.append(_Entry(primitive, source.slot, target, False, index))
        return _Value(self, target)

    def sum(self, first: "_Value", second: "_Value") -> "_Value":
        """Both in one value: the steps that make the second add to the first."""
        slots = first.slot, second.slot
        into, other = min(slots), max(slots)
        makers = [step for step in self.steps if step.target in slots]
        if into == other or any(step.source in slots for step in self.steps):
            raise self.refuse("features that are used elsewhere too are added")
        if 0 in slots or not all(step.primitive.accumulates for step in makers):
            raise self.refuse("other features than results of linear maps are added")
        if self.widths[into] != self.widths[other]:
            raise self.refuse(f"features of widths {self.widths[into]} and {self.widths[other]}")
        for step in makers:
            step.onto |= step.target == other
            step.target = into
        # Steps in between may need room in memory, but none reads the sum before it is whole.
        first.slot = second.slot = -1
        return _Value(self, into)

    def finished(self, outputs: Any) -> Traced:
        """The program that ends with these invariants and features."""
        invariants, features = outputs
        if not isinstance(invariants, _Joined) or type(features) is not _Value:
            raise self.refuse("expected invariants side by side, and features of the last layer")
        width = sum(part.stop - part.start for part in invariants.parts)
        self.widths.append(width)
        place = 0
        for part in invariants.parts:
            count, source = part.stop - part.start, part.value.slot
            columns = Columns(part.start, count, self.widths[source], place, width)
            self.steps.append(_Entry(columns, source, len(self.widths) - 1, place > 0, None))
            place += count
        steps = [Step(*vars(entry).values()) for entry in _columns_early(self.steps)]
        program = Program(tuple(steps), tuple(self.widths), features.slot, len(self.widths) - 1)
        return Traced(program, tuple(self.weights))


def _columns_early(steps: Sequence[_Entry]) -> list[_Entry]:
    """Each copy of columns right behind what makes them, while they are in the cache."""
    ordered = [step for step in steps if not isinstance(step.primitive, Columns)]
    for copy in (step for step in steps if isinstance(step.primitive, Columns)):
        makers = [i for i, step in enumerate(ordered) if step.target == copy.source]
        ordered.insert(makers[-1] + 1, copy)
    return ordered


@dataclass(frozen=True)
class _Selected:
    """Columns of features."""

    value: "_Value"
    start: int
    stop: int

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> "_Joined":
        parts, options = arguments[0], dict(options or {})
        dim = options.pop("dim", arguments[1] if len(arguments) > 1 else 0)
        if function is not torch.cat or dim not in (1, -1) or options or len(arguments) > 2:
            raise TypeError(f"torch.{getattr(function, '__name__', function)} acts on features")
        if not all(isinstance(part, _Selected) for part in parts):
            raise TypeError("something else than invariants is put side by side")
        return _Joined(list(parts))


class _Joined(NamedTuple):
    """Columns side by side."""

    parts: list[_Selected]


class _Value:
    """A stand-in for features ``[N, width]``."""

    __class__ = torch.Tensor  # type: ignore[assignment]  # to who asks with isinstance

    def __init__(self, trace: _Trace, slot: int) -> None:
        self.trace, self.slot = trace, slot

    def __add__(self, other: Any) -> "_Value":
        if type(other) is not _Value:
            raise self.trace.refuse("something else than features is added")
        return self.trace.sum(self, other)

    def __getitem__(self, index: Any) -> _Selected:
        rows, columns = index if isinstance(index, tuple) and len(index) == 2 else (None, None)
        if rows != slice(None) or not isinstance(columns, slice) or columns.step not in (None, 1):
            raise self.trace.refuse(f"features are indexed by {index}")
        start, stop, _ = columns.indices(self.trace.widths[self.slot])
        return _Selected(self, start, stop)

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        raise TypeError(f"torch.{getattr(function, '__name__', function)} acts on features")


class _StandIn:
    """A module whose steps are written down when it is called."""

    def __init__(self, module: nn.Module, name: str, trace: _Trace) -> None:
        self.__dict__.update(_module=module, _name=name, _trace=trace)

    def __getattr__(self, name: str) -> Any:
        module = self._module
        found = inspect.getattr_static(type(module), name, None)
        if isinstance(found, FunctionType):
            return MethodType(found, self)  # the module's own methods, on the stand-in
        value = getattr(module, name)
        return self._of(value, name) if isinstance(value, nn.Module) else value

    def __setattr__(self, name: str, value: Any) -> None:
        raise self._trace.refuse(f"forward sets {name}")

    def __iter__(self) -> Iterator[Any]:
        return (self._of(child, str(i)) for i, child in enumerate(self._module))

    def __len__(self) -> int:
        return len(self._module)

    def __getitem__(self, index: int) -> Any:
        return self._of(self._module[index], str(index))

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        before, self._trace.place = (
            self._trace.place,
            f"{self._name} ({type(self._module).__name__})",
        )
        # A subclass may do more than its parent, also where it has the parent's step.
        if "as_step" in type(self._module).__dict__:
            result = self._stepped(*arguments, **options)
        else:
            result = type(self._module).forward(self, *arguments, **options)
        self._trace.place = before
        return result

    def _of(self, child: nn.Module, name: str) -> "_StandIn":
        return _StandIn(child, f"{self._name}.{name}".lstrip("."), self._trace)

    def _stepped(self, *arguments: Any, **options: Any) -> _Value:
        trace, module = self._trace, self._module
        step = module.as_step()
        if step is None:
            raise trace.refuse("kernels do not know all that it does")
        bound = inspect.signature(module.forward).bind(*arguments, **options).arguments
        features = [value for value in bound.values() if type(value) is _Value]
        given = [(name, value) for name, value in bound.items() if isinstance(value, Given)]
        if len(features) != 1 or len(given) != len(bound) - 1:
            raise trace.refuse("expected features, and arguments of the layers as they are")
        weight: nn.Module | int = module
        for name, value in given:
            if value.name != name:
                raise trace.refuse(f"expected {name}, got {value.name}")
            weight = weight if value.layer is None else value.layer
        return trace.step(step, features[0], weight)


class Unchanged:
    """Tells whether a module and all in it are what they were.

    Weights may change, and may be replaced. Everything else that an instance holds is compared by
    identity: its class, its attributes, its modules and constants, and whether it has hooks.
    """

    def __init__(self, root: nn.Module) -> None:
        self._root, self._state = root, _state(root)

    def __bool__(self) -> bool:
        state = _state(self._root)
        return len(state) == len(self._state) and all(map(is_, state, self._state))


_PYTORCHS_OWN = len(nn.Module().__dict__)
"""How many attributes of an instance, the first ones, are PyTorch's bookkeeping."""


def _state(root: nn.Module) -> list[Any]:
    state: list[Any] = [nn.modules.module._has_any_global_hook()]
    modules = [root]
    for module in modules:
        own = module.__dict__
        hooks = own["_forward_hooks"] or own["_forward_pre_hooks"] or own["_backward_hooks"]
        state += type(module), hooks or own["_backward_pre_hooks"] or None
        state += islice(own.values(), _PYTORCHS_OWN, None)
        if buffers := own["_buffers"]:
            state += buffers.values()
        if children := own["_modules"]:
            state += children.values()
            modules += filter(None, children.values())
    return state
