"""Eight numbers as one value inside a numba kernel.

LLVM's own vectoriser gives up on small dense factorisations. A kernel that puts one matrix row
in each lane of a vector instead is written in plain loops with these few operations; LLVM maps
the vector type to whatever registers the machine has (for doubles one of 512 bits, two of 256 or
four of 128). All lanes do the same arithmetic in the same order, so a row's result does not depend
on its lane. Vectors hold float64 or float32, like the array they are read from.

Arithmetic takes vectors or tuples of them, each with its own of another tuple; a vector beside a
tuple goes with all of it. So a kernel that keeps eight sums in registers is one line.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.extending import intrinsic, register_model

operation: Any = intrinsic  # untyped, so that a kernel may call what it decorates

LANES = 8  # doubles of a cache line, and of one 512-bit register
_DOUBLES = ir.VectorType(ir.DoubleType(), LANES)
_SINGLES = ir.VectorType(ir.FloatType(), LANES)
_INT = ir.IntType(32)


class _Lanes(types.Type):
    """Numba's name for eight float64 or float32."""

    def __init__(self, scalar: Any) -> None:
        self.scalar = scalar
        super().__init__(name=f"{scalar}x8")


double_lanes = _Lanes(types.float64)
single_lanes = _Lanes(types.float32)


def _vector(kind: Any) -> Any:
    return _DOUBLES if kind == double_lanes else _SINGLES


def _lanes(array: Any) -> Any:
    return double_lanes if array.dtype == types.float64 else single_lanes


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _vector(kind))


def _pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any, vector: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


def _call(builder: Any, name: str, *values: Any) -> Any:
    vector = values[0].type
    kind = ir.FunctionType(vector, [vector] * len(values))
    suffix = "v8f64" if vector == _DOUBLES else "v8f32"
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.{suffix}")
    return builder.call(function, values)


def _shuffle(builder: Any, a: Any, b: Any, mask: Any) -> Any:
    picks = ir.Constant(ir.VectorType(_INT, len(mask)), [_INT(i) for i in mask])
    return builder.shuffle_vector(a, b, picks)


def _lane_wise(emit: Callable[..., Any], *kinds: Any, result: Any = None) -> Any:
    """Signature and code of an operation on vectors or tuples of them; `emit` is for vectors.

    An array among the kinds only says what type the result has.
    """
    counts = [kind.count for kind in kinds if isinstance(kind, types.containers.BaseTuple)]
    result = result or getattr(kinds[0], "dtype", kinds[0])

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pairs = [pair for pair in zip(kinds, args, strict=True) if pair[0] not in arrays]
        if not counts:
            return emit(builder, *(value for _, value in pairs))
        spread = [
            cgutils.unpack_tuple(builder, value)
            if isinstance(kind, types.containers.BaseTuple)
            else [value] * counts[0]
            for kind, value in pairs
        ]
        values = [emit(builder, *vectors) for vectors in zip(*spread, strict=True)]
        return context.make_tuple(builder, signature.return_type, values)

    arrays = [kind for kind in kinds if isinstance(kind, types.Array)]
    return (types.containers.UniTuple(result, counts[0]) if counts else result)(*kinds), generate


def _resize(builder: Any, value: Any, vector: Any) -> Any:
    if value.type == vector:
        return value
    return (builder.fpext if vector == _DOUBLES else builder.fptrunc)(value, vector)


