"""Pickles of plain data and arrays, read without executing anything.

Python's own unpickler imports what a file names, and calls it. This reader is a small stack
machine over the opcodes that `pickletools` (standard library) takes apart: it knows plain values,
lists, tuples, dicts with text as keys, and the calls with which NumPy writes an array. Those calls
are never made; their arguments are checked and the array is built here. All else is refused.

It reads pickles of every protocol written by Python 2 (whose strings become bytes) and Python 3.
"""

from __future__ import annotations

import math
import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tutelage.errors import UserError

_AGAIN = "Nothing in it was run. Take the official file anew, from where it is published."


class _RefusedError(Exception):
    """The pickle holds something other than plain data. Its text says what."""


@dataclass(frozen=True)
class _Name:
    """A name that a pickle may mention; it stands for the builder in _BUILDERS, not for itself."""

    name: str


@dataclass(eq=False)
class _DType:
    """A NumPy type: its code ("u1"), and the byte order that a pickle states afterwards."""

    code: str
    order: str = "|"


@dataclass(eq=False)
class _Array:
    """An array; `value` is None until its content was read."""

    value: np.ndarray | None = None


def load_plain(data: bytes, where: str) -> Any:
    """The object in pickle `data`, with arrays in the place of dict values that are arrays.

    UserError naming `where` when it is damaged, or wants anything but plain data and arrays.
    """
    try:
        value = _Machine(data).run()
    except _RefusedError as error:
        raise UserError(f"this pickle {error}.", where=where, fix=_AGAIN) from error
    except (LookupError, TypeError, ValueError, ArithmeticError, struct.error) as error:
        raise UserError(
            "this is no pickle, or a damaged one.", where=where, fix="Take the file anew."
        ) from error
    if isinstance(value, dict):
        return {k: v.value if isinstance(v, _Array) else v for k, v in value.items()}
    return value


class _Machine:
    """The stack of a pickle: `stack` above the topmost mark, `below` it the parts under marks."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.encoded = 0  # bytes made from text so far

    def run(self) -> Any:
        end = -1
        for opcode, argument, position in pickletools.genops(self.data):
            step = _OPCODES.get(opcode.name)
            if step is None:
                wants = str(argument).replace(" ", ".") if opcode.name == "INST" else ""
                raise _RefusedError(
                    f"wants to run {wants}"
                    if wants
                    else f"holds more than plain data ({opcode.name} at byte {position})"
                )
            step(self, argument)
            end = position or 0
        if end + 1 != len(self.data) or self.below or len(self.stack) != 1:
            raise ValueError("there is something after the end, or something left over")
        return self.stack[0]

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self, _: Any) -> None:
        self.below.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        """Take what was pushed since the last mark, and the mark."""
        taken, self.stack = self.stack, self.below.pop()
        return taken

    def pop(self, _: Any) -> None:
        self.stack.pop()

    def take(self, count: int) -> tuple[Any, ...]:
        if len(self.stack) < count:
            raise IndexError("the stack is too short")
        taken = tuple(self.stack[-count:])
        del self.stack[-count:]
        return taken

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def get(self, index: int) -> None:
        self.push(self.memo[index])

    def extend(self, items: list[Any]) -> None:
        _a(list, self.stack[-1]).extend(items)

    def update(self, items: list[Any]) -> None:
        target = _a(dict, self.stack[-1])
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | bytes):
                raise _RefusedError("has a dict with other keys than text")
            target[key] = value

    def make_dict(self, _: Any) -> None:
        items = self.since_mark()
        self.push({})
        self.update(items)

    def name(self, module: Any, name: Any) -> None:
        known = _Name(f"{_a(str, module)}.{_a(str, name)}".replace("numpy._core.", "numpy.core."))
        if known not in _BUILDERS and known != _NDARRAY:
            raise _RefusedError(f"wants to run {module}.{name}")
        self.push(known)

    def reduce(self, _: Any) -> None:
        """What would be a call: the builder of a known name makes a value from the arguments."""
        called, arguments = self.take(2)
        builder = _BUILDERS.get(called) if isinstance(called, _Name) else None
        if builder is None:
            raise _RefusedError("calls what cannot be called")
        self.push(builder(self, *_a(tuple, arguments)))

    def build(self, _: Any) -> None:
        """Give the state on top of the stack to the type or the array below it."""
        (state,) = self.take(1)
        target, state = self.stack[-1], _a(tuple, state)
        if isinstance(target, _DType):
            target.order = _text(state[1])
        elif isinstance(target, _Array) and target.value is None:
            _, shape, dtype, fortran, content = state
            target.value = _to_array(content, dtype, shape, "F" if fortran else "C")
        else:
            raise _RefusedError(f"sets the inside of a {type(target).__name__}")

    def encode(self, text: Any, encoding: Any) -> bytes:
        """Bytes, as Python 3 writes them for Python 2: text in Latin-1."""
        if _text(encoding) != "latin1":
            raise _RefusedError(f"encodes text as {encoding}")
        content = _a(str, text).encode("latin-1")
        self.encoded += len(content)
        if self.encoded > len(self.data):  # the same text again and again would fill the memory
            raise _RefusedError("makes more bytes than it holds")
        return content

    def reconstruct(self, kind: Any, shape: Any, _: Any) -> _Array:
        if kind != _NDARRAY or shape != (0,):
            raise _RefusedError("makes an array of an unknown kind")
        return _Array()

    def dtype(self, code: Any, *_: Any) -> _DType:
        return _DType(_text(code))

    def scalar(self, dtype: Any, content: Any) -> int | float | bool:
        return _to_array(content, dtype, (), "C").item()

    def from_buffer(self, content: Any, dtype: Any, shape: Any, order: Any) -> _Array:
        return _Array(_to_array(content, dtype, shape, _text(order)))


def _to_array(content: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    kind = _a(_DType, dtype)
    if kind.code not in _CODES or kind.order not in _ORDERS or order not in ("C", "F"):
        raise _RefusedError(f"has an array of '{kind.code}', not of numbers")
    sides = [_a(int, side) for side in _a(tuple, shape)]
    values = np.frombuffer(_a((bytes, bytearray), content), kind.order + kind.code)
    if any(side < 0 for side in sides) or math.prod(sides) != len(values):
        raise ValueError("an array is longer or shorter than it should be")
    return values.reshape(sides, order=order)  # type: ignore[call-overload]  # "C" or "F"


def _a(kind: type | tuple[type, ...], value: Any) -> Any:
    """`value`, which must be of `kind`."""
    if not isinstance(value, kind):
        raise TypeError(f"{type(value).__name__} is not {kind}")
    return value


def _text(value: Any) -> str:
    """A short name: text, or Python 2's bytes."""
    return value.decode("ascii") if isinstance(value, bytes) else _a(str, value)


