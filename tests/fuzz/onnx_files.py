"""Mutated ONNX files in bundles whose digests fit them: `python tests/fuzz/onnx_files.py --count 1000`
(`make reliability` runs it).

Each file is verified as `zoo verify BUNDLE` does it, against the PyTorch model, in a child of a process that has
everything imported. What must hold: this process is never ended, a child ends within 60 seconds, and a file that is
accepted answers as the original on other inputs, computed by onnxruntime in another child. A child that onnxruntime
ends is refused: `zoo verify` prints how its process was ended.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import onnx
from mutations import Mutator
from onnx import numpy_helper

from zoo.errors import CheckpointError, ZooError
from zoo.exporting.bundle import write_sealed_json
from zoo.exporting.client_files import runtime_source
from zoo.exporting.integrity import Finding
from zoo.exporting.verify_file import Asked, verify_file
from zoo.registry.lookup import registry
from zoo.support.atomic_files import sha256
from zoo.workflows import verify_exported

PUBLISHED = Path(__file__).parents[2] / "exports" / "published" / "cnn_mnist"
SECONDS = 60
TOLERANCE = 1e-4
"""Of the largest output, as in the verification."""
KINDS = ("bytes", "bits", "nodes", "weights")


def mutated(draw: Mutator, content: bytes, kind: str) -> bytes:
    """Random damage, a changed bit, a changed attribute or input of a node, or changed weights."""
    if kind == "bytes":
        return draw.bytes(content)
    if kind == "bits":
        data = bytearray(content)
        data[draw.random.randrange(len(data))] ^= 1 << draw.random.randrange(8)
        return bytes(data)
    model = onnx.load_from_string(content)
    change = change_node if kind == "nodes" else change_weights
    change(draw.random, model.graph)
    return model.SerializeToString()


def change_node(draw: random.Random, graph: onnx.GraphProto) -> None:
    node = draw.choice(graph.node)
    whole = [attribute for attribute in node.attribute if attribute.ints]
    names = [name for each in graph.node for name in (*each.input, *each.output)]
    match draw.randrange(5):
        case 0 if whole:
            attribute = draw.choice(whole)
            attribute.ints[draw.randrange(len(attribute.ints))] += draw.choice((-1, 1, 2, 1 << 40))
        case 1:
            node.op_type = draw.choice(("Relu", "Sigmoid", "Identity", "Neg", "MaxPool", "Loop", "Nothing", "If"))
        case 2:
            node.input[draw.randrange(len(node.input))] = draw.choice(names)
        case 3:
            graph.node.remove(node)
        case _:
            graph.node.insert(draw.randrange(len(graph.node)), node)


def change_weights(draw: random.Random, graph: onnx.GraphProto) -> None:
    tensor = draw.choice(graph.initializer)
    values = numpy_helper.to_array(tensor).copy()
    flat = values.reshape(-1)
    place = draw.randrange(flat.size)
    match draw.randrange(4):
        case 0:
            flat[place] = flat[place] * 1.5 + (flat[place] == 0)
        case 1:
            flat[place] = draw.choice((np.inf, np.nan, 1e30)) if values.dtype.kind == "f" else 2**31 - 1
        case 2:
            flat[:] = flat[::-1].copy()
        case _:
            values = values[:-1]
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), tensor.name))


def put(bundle: Path, content: bytes) -> None:
    """Make a bundle of a model, with digests that fit."""
    shutil.copytree(PUBLISHED, bundle, ignore=shutil.ignore_patterns("__pycache__"))
    (bundle / "model.onnx").write_bytes(content)
    index = json.loads((bundle / "bundle.json").read_bytes())
    index["files"]["model.onnx"]["sha256"] = sha256(bundle / "model.onnx")
    del index["sha256"]
    write_sealed_json(bundle / "bundle.json", index)
    verification = json.loads((bundle / "verify.json").read_bytes())
    verification["bundle"]["sha256"] = sha256(bundle / "bundle.json")
    del verification["sha256"]
    write_sealed_json(bundle / "verify.json", verification)


def verified(bundle: Path) -> int:
    """The exit code of `zoo verify`, all in this process."""

    def ask(question: dict[str, Any], _: Path) -> tuple[list[Finding], ZooError | None]:
        findings: list[Finding] = []
        try:
            findings.extend(verify_file(Asked(**question)))
        except ZooError as error:
            return findings, error
        except (ValueError, LookupError, TypeError) as error:
            return findings, CheckpointError(str(error), fix="do not use this file")
        return findings, None

    verify_exported.ask = ask
    try:
        return verify_exported.verify_exported(bundle).code
    except ZooError as error:
        return error.exit_code


def answers(model: Path) -> np.ndarray:
    """The logits (N, 10) for noise of three strengths and images of one colour, none of which the verification uses."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    numbers = np.random.RandomState(99)
    noise = [numbers.standard_normal((64, 1, 28, 28)) * scale for scale in (0.5, 1, 3)]
    flat = np.linspace(-0.42, 2.82, 16)[:, None, None, None] * np.ones((1, 1, 28, 28))
    inputs = np.concatenate([*noise, flat]).astype(np.float32)
    return np.asarray(session.run(None, {session.get_inputs()[0].name: inputs})[0])


