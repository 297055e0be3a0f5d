"""How a bug gets into the daemon's code, for a while, and out again: by its very lines.

A patch names a function (or a class) and the lines it changes. The function's source is read, the lines are
replaced, and what comes of it takes the place of the original wherever the program knows it. Lines that are not
there exactly once, or code that never runs, are errors: a mutant is never silently the daemon itself.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FunctionType, ModuleType
from typing import Any

from attrs import define, field, frozen

OURS = ("daemon.", "adapters.")
"""Programs whose names for a patched thing follow it."""


class MutantError(AssertionError):
    """A mutant that is not what it says: its lines are gone, or nothing ever calls them."""


@frozen
class Patch:
    """`where`: "module:Class.method", "module:function" or "module:Class"; `new` takes the place of `old` in it.

    `then`: names of the same module made again afterwards, because they hold what was patched.
    """

    where: str
    old: str
    new: str
    then: tuple[str, ...] = ()


@frozen
class Mutant:
    """`did`: what a careless engineer did, in one sentence; `breaks`: the invariant that is gone by it."""

    name: str
    did: str
    breaks: str
    patches: tuple[Patch, ...]


@define
class Planted:
    """A mutant while it is in the code; `calls` of each patched place."""

    mutant: Mutant
    calls: dict[str, int] = field(factory=dict)

    def check_called(self) -> None:
        """Raises `MutantError` if none of the patched places was ever called."""
        if self.calls and not any(self.calls.values()):
            raise MutantError(f"{self.mutant.name}: nothing ever calls {', '.join(self.calls)}")


@contextmanager
def planted(mutant: Mutant) -> Iterator[Planted]:
    """The daemon with this bug in it. Raises `MutantError` if a patch does not apply."""
    present = Planted(mutant)
    with ExitStack() as undo:
        for patch in mutant.patches:
            _apply(patch, present, undo)
        yield present


def _apply(patch: Patch, present: Planted, undo: ExitStack) -> None:
    module_name, _, path = patch.where.partition(":")
    module = importlib.import_module(module_name)
    owner_name, _, name = path.rpartition(".")
    owner: Any = getattr(module, owner_name, None) if owner_name else module
    if owner is None or name not in vars(owner):
        raise MutantError(f"{present.mutant.name}: there is no {patch.where}")
    original = vars(owner)[name]
    if isinstance(original, type):
        _remake(patch, original, module, present, undo)
        return
    made = _counted(patch, _function(patch, original, module, present), present)
    _put(owner, name, original, made, undo)


def _function(patch: Patch, original: Any, module: ModuleType, present: Planted) -> Any:
    """The function, with the patch in its source and the globals of its module."""
    plain = original.fget if isinstance(original, property) else original
    if not isinstance(plain, FunctionType) or plain.__closure__:
        raise MutantError(f"{present.mutant.name}: {patch.where} is no plain function")
    return _run(_patched(patch, plain, present), plain.__name__, module)


def _patched(patch: Patch, plain: Any, present: Planted) -> str:
    source = textwrap.dedent(inspect.getsource(plain))
    if source.count(patch.old) != 1:
        raise MutantError(
            f"{present.mutant.name}: {patch.where} holds {source.count(patch.old)} times, not once: {patch.old!r}"
        )
    return source.replace(patch.old, patch.new)


def _run(source: str, name: str, module: ModuleType) -> Any:
    """Run a definition in a module of its kind; returns what it defines."""
    lines = [line for line in source.splitlines() if line.strip() != "@property"]
    scope = dict(vars(module))
    code = compile("from __future__ import annotations\n" + "\n".join(lines), f"<mutant of {name}>", "exec")
    exec(code, scope)
    made = scope[name]
    if isinstance(made, FunctionType):
        # The names it uses are those of its module, as they are when it runs.
        again = FunctionType(made.__code__, vars(module), made.__name__, made.__defaults__)
        again.__kwdefaults__ = made.__kwdefaults__
        return again
    return made


def _counted(patch: Patch, made: Any, present: Planted) -> Any:
    present.calls[patch.where] = 0

    @functools.wraps(made)
    def counted(*args: Any, **kwargs: Any) -> Any:
        present.calls[patch.where] += 1
        return made(*args, **kwargs)

    return counted


def _put(owner: Any, name: str, original: Any, made: Any, undo: ExitStack) -> None:
    """In the owner's place, and under every name that our own modules have for it."""
    if isinstance(original, property):
        made = property(made)
    setattr(owner, name, made)
    undo.callback(setattr, owner, name, original)
    if isinstance(owner, ModuleType):
        _everywhere(original, made, undo)


def _everywhere(original: Any, made: Any, undo: ExitStack) -> None:
    for module in list(sys.modules.values()):
        if module is not None and module.__name__.startswith(OURS):
            for name, value in list(vars(module).items()):
                if value is original:
                    setattr(module, name, made)
                    undo.callback(setattr, module, name, original)


def _remake(patch: Patch, original: type, module: ModuleType, present: Planted, undo: ExitStack) -> None:
    """A class, and those that hold it."""
    made = _run(_patched(patch, original, present), original.__name__, module)
    _put(module, original.__name__, original, made, undo)
    for name in patch.then:
        held = vars(module)[name]
        _put(module, name, held, _run(textwrap.dedent(inspect.getsource(held)), name, module), undo)
