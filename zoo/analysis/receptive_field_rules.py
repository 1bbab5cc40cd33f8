"""What an operation does to the image's axes: a rule for each that is followed, by aten's name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from zoo.analysis.receptive_field import Atom, Call, Geometry, Rule, Unfollowed, dims_of, names_of, plain
from zoo.analysis.window_arithmetic import Axis, Window

# -------------------------------------------------------------------------------------------------------------- windows


def _many(value: Any, count: int) -> list[Any]:
    values = list(value) if isinstance(value, list | tuple) else [value]
    return values * count if len(values) == 1 else values


def _slide(call: Call, windows: Sequence[Window]) -> tuple[Geometry, dict[str, Window]]:
    """Windows along the last dimensions, one each; those along dimensions that are no axis of the image change
    nothing for it."""
    geometry, shape = call.geometry(), call.outputs[0].shape
    dims, axes, applied = list(dims_of(geometry)), dict(geometry.axes), {}
    first = len(dims) - len(windows)
    for place, window in enumerate(windows, first):
        name = names_of(dims[place])
        if not name:
            dims[place] = (("", shape[place]),)
        elif window != Window(1):
            if name not in axes:
                raise Unfollowed
            axes[name] = replace(axes[name].through(window), side=shape[place])
            dims[place] = ((name, shape[place]),)
        if name in axes:
            applied[name] = window
    if first > 0 and dims[first - 1] and not names_of(dims[first - 1]):
        dims[first - 1] = (("", shape[first - 1]),)
    return Geometry(tuple(dims), axes), applied


def _convolution(call: Call) -> Any:
    weight, stride, padding, dilation, transposed = call.argument(1), *(call.argument(index) for index in (3, 4, 5, 6))
    if transposed or call.of(weight) is not None:
        raise Unfollowed
    count = weight.ndim - 2
    terms = zip(weight.shape[2:], _many(stride, count), _many(padding, count), _many(dilation, count), strict=True)
    return _slide(call, [Window(*term) for term in terms])


def _pool(dimensions: int, *, dilated: bool) -> Rule:
    def rule(call: Call) -> Any:
        kernel = _many(call.argument(1), dimensions)
        stride = _many(call.argument(2) or kernel, dimensions)
        padding = _many(call.argument(3, 0), dimensions)
        dilation = _many(call.argument(4, 1) if dilated else 1, dimensions)
        ceil = bool(call.argument(5 if dilated else 4, False))
        return _slide(call, [Window(*term, ceil) for term in zip(kernel, stride, padding, dilation, strict=True)])

    return rule


def _adaptive_pool(call: Call) -> Any:
    """Where the sides do not divide, windows differ by one: the widest is taken, and the stride rounded down."""
    before, after = call.argument(0).shape, call.outputs[0].shape
    windows = []
    for side, count in zip(before[-2:], after[-2:], strict=True):
        widest = max(-(-(place + 1) * side // count) - place * side // count for place in range(count))
        windows.append(Window(widest, max(1, side // count)))
    geometry, applied = _slide(call, windows)
    gathered = "".join(name for name, axis in geometry.axes.items() if axis.side == 1)
    return Geometry(geometry.dims, geometry.changed(gathered, Axis.spread)), applied


def _pad(call: Call) -> Geometry:
    geometry, amounts = call.geometry(), call.argument(1)
    dims, axes = list(dims_of(geometry)), dict(geometry.axes)
    for place in range(len(amounts) // 2):
        dim = len(dims) - 1 - place
        name = names_of(dims[dim])
        if amounts[2 * place] == amounts[2 * place + 1] == 0:
            continue
        size = call.outputs[0].shape[dim]
        if name and name not in axes:
            raise Unfollowed
        if name:
            axes[name] = replace(
                axes[name], side=size, padding=axes[name].padding + amounts[2 * place] * axes[name].stride
            )
        dims[dim] = ((name, size),)
    return Geometry(tuple(dims), axes)


def _slice(call: Call) -> Geometry:
    """Every ``step``-th position from ``start``: a window of one."""
    geometry, dim = call.geometry(), call.argument(1, 0)
    dims, axes, size = list(dims_of(geometry)), dict(geometry.axes), call.outputs[0].shape[dim]
    if size == call.argument(0).shape[dim]:
        return geometry
    start, step, name = call.argument(2) or 0, call.argument(4, 1), names_of(dims[dim])
    start = start + call.argument(0).shape[dim] if start < 0 else start
    if name in axes:
        moved = axes[name].through(Window(1, step))
        axes[name] = replace(moved, side=size, padding=moved.padding - start * axes[name].stride)
    dims[dim] = ((name, size),)
    return Geometry(tuple(dims), axes)


# -------------------------------------------------------------------------------------------- form, and taking together


def _same(call: Call) -> Geometry:
    return call.geometry()


def _reshape(call: Call) -> Geometry:
    """Atoms in their order, dealt out to the new dimensions; an axis of the image may be joined to others but not
    cut."""
    geometry = call.geometry()
    atoms = [atom for dim in dims_of(geometry) for atom in dim]
    dims: list[tuple[Atom, ...]] = []
    for size in call.outputs[0].shape:
        taken, product = [], 1
        if size == 1 and atoms and atoms[0][1] == 1:
            taken.append(atoms.pop(0))
        while product < size and atoms:
            name, whole = atoms.pop(0)
            wanted = size // product
            if whole > wanted and not name and whole % wanted == 0:
                atoms.insert(0, ("", whole // wanted))
                whole = wanted
            taken.append((name, whole))
            product *= whole
        if product != size:
            raise Unfollowed
        dims.append(tuple(taken) or (("", 1),))
    if dims and atoms:
        dims[-1] = (*dims[-1], *atoms)
    return Geometry(tuple(dims), geometry.axes)


def _permute(call: Call) -> Geometry:
    geometry = call.geometry()
    dims = dims_of(geometry)
    return Geometry(tuple(dims[index] for index in call.argument(1)), geometry.axes)


def _transpose(call: Call) -> Geometry:
    geometry = call.geometry()
    dims = list(dims_of(geometry))
    first, second = call.argument(1, 0), call.argument(2, 1)
    dims[first], dims[second] = dims[second], dims[first]
    return Geometry(tuple(dims), geometry.axes)


def _expand(call: Call) -> Geometry:
    geometry, shape = call.geometry(), call.outputs[0].shape
    dims = (*plain([1] * (len(shape) - len(dims_of(geometry)))), *dims_of(geometry))
    grown = (
        dim if names_of(dim) or _size(dim) == size else (("", size),) for dim, size in zip(dims, shape, strict=True)
    )
    return Geometry(tuple(grown), geometry.axes)


def _size(atoms: Iterable[Atom]) -> int:
    product = 1
    for _, size in atoms:
        product *= size
    return product


def _take_one(call: Call) -> Geometry:
    """``select`` and ``unbind``: one position of a dimension."""
    geometry, dim = call.geometry(), call.argument(1, 0)
    dims = list(dims_of(geometry))
    name = names_of(dims.pop(dim))
    return Geometry(tuple(dims), geometry.changed(name, lambda axis: replace(axis, side=1)))


def _split(call: Call) -> list[Geometry]:
    geometry, dim = call.geometry(), call.argument(2, 0)
    dims = list(dims_of(geometry))
    if names_of(dims[dim]):
        raise Unfollowed
    made = []
    for output in call.outputs:
        dims[dim] = (("", output.shape[dim]),)
        made.append(Geometry(tuple(dims), geometry.axes))
    return made


def _cat(call: Call) -> Geometry:
    """Side by side. Along an axis of the image what is added may only be a constant, like a class token."""
    inputs, dim = call.inputs(), call.argument(1, 0)
    merged = _merged([geometry for _, geometry in inputs])
    dims = [list(dims_of(geometry)) for _, geometry in inputs]
    names = names_of(dims[0][dim])
    if names and len(inputs) > 1:
        raise Unfollowed
    dims[0][dim] = ((names, int(call.outputs[0].shape[dim])),)
    return Geometry(tuple(tuple(each) for each in dims[0]), merged)


def _stack(call: Call) -> Geometry:
    """Along a new dimension, which is no axis of the image."""
    inputs, dim = call.inputs(), call.argument(1, 0)
    dims = list(dims_of(inputs[0][1]))
    place = dim if dim >= 0 else dim + call.outputs[0].ndim
    dims.insert(place, (("", int(call.outputs[0].shape[place])),))
    return Geometry(tuple(dims), _merged([geometry for _, geometry in inputs]))


def _glu(call: Call) -> Geometry:
    """One half of a dimension times the sigmoid of the other."""
    geometry, dim = call.geometry(), call.argument(1, -1)
    dims = list(dims_of(geometry))
    if names_of(dims[dim]):
        raise Unfollowed
    dims[dim] = (("", int(call.outputs[0].shape[dim])),)
    return Geometry(tuple(dims), geometry.axes)


def _pointwise(call: Call) -> Geometry:
    """Position by position, with broadcasting."""
    inputs, shape = call.inputs(), call.outputs[0].shape
    dims: list[tuple[Atom, ...]] = []
    for place in range(-len(shape), 0):
        choices = [
            dims_of(found)[place]
            for tensor, found in inputs
            if tensor.ndim >= -place and tensor.shape[place] == shape[place]
        ]
        named = {dim for dim in choices if names_of(dim)}
        if len({names_of(dim) for dim in named}) > 1:
            raise Unfollowed
        dims.append(named.pop() if named else (("", shape[place]),))
    return Geometry(tuple(dims), _merged([found for _, found in inputs]))


def _merged(geometries: Sequence[Geometry]) -> dict[str, Axis]:
    """Of outputs taken together: the widest field.

    Where one has positions and another was gathered from all, positions stay.
    """
    axes = {}
    for name in geometries[0].axes:
        found = [geometry.axes[name] for geometry in geometries if name in geometry.axes]
        placed = [axis for axis in found if axis.side == max(each.side for each in found)]
        widest = max(placed, key=lambda axis: axis.field)
        axes[name] = replace(
            widest, padding=max(axis.padding for axis in placed), whole=any(axis.whole for axis in found)
        )
    return axes


def _reduce(call: Call) -> Geometry:
    """A mean, sum, maximum over some dimensions, or all."""
    geometry, asked = call.geometry(), call.argument(1)
    dims = list(dims_of(geometry))
    chosen = {place % len(dims) for place in (range(len(dims)) if asked in (None, []) else _many(asked, 1))}
    names = names_of(atom for place in chosen for atom in dims[place])
    kept = call.outputs[0].ndim == len(dims)
    left = [(("", 1),) if place in chosen else dim for place, dim in enumerate(dims) if kept or place not in chosen]
    return Geometry(tuple(left), geometry.changed(names, Axis.gathered))


def _vector_norm(call: Call) -> Geometry:
    return _reduce(replace(call, arguments=[call.argument(0), call.argument(2)]))


def _matmul(left: int) -> Rule:
    """Rows of argument ``left`` times columns of the next; the dimension they share is taken together."""

    def rule(call: Call) -> Geometry:
        first, second = call.dims(left), call.dims(left + 1)
        found = [geometry for _, geometry in call.inputs()]
        gathered = names_of((*first[-1], *second[-2]))
        merged = Geometry(None, _merged(found))
        return Geometry(
            (*first[:-1], second[-1]),
            merged.changed(gathered, _taken(names_of(a for dim in (*first[:-1], second[-1]) for a in dim))),
        )

    return rule


def _taken(kept: str) -> Callable[[Axis], Axis]:
    """An axis that other dimensions still have keeps its positions; each of them has heard of all."""
    return Axis.spread if kept else Axis.gathered


def _linear(call: Call) -> Geometry:
    geometry = call.geometry()
    dims = dims_of(geometry)
    return Geometry(
        (*dims[:-1], (("", call.outputs[0].shape[-1]),)), geometry.changed(names_of(dims[-1]), Axis.gathered)
    )


def _attention(call: Call) -> Geometry:
    """Queries, keys and values (…, positions, features): each query hears of all the keys."""
    query, key = call.geometry(0), call.geometry(1)
    return Geometry(
        dims_of(query), Geometry(None, _merged([query, key])).changed(names_of(dims_of(key)[-2]), Axis.spread)
    )


def _spread_over(places: Callable[[Call, int], Iterable[int]]) -> Rule:
    """Position by position, but with something (a norm, a softmax) that is taken over some dimensions."""

    def rule(call: Call) -> Geometry:
        geometry = call.geometry()
        dims = dims_of(geometry)
        names = names_of(atom for place in places(call, len(dims)) for atom in dims[place])
        return Geometry(dims, geometry.changed(names, Axis.spread))

    return rule


def _batch_norm(call: Call) -> Geometry:
    training = call.argument(5) is True
    return _spread_over(lambda _, count: range(2, count) if training else ())(call)  # type: ignore[no-any-return]


def rule_for(name: str, *, pointwise: bool) -> Rule | None:
    """None where the operation is not followed.

    ``pointwise`` as torch tags it: most operations need no rule of their own.
    """
    return RULES.get(name) or (_pointwise if pointwise else _attention if "dot_product" in name else None)


SAME = (
    "clone",
    "_to_copy",
    "detach",
    "alias",
    "contiguous",
    "lift_fresh",
    "native_dropout",
    "_native_batch_norm_legit_no_training",
    "copy",
)
POINTWISE = (
    "hardswish",
    "hardswish_",
    "mish_",
    "threshold_",
    "_prelu_kernel",
    "log_sigmoid_forward",
    "rrelu_with_noise",
    "rrelu_with_noise_",
)
"""Position by position too, though torch does not tag them so."""
RESHAPES = ("view", "_unsafe_view", "reshape", "_reshape_alias", "squeeze", "unsqueeze")
REDUCTIONS = ("mean", "sum", "amax", "amin", "max", "var", "std", "var_mean")
RULES: dict[str, Rule] = {
    "convolution": _convolution,
    "max_pool2d_with_indices": _pool(2, dilated=True),
    "avg_pool2d": _pool(2, dilated=False),
    "avg_pool3d": _pool(3, dilated=False),
    "_adaptive_avg_pool2d": _adaptive_pool,
    "adaptive_max_pool2d": _adaptive_pool,
    "constant_pad_nd": _pad,
    "slice": _slice,
    "permute": _permute,
    "transpose": _transpose,
    "t": _transpose,
    "expand": _expand,
    "select": _take_one,
    "unbind": _take_one,
    "split": _split,
    "split_with_sizes": _split,
    "cat": _cat,
    "stack": _stack,
    "glu": _glu,
    "linalg_vector_norm": _vector_norm,
    "mm": _matmul(0),
    "bmm": _matmul(0),
    "addmm": _matmul(1),
    "baddbmm": _matmul(1),
    "linear": _linear,
    "_softmax": _spread_over(lambda call, _: [call.argument(1)]),
    "_log_softmax": _spread_over(lambda call, _: [call.argument(1)]),
    "native_layer_norm": _spread_over(lambda call, count: range(count - len(call.argument(1)), count)),
    "native_group_norm": _spread_over(lambda _, count: range(1, count)),
    "native_batch_norm": _batch_norm,
    "cudnn_batch_norm": _batch_norm,
    **dict.fromkeys(SAME, _same),
    **dict.fromkeys(POINTWISE, _pointwise),
    **dict.fromkeys(RESHAPES, _reshape),
    **dict.fromkeys(REDUCTIONS, _reduce),
}
"""By aten's name, for what torch does not tag as pointwise."""