def otherwise(model: Path) -> int:
    """0 for a file with the answers of the original, otherwise 1."""
    expected, found = answers(PUBLISHED / "model.onnx"), answers(model)
    return 0 if np.abs(expected - found).max() <= TOLERANCE * np.abs(expected).max() else 1


def in_a_child(work: Callable[[], int]) -> int | str:
    """The result of a function, or how its process was ended."""
    process = os.fork()
    if process == 0:
        code = 99
        try:
            with open(os.devnull, "w") as nothing:  # noqa: PTH123
                os.dup2(nothing.fileno(), 1)
                os.dup2(nothing.fileno(), 2)
            signal.alarm(SECONDS)
            code = work()
        finally:
            os._exit(code)
    _, status = os.waitpid(process, 0)
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def attempt(number: int, folder: Path) -> tuple[str, str]:
    """The kind of mutation, and "accepted", "refused" or what is wrong."""
    kind = KINDS[number % len(KINDS)]
    original = (PUBLISHED / "model.onnx").read_bytes()
    content = mutated(Mutator(random.Random(f"onnx {number}")), original, kind)
    bundle = folder / "it"
    put(bundle, content)
    try:
        code = in_a_child(lambda: verified(bundle))
        if code == 0:
            same = in_a_child(lambda: otherwise(bundle / "model.onnx"))
            return kind, "accepted" if same == 0 else f"accepted, and answers otherwise ({same})"
    finally:
        shutil.rmtree(bundle)
    if code == "SIGALRM" or code in (1, 99):
        return kind, f"ended with {code}"
    return kind, "refused" if isinstance(code, int) else f"refused: {code}"


def warm_up(folder: Path) -> None:
    """Import all that a child needs; nothing is computed, which would start threads."""
    put(folder / "whole", (PUBLISHED / "model.onnx").read_bytes())

    def first() -> int:
        code = verified(folder / "whole")
        (folder / "modules").write_text("\n".join(sys.modules), encoding="utf-8")
        return code

    code = in_a_child(first)
    for name in (folder / "modules").read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(Exception):  # those that were made, and not imported
            importlib.import_module(name)
    registry()
    runtime_source()
    if code != 0 or in_a_child(lambda: otherwise(folder / "whole" / "model.onnx")) != 0:
        raise SystemExit(f"the bundle itself is not accepted: {code}")


def write(out: Path, found: dict[str, Counter[str]], wrong: list[dict[str, Any]], started: float) -> None:
    summary = {
        "files": sum(counts.total() for counts in found.values()),
        "wrong": len(wrong),
        "kinds": {kind: dict(sorted(counts.items())) for kind, counts in found.items()},
        "seconds": round(time.monotonic() - started),
        "failures": wrong,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--out", type=Path, default=Path("build/onnx_files.json"))
    asked = parser.parse_args()
    started, wrong = time.monotonic(), []
    found: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    with tempfile.TemporaryDirectory(prefix="zoo-onnx-") as name:
        folder = Path(name)
        os.environ |= {f"ZOO_{each}": str(folder / each.lower()) for each in ("RUNS", "EXPORTS", "DATA", "CACHE")}
        os.environ["ZOO_OFFLINE"] = "1"
        warm_up(folder)
        for number in range(asked.first, asked.first + asked.count):
            kind, result = attempt(number, folder)
            found[kind][result] += 1
            if result not in ("accepted", "refused") and not result.startswith("refused: "):
                wrong.append({"file": number, "kind": kind, "wrong": result})
                print(wrong[-1], flush=True)
            if (number + 1) % 50 == 0:
                write(asked.out, found, wrong, started)
                print(f"{number + 1} files, {len(wrong)} wrong", flush=True)
    write(asked.out, found, wrong, started)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
