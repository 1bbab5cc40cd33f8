"""Check the program of a torch.export archive, which is JSON, without torch: what it calls, evaluates and names.

torch calls every operator by name, evaluates symbolic sizes, and writes names into Python code. So text is accepted
only in a form that is known to be safe; see `archive`.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

OPERATORS = re.compile(
    r"torch\.ops\.aten\.(?P<aten>(?!__)\w+|__i?(and|or|xor|lshift|rshift)__)\.[A-Za-z]\w*"
    r"|torch\.ops\.higher_order\.(cond|while_loop|wrap_with_set_grad_enabled|wrap_with_autocast)"
    r"|torch\.(sym_\w+|_check_is_size)"
    r"|_operator\.(add|sub|mul|truediv|floordiv|mod|pow|neg|pos|abs|eq|ne|lt|le|gt|ge|and_|or_|not_|getitem)"
    r"|math\.(ceil|floor|trunc|sqrt)"
)
FORBIDDEN = {"from_file", "save", "_print", "warn"}
"""ATen operators that read or write files, or print."""
ARGUMENTS = re.compile(
    r"as_(none|tensors?|(optional|nested)_tensors|optional_tensor|ints?|floats?|(int|float)_lists|complex|strings?|bools?"
    r"|sym_(int|float|bool)s?|scalar_type|memory_format|layout|device|graph|expr|name)"
)
"""The kinds of arguments and sizes. Not here: as_operator (a function by name), as_custom_obj (a pickle)."""
NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)?")
WORD = re.compile(r"[\w.\-+]*")
"""Any other text of the program, and the dotted names of weights."""
SYMBOL = re.compile(r"[a-z]{1,4}\d+")
NUMBER = re.compile(r"-?[\d.]+(e[+-]?\d+)?")
FUNCTION = re.compile(
    r"FloorDiv|ModularIndexing|Where|(Python)?Mod|CleanDiv|(Ceil|Floor|Trunc|Round)ToInt|CeilDiv|[LR]Shift|PowByNatural"
    r"|FloatPow|(Float|Int)TrueDiv|TruncToFloat|RoundDecimal|ToFloat|Identity|Max|Min|Abs|floor|ceiling|Add|Mul|Integer"
    r"|Rational|(Une|E)quality|(Strict)?(Greater|Less)Than|And|Or|Not|Piecewise|ExprCondPair"
)
CONSTANTS_OF_SYMPY = {"true", "false", "oo", "int_oo"}
LONGEST_EXPRESSION = 2000
NOT_FINITE = {"Infinity", "-Infinity", "NaN"}
"""torch writes these floats as text."""
TEXTS = {"expr_str", "target", "name", "as_name", "in_spec", "out_spec"}
NUMBERS = {"min_val", "max_val"}
MAPS = {"config", "tensor_values", "sym_int_values", "sym_float_values", "sym_bool_values", "range_constraints"}
"""Objects whose keys are names that the network gives."""
CONTAINERS = {None, "builtins.tuple", "builtins.list", "builtins.dict"}
KEPT = "nn_module_stack"
"""The only metadata of an operator that is loaded: the modules that called it."""


def cleaned(program: dict[str, Any]) -> dict[str, Any]:
    """Return a program without guards and without the metadata that is not needed to run it."""

    def clean(value: Any) -> Any:
        if isinstance(value, list):
            return [clean(each) for each in value]
        if not isinstance(value, dict):
            return value
        found = {key: clean(each) for key, each in value.items() if key != "metadata"}
        stack = value["metadata"].get(KEPT) if isinstance(value.get("metadata"), dict) else None
        return {**found, "metadata": {KEPT: stack} if isinstance(stack, str) else {}} if "metadata" in value else found

    return {key: [] if key == "guards_code" else clean(value) for key, value in program.items()}


def operators(program: dict[str, Any]) -> Iterator[str]:
    """Yield the operator of each node, without ``torch.ops.``, of nested graphs too."""
    for node in _nodes(program):
        yield str(node["target"]).replace("torch.ops.", "")


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict) and "target" in value and "inputs" in value:
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nodes(each)


def faults(value: Any, key: str = "") -> Iterator[str]:
    """Yield what is refused of a JSON value, which is the entry ``key`` of an object."""
    if (key in TEXTS and not isinstance(value, str) and (key, value) != ("name", None)) or (
        key in NUMBERS and not isinstance(value, (int, float, type(None)))
    ):
        yield f"the program has {str(value)[:80]!r} as {key}, which is not accepted"
    elif isinstance(value, dict):
        for name, each in value.items():
            if not WORD.fullmatch(name) or (
                name.startswith("as_") and key not in MAPS and not ARGUMENTS.fullmatch(name)
            ):
                yield f"the program has an entry {name[:80]!r}, which is not accepted"
            elif name in ("custom_obj_values", "treespec_namedtuple_fields") and each:
                yield f"the program has {name}, which are not accepted"
            else:
                yield from faults(each, "" if key in MAPS else name)
    elif isinstance(value, list):
        for each in value:
            yield from faults(each, key)
    elif isinstance(value, str) and not _accepted(value, key):
        yield f"the program has {value[:80]!r} as {key}, which is not accepted"


def _accepted(text: str, key: str) -> bool:
    """Whether text is of a form that is known to be safe under this key."""
    if key in ("as_string", "as_strings", KEPT):  # any text: torch writes it into code by repr
        return True
    if key in ("as_float", "as_floats"):
        return text in NOT_FINITE
    if key.startswith("as_") and key != "as_name":
        return False  # numbers
    rule = RULES.get(key)
    return WORD.fullmatch(text) is not None if rule is None else rule(text)


def _is_operator(text: str) -> bool:
    found = OPERATORS.fullmatch(text)
    return found is not None and found.group("aten") not in FORBIDDEN


def _is_expression(text: str) -> bool:
    """Whether this is the size that sympy.srepr writes, such as ``Mul(Integer(2), Symbol('s77', integer=True))``."""
    try:
        return len(text) <= LONGEST_EXPRESSION and _is_size(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, LookupError, MemoryError, RecursionError):
        return False


def _is_size(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub) and _is_size(node.operand)
    if isinstance(node, (ast.Constant, ast.Name)):
        return node.id in CONSTANTS_OF_SYMPY if isinstance(node, ast.Name) else isinstance(node.value, (int, float))
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return False
    plain = all(isinstance(each.value, ast.Constant) and isinstance(each.value.value, int) for each in node.keywords)
    texts = {"Symbol": SYMBOL, "Float": NUMBER}.get(node.func.id)
    if texts is not None:
        values = [each.value if isinstance(each, ast.Constant) else None for each in node.args]
        return plain and len(values) == 1 and isinstance(values[0], str) and texts.fullmatch(values[0]) is not None
    known = FUNCTION.fullmatch(node.func.id) is not None or (node.func.id == "Pow" and _has_symbol(node.args[0]))
    return plain and known and all(_is_size(each) for each in node.args)


def _has_symbol(node: ast.expr) -> bool:
    """The power of a number by numbers may be too large to evaluate."""
    return any(isinstance(each, ast.Name) and each.id == "Symbol" for each in ast.walk(node))


def _is_name(text: str) -> bool:
    return NAME.fullmatch(text) is not None


def _is_structure(text: str) -> bool:
    """Whether the structure of inputs or outputs consists of tuples, lists and dicts of tensors."""
    try:
        version, tree = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return False

    def accepted(node: Any) -> bool:
        if not isinstance(node, dict) or node.get("type") not in CONTAINERS:
            return False
        context = node.get("context")
        keys = json.loads(context) if isinstance(context, str) else context
        plain = keys is None or (
            isinstance(keys, list) and all(isinstance(each, str) and _is_name(each) for each in keys)
        )
        return plain and all(accepted(child) for child in node["children_spec"])

    try:
        return version == 1 and accepted(tree)
    except (ValueError, TypeError, LookupError, RecursionError):
        return False


RULES: dict[str, Callable[[str], bool]] = {
    "target": _is_operator,
    "expr_str": _is_expression,
    **dict.fromkeys(("in_spec", "out_spec"), _is_structure),
    **dict.fromkeys(("name", "as_name", "forward_arg_names", "user_input_name"), _is_name),
}
"""What text is accepted, by the key that it stands under; under others, `WORD` is."""