def _read(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    pointer = _pointer(context, builder, kind, array, index, _vector(_lanes(kind)))
    return builder.load(pointer, align=4)


def _copies(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return _spread(builder, builder.load(builder.gep(data, [index])), _vector(_lanes(kind)))


def _spread(builder: Any, one: Any, vector: Any) -> Any:
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, one, _INT(0))
    return _shuffle(builder, first, undefined, [0] * LANES)


def _apart(builder: Any, index: Any, step: Any, count: int) -> list[Any]:
    """Indices, a step apart."""
    steps = [builder.mul(step, ir.Constant(step.type, number)) for number in range(count)]
    return [builder.add(index, step) for step in steps]


@operation
def load(typing_context, array, index):
    """Read `array[index:index + 8]` of a contiguous array."""

    def generate(context, builder, signature, args):
        return _read(context, builder, signature.args[0], *args)

    return _lanes(array)(array, types.intp), generate


def _several(count: int, read: Callable[..., Any]) -> Any:
    """`read` at `count` indices, a step apart, as (array, first index, step): a tuple."""

    @operation
    def several(typing_context, array, index, step):
        def generate(context, builder, signature, args):
            found = [
                read(context, builder, signature.args[0], args[0], at)
                for at in _apart(builder, args[1], args[2], count)
            ]
            return context.make_tuple(builder, signature.return_type, found)

        result = types.containers.UniTuple(_lanes(array), count)
        return result(array, types.intp, types.intp), generate

    return several


load2, load4, load8 = (_several(count, _read) for count in (2, 4, 8))
broadcast4, broadcast8 = (_several(count, _copies) for count in (4, 8))  # each entry eight times


@operation
def store(typing_context, array, index, value):
    """Write a vector to `array[index:index + 8]`, rounded to the array's type."""

    def generate(context, builder, signature, args):
        vector = _vector(_lanes(signature.args[0]))
        pointer = _pointer(context, builder, signature.args[0], args[0], args[1], vector)
        builder.store(_resize(builder, args[2], vector), pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@operation
def store_each(typing_context, array, index, step, values):
    """Write the vectors of a tuple, a step of entries apart, rounded to the array's type."""

    def generate(context, builder, signature, args):
        vector = _vector(_lanes(signature.args[0]))
        values = cgutils.unpack_tuple(builder, args[3])
        for at, value in zip(_apart(builder, args[1], args[2], len(values)), values, strict=True):
            pointer = _pointer(context, builder, signature.args[0], args[0], at, vector)
            builder.store(_resize(builder, value, vector), pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, values), generate


@operation
def widen(typing_context, value):
    """The same numbers as float64."""
    return _lane_wise(lambda builder, v: _resize(builder, v, _DOUBLES), value, result=double_lanes)


@operation
def cast_like(typing_context, array, value):
    """The same numbers in an array's type: float32 rounds."""
    lanes = _lanes(array)
    vector = _vector(lanes)
    return _lane_wise(lambda builder, v: _resize(builder, v, vector), array, value, result=lanes)


@operation
def zeros_like(typing_context, array):
    """Eight zeros of an array's type."""

    def generate(context, builder, signature, args):
        return ir.Constant(_vector(signature.return_type), None)

    return _lanes(array)(array), generate


@operation
def from_scalar(typing_context, value):
    """Eight copies of a float64."""

    def generate(context, builder, signature, args):
        return _spread(builder, args[0], _DOUBLES)

    return double_lanes(types.float64), generate


@operation
def multiply_add(typing_context, a, b, c):
    """`a * b + c`, rounded once; the C library does it where a processor cannot."""
    return _lane_wise(lambda builder, *v: _call(builder, "fma", *v), a, b, c)


def _arithmetic(emit: Callable[..., Any]) -> Any:
    @operation
    def calculate(typing_context, a, b):
        return _lane_wise(emit, a, b)

    return calculate


add, subtract, multiply = map(
    _arithmetic, (ir.IRBuilder.fadd, ir.IRBuilder.fsub, ir.IRBuilder.fmul)
)


@operation
def sums(typing_context, vectors):
    """The sums over the lanes of each of eight vectors (a tuple), as one vector."""

    def generate(context, builder, signature, args):
        vectors = cgutils.unpack_tuple(builder, args[0])
        for low, high in (
            ((0, 8, 2, 10, 4, 12, 6, 14), (1, 9, 3, 11, 5, 13, 7, 15)),
            ((0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)),
            ((0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)),
        ):
            pairs = zip(vectors[::2], vectors[1::2], strict=True)
            vectors = [
                builder.fadd(_shuffle(builder, u, v, low), _shuffle(builder, u, v, high))
                for u, v in pairs
            ]
        return vectors[0]

    return vectors.dtype(vectors), generate


@operation
def total_of(typing_context, a):
    """Sum of the lanes, halving the vector each time."""

    def generate(context, builder, signature, args):
        value = args[0]
        for half in (4, 2, 1):
            low = _shuffle(builder, value, value, range(half))
            high = _shuffle(builder, value, value, range(half, 2 * half))
            value = builder.fadd(low, high)
        return builder.extract_element(value, _INT(0))

    return a.scalar(a), generate


@operation
def reciprocal(typing_context, a):
    """`1 / a`."""
    return _lane_wise(
        lambda builder, v: builder.fdiv(ir.Constant(v.type, [v.type.element(1.0)] * LANES), v), a
    )


@operation
def inverse_root(typing_context, pivot, floor):
    """`1 / sqrt(pivot)` where pivot > floor, else 0, lane by lane."""

    def generate(context, builder, signature, args):
        good = builder.fcmp_ordered(">", *args)
        one = ir.Constant(_DOUBLES, [ir.DoubleType()(1.0)] * LANES)
        zero = ir.Constant(_DOUBLES, [ir.DoubleType()(0.0)] * LANES)
        safe = builder.select(good, args[0], one)
        return builder.select(good, builder.fdiv(one, _call(builder, "sqrt", safe)), zero)

    return double_lanes(double_lanes, double_lanes), generate


@operation
def gather4(typing_context, factors, starts, first, column):
    """Read four neighbouring float32 entries in each lane and transpose them.

    `factors` is flat float32, `starts[first:first + 8]` (int64) each lane's row start in it.
    Returns four float32 vectors: entry `column`, `column + 1`, … of every lane.
    """
    four = ir.VectorType(ir.FloatType(), 4)

    def generate(context, builder, signature, args):
        rows = context.make_array(signature.args[1])(context, builder, args[1]).data
        parts = []
        for lane in range(LANES):
            position = builder.add(args[2], ir.Constant(args[2].type, lane))
            start = builder.add(builder.load(builder.gep(rows, [position])), args[3])
            pointer = _pointer(context, builder, signature.args[0], args[0], start, four)
            parts.append(builder.load(pointer, align=4))
        # A 4 x 4 transposition in each half of a vector: lanes 0 to 3 below, 4 to 7 above.
        pairs = [_shuffle(builder, parts[i], parts[i + 4], range(8)) for i in range(4)]
        low, high = (0, 8, 1, 9, 4, 12, 5, 13), (2, 10, 3, 11, 6, 14, 7, 15)
        even, odd = (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)
        columns = []
        for mask in (low, high):
            front = _shuffle(builder, pairs[0], pairs[1], mask)
            back = _shuffle(builder, pairs[2], pairs[3], mask)
            columns += [_shuffle(builder, front, back, half) for half in (even, odd)]
        return context.make_tuple(builder, signature.return_type, columns)

    result = types.containers.UniTuple(single_lanes, 4)
    return result(factors, starts, types.intp, types.intp), generate


@operation
def prefetch(typing_context, array, index):
    """Ask for the cache line of `array[index]` ahead of its use."""

    def generate(context, builder, signature, args):
        byte = ir.IntType(8)
        pointer = _pointer(context, builder, signature.args[0], args[0], args[1], byte)
        kind = ir.FunctionType(ir.VoidType(), [byte.as_pointer(), _INT, _INT, _INT])
        name = "llvm.prefetch.p0"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        builder.call(function, [pointer, _INT(0), _INT(2), _INT(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


def aligned(size: int, dtype: type = np.float64) -> np.ndarray:
    """Zeros (size,), starting at a multiple of 64 bytes: a vector of doubles is a cache line."""
    line = 64 // np.dtype(dtype).itemsize
    spare: np.ndarray = np.zeros(size + line, dtype)
    address = spare.__array_interface__["data"][0]  # `ctypes.data` takes three times as long
    start = -(address // spare.itemsize) % line
    return spare[start : start + size]


def aligned_parts(sizes: list[int], dtype: type = np.float64) -> list[np.ndarray]:
    """Zeros of each size, one after the other in memory from `aligned`."""
    whole = aligned(sum(sizes), dtype)
    ends = itertools.accumulate(sizes)
    return [whole[end - size : end] for size, end in zip(sizes, ends, strict=True)]
