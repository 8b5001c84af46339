"""Vectors of the processor as values in numba's functions: one entry of each of eight examples, or of four in double.

numba leaves it to LLVM to find vectors in loops over numbers, which it gives up where more arrays are written and read
side by side than it can tell apart, as in the tile of a product of matrices. These operations say which vectors.
Where the processor has shorter ones, LLVM takes several.

Imported by the modules of loops alone, where numba is installed.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

__all__ = ["BYTES", "fused", "largest", "load", "nothing", "plus", "spread", "store", "times", "total"]

BYTES = 32
"""Bytes of a vector, a power of two."""

_INDEX = ir.IntType(32)


class _Vector(types.Type):
    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        super().__init__(name=f"Vector({dtype})")


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: _Vector) -> None:
        number = {32: ir.FloatType(), 64: ir.DoubleType()}[kind.dtype.bitwidth]
        super().__init__(manager, kind, ir.VectorType(number, 8 * BYTES // kind.dtype.bitwidth))


@intrinsic
def load(_, array, at):
    """The vector that begins at index `at` of a one-dimensional array."""

    def generate(context, builder, signature, args):
        pointer = _pointer(context, builder, signature, args)
        whole = context.get_value_type(signature.return_type).as_pointer()
        return builder.load(builder.bitcast(pointer, whole), align=_alignment(array))

    return _Vector(array.dtype)(array, at), generate


@intrinsic
def store(_, array, at, vector):
    """Write a vector to the indices from `at` on."""

    def generate(context, builder, signature, args):
        pointer = _pointer(context, builder, signature, args)
        whole = args[2].type.as_pointer()
        builder.store(args[2], builder.bitcast(pointer, whole), align=_alignment(array))
        return context.get_dummy_value()

    return types.void(array, at, vector), generate


@intrinsic
def spread(_, array, at):
    """A vector whose entries are all the number at index `at`."""

    def generate(context, builder, signature, args):
        whole = context.get_value_type(signature.return_type)
        number = builder.load(_pointer(context, builder, signature, args))
        unset = ir.Constant(whole, ir.Undefined)
        first = builder.insert_element(unset, number, ir.Constant(_INDEX, 0))
        places = ir.Constant(ir.VectorType(_INDEX, whole.count), [0] * whole.count)
        return builder.shuffle_vector(first, unset, places)

    return _Vector(array.dtype)(array, at), generate


@intrinsic
def nothing(_, array):
    """The vector of zeros of the dtype of `array`."""

    def generate(context, builder, signature, args):
        whole = context.get_value_type(signature.return_type)
        return ir.Constant(whole, [0.0] * whole.count)

    return _Vector(array.dtype)(array), generate


@intrinsic
def fused(_, one, other, term):
    """`one * other + term`, rounded once where the processor can."""

    def generate(context, builder, signature, args):
        product = builder.fmul(args[0], args[1], flags=("contract",))
        return builder.fadd(product, args[2], flags=("contract",))

    return one(one, other, term), generate


@intrinsic
def plus(_, one, other):
    """`one + other`."""
    return one(one, other), lambda context, builder, signature, args: builder.fadd(*args)


@intrinsic
def times(_, one, other):
    """`one * other`."""
    return one(one, other), lambda context, builder, signature, args: builder.fmul(*args)


@intrinsic
def largest(_, one, other):
    """The larger entry of two; that of `one` where either is not a number."""

    def generate(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered("<", *args), args[1], args[0])

    return one(one, other), generate


@intrinsic
def total(_, vector):
    """The sum of the entries, by halves."""

    def generate(context, builder, signature, args):
        count = args[0].type.count
        unset, summed = ir.Constant(args[0].type, ir.Undefined), args[0]
        while count > 1:
            count //= 2
            upper = [*range(count, 2 * count), *[0] * (args[0].type.count - count)]
            places = ir.Constant(ir.VectorType(_INDEX, len(upper)), upper)
            summed = builder.fadd(summed, builder.shuffle_vector(summed, unset, places))
        return builder.extract_element(summed, ir.Constant(_INDEX, 0))

    return vector.dtype(vector), generate


def _pointer(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, args[0])
    return builder.gep(array.data, [args[1]])


def _alignment(array: types.Array) -> int:
    bytes_of_number: int = array.dtype.bitwidth // 8
    return bytes_of_number
