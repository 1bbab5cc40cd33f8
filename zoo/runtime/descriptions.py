"""Check a model's description, and the shape of its outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from zoo.runtime.decisions import FIELDS, NAMES, OUTPUT_KINDS, REQUIRED, SIDES, decision_of
from zoo.runtime.decoding import MAX_PIXELS
from zoo.runtime.preprocessing import preprocessing_steps
from zoo.runtime.resizing import COVER, CROP, RESAMPLING, SQUASH

FORMATS_OF_BUNDLES = (1, 2, 3)


def due_shape(decision: dict[str, Any], output: str | None, inputs: Sequence[int]) -> tuple[int | str, ...]:
    """The shape that the outputs for inputs (N, C, H, W) must have; a letter where any number will do.

    ``output`` is the kind of output in a description of format 2; one of format 1 has a vector.
    """
    sides: dict[str, int] = {"N": inputs[0]}
    if decision["kind"] in NAMES:
        sides["K"] = len(decision[NAMES[decision["kind"]]])
    if decision["kind"] == "pixel_argmax":
        sides.update(H=inputs[2], W=inputs[3])
    return tuple(sides.get(side, side) for side in SIDES[output if output in SIDES else "vector"])


def has_shape(shape: Sequence[int], due: Sequence[int | str]) -> bool:
    return len(shape) == len(due) and all(
        isinstance(due[axis], str) or side == due[axis] for axis, side in enumerate(shape)
    )


def wrong_shape(shape: Sequence[int], due: Sequence[int | str], decision: dict[str, Any]) -> str:
    """What is wrong with outputs that do not have the shape `due_shape` gives, in words."""
    field = NAMES.get(decision["kind"])
    names = "" if field is None else f" ({len(decision[field])} {field})"
    wanted = ", ".join(map(str, due))
    return f"it gives {tuple(shape)} where ({wanted}) is due for the decision {decision['kind']}{names}"


def check_description(description: dict[str, Any]) -> None:
    """Raises ValueError, LookupError or TypeError unless all of it can be followed: a field that says what is not done
    here is refused."""
    spec, output = description["input"], description["output"]
    if description.get("format", 1) not in FORMATS_OF_BUNDLES:
        raise ValueError(f"format {description['format']!r} is not one of {', '.join(map(str, FORMATS_OF_BUNDLES))}")
    due = {
        "layout": ("NCHW",),
        "dtype": ("float32",),
        "range": ([0, 1],),
        "channels": (1, 3),
        "resize": (COVER, SQUASH, CROP),
    }
    due.update({"channel_order": ("grey",) if spec["channels"] == 1 else ("RGB",), "interpolation": tuple(RESAMPLING)})
    for field, known in due.items():
        if (field in spec or field in ("channels", "resize", "interpolation")) and spec[field] not in known:
            raise ValueError(f"{field} {spec[field]!r} is not one of {', '.join(map(str, known))}")
    for field in ("height", "width", "scale", "permute_pixels", "batch"):
        value, optional = spec.get(field), field not in ("height", "width")
        least, most = (0, 2**63) if field == "permute_pixels" else (1, 2**16)
        if not (value is None and optional) and not (isinstance(value, int) and least <= value < most):
            raise ValueError(f"{field} {value!r} is no whole number from {least} to {most - 1}")
    if ("steps" in spec or description.get("format", 1) >= 3) and spec.get("steps") != preprocessing_steps(spec):
        raise ValueError("its preprocessing steps are not those of its other fields")
    limit, span = spec.get("max_pixels", MAX_PIXELS), spec.get("value_range")
    if not isinstance(limit, int) or limit < 1:
        raise ValueError(f"max_pixels {limit!r} is no whole number of at least 1")
    if span is not None and not (
        len(span) == 2 and np.isfinite(np.asarray(span, np.float64)).all() and span[0] < span[1]
    ):
        raise ValueError(f"value_range {span!r} is not two rising numbers")
    for field in ("mean", "std"):
        values = np.asarray(spec[field], np.float64)
        if (
            values.shape != (spec["channels"],)
            or not np.isfinite(values).all()
            or (field == "std" and not (values > 0).all())
        ):
            raise ValueError(f"{field} {spec[field]!r} is not a number for each of {spec['channels']} channels")
    decision = decision_of(description)
    check_decision(decision)
    if "decision" in output and output["kind"] not in OUTPUT_KINDS[decision["kind"]]:
        kinds = ", ".join(OUTPUT_KINDS[decision["kind"]])
        raise ValueError(f"output {output['kind']!r} is not one of {kinds}, which {decision['kind']} is made on")
    if decision["kind"] == "pixel_argmax" and spec.get("permute_pixels") is not None:
        raise ValueError("permuted pixels have no masks")


def check_decision(decision: dict[str, Any]) -> None:
    """Raises ValueError, LookupError or TypeError unless a complete decision (see `decision_of`) can be carried out."""
    kind = decision["kind"]
    unknown = sorted(set(decision) - {"kind", *FIELDS[kind]})
    if unknown:  # it would change the answer, and it is not known how
        raise ValueError(f"{kind} has the unknown field {unknown[0]!r}")
    missing = [field for field, value in decision.items() if value is REQUIRED]
    if missing:
        raise ValueError(f"{kind} has no {missing[0]}")
    names = decision[NAMES[kind]] if kind in NAMES else []
    if kind in NAMES and not (names and _is_list(names, lambda name: isinstance(name, str))):
        raise ValueError(f"it names no {NAMES[kind]}")
    for field, (count, known) in _field_checks(kind, len(names)).items():
        values = decision[field] if count is not None else [decision[field]]
        if not _is_list(values, known) or (count is not None and len(values) not in count):
            raise ValueError(
                f"{field} {decision[field]!r} is not what {kind} with {len(names)} {NAMES.get(kind)} needs"
            )
    clip = decision.get("clip")
    if clip is not None and not clip[0] < clip[1]:
        raise ValueError(f"clip {clip!r} is not two rising numbers")
    if kind == "pixel_argmax" and len(names) > 256:
        raise ValueError(f"{len(names)} classes are more than the 256 that a mask can hold")


def _field_checks(kind: str, names: int) -> dict[str, tuple[tuple[int, ...] | None, Callable[[Any], bool]]]:
    """How many values each field of a decision may have (None: it is no list), and what each of them must be."""
    checks: dict[str, dict[str, tuple[tuple[int, ...] | None, Callable[[Any], bool]]]] = {
        "softmax": {
            "temperature": (None, lambda value: _is_finite(value) and value > 0),
            "abstain_below": (None, lambda value: value is None or (_is_finite(value) and 0 < value <= 1)),
        },
        "sigmoid": {"thresholds": ((names,), lambda value: _is_finite(value) and 0 <= value <= 1)},
        "affine": {
            "units": ((0, names), lambda value: isinstance(value, str)),
            "scale": ((names,), _is_finite),
            "offset": ((names,), _is_finite),
            "link": (None, lambda value: value in ("identity", "exp", "sigmoid")),
            "clip": (None, lambda value: value is None or (_is_list(value, _is_finite) and len(value) == 2)),
        },
        "pixel_argmax": {
            "size": (None, lambda value: value in ("input", "image")),
            "colours": ((0, names), _is_colour),
        },
        "embedding": {"gallery": (None, lambda value: value is None or isinstance(value, str))},
    }
    return checks.get(kind, {})


def _is_colour(value: Any) -> bool:
    return _is_list(value, lambda part: isinstance(part, int) and 0 <= part <= 255) and len(value) == 3


def _is_list(values: Any, known: Callable[[Any], bool]) -> bool:
    return isinstance(values, (list, tuple)) and all(map(known, values))


def _is_finite(value: Any) -> bool:
    """Compared and not converted: an integer in JSON may be too large for a float."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -1e300 < value < 1e300