_CODES = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)} | {"f2", "f4", "f8", "b1"}
_ORDERS = ("|", "<", ">", "=")
_NDARRAY = _Name("numpy.ndarray")
_BUILDERS: dict[_Name, Callable[..., Any]] = {
    _Name("numpy.core.multiarray._reconstruct"): _Machine.reconstruct,
    _Name("numpy.core.numeric._frombuffer"): _Machine.from_buffer,  # protocol 5
    _Name("numpy.core.multiarray.scalar"): _Machine.scalar,
    _Name("numpy.dtype"): _Machine.dtype,
    _Name("_codecs.encode"): _Machine.encode,
}

_Step = Callable[[_Machine, Any], None]
_VALUES = (  # pickletools delivers the value itself
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
)
_OPCODES: dict[str, _Step] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda machine, _: None),
    **dict.fromkeys(_VALUES, _Machine.push),
    **dict.fromkeys(  # Python 2's str, which pickletools delivers as Latin-1
        ("STRING", "BINSTRING", "SHORT_BINSTRING"), lambda m, text: m.push(text.encode("latin-1"))
    ),
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "TUPLE1": lambda m, _: m.push(m.take(1)),
    "TUPLE2": lambda m, _: m.push(m.take(2)),
    "TUPLE3": lambda m, _: m.push(m.take(3)),
    "TUPLE": lambda m, _: m.push(tuple(m.since_mark())),
    "LIST": lambda m, _: m.push(m.since_mark()),
    "DICT": _Machine.make_dict,
    "APPEND": lambda m, _: m.extend(list(m.take(1))),
    "APPENDS": lambda m, _: m.extend(m.since_mark()),
    "SETITEM": lambda m, _: m.update(list(m.take(2))),
    "SETITEMS": lambda m, _: m.update(m.since_mark()),
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.put),
    "MEMOIZE": _Machine.memoize,
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.get),
    "GLOBAL": lambda m, names: m.name(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.name(*m.take(2)),
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
}
