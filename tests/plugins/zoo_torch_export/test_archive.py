"""Archives that ask for code: each is refused before torch loads it, by every door, and named by `zoo inspect`."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from zoo_torch_export.archive import Archive, UnsafeArchiveError
from zoo_torch_export.client import TorchRunner
from zoo_torch_export.exporter import TorchExporter
from zoo_torch_export.program import FORBIDDEN

from zoo.api import ExportJob, Options
from zoo.errors import ExportError
from zoo.plugin import runtime

EXPORTER = TorchExporter(Options())
PROGRAM = "models/model.json"
WEIGHTS, CONSTANTS = "data/weights/model_weights_config.json", "data/constants/model_constants_config.json"
Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The members of an archive by name, without the folder."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)).eval()
    path = tmp_path_factory.mktemp("archive") / "model.pt2"
    EXPORTER.write(ExportJob(model, torch.zeros(2, 1, 8, 8), metadata={"zoo": "{}"}), path)
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def build(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"model/{name}", content)
    return path


def changed(members: dict[str, bytes], change: Change, name: str = PROGRAM) -> dict[str, bytes]:
    content = json.loads(members[name])
    change(content)
    return {**members, name: json.dumps(content).encode()}


class Touch:
    """A pickle that creates a file when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def saved(mark: Path) -> bytes:
    target = io.BytesIO()
    torch.save(Touch(mark), target)
    return target.getvalue()


def with_table(name: str, **entry: Any) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda members: changed(members, lambda table: table["config"].setdefault("3.bias", {}).update(entry), name)


PICKLES: dict[str, Callable[[dict[str, bytes], Path], dict[str, bytes]]] = {
    "example inputs": lambda members, mark: {**members, "data/sample_inputs/model.pt": saved(mark)},
    "weights of torch 2.8": lambda members, mark: {**members, "data/weights/model.pt": saved(mark)},
    "constants of torch 2.8": lambda members, mark: {**members, "data/constants/model.pt": saved(mark)},
    "a pickled weight": lambda members, mark: {
        **with_table(WEIGHTS, use_pickle=True, path_name="weight_0")(members),
        "data/weights/weight_0": saved(mark),
    },
    "an opaque object": lambda members, mark: {
        **with_table(CONSTANTS, use_pickle=True, path_name="opaque_obj_0")(members),
        "data/constants/opaque_obj_0": pickle.dumps(Touch(mark)),
    },
    "an archive from before torch 2.8": lambda members, mark: {
        **members,
        "version": b"8.20",
        "serialized_state_dict.pt": saved(mark),
    },
    "compiled code": lambda members, mark: {**members, "data/aotinductor/model/model.so": b"\x7fELF"},
}


@pytest.mark.parametrize("kind", PICKLES)
def test_a_pickle_is_refused_before_anything_is_loaded(kind: str, members: dict[str, bytes], tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    path = build(tmp_path / "model.pt2", PICKLES[kind](members, mark))
    with pytest.raises(runtime.ModelError, match="it is not loaded"):
        TorchRunner(path)
    with pytest.raises(ExportError, match="refused"):
        EXPORTER.check(path, None)
    found = EXPORTER.inspect(path)
    assert found is not None and found.refused
    assert not mark.exists()


def test_torch_itself_loads_the_pickle_of_example_inputs(members: dict[str, bytes], tmp_path: Path) -> None:
    """The reason for the check: if torch stops, the check can go."""
    mark = tmp_path / "mark"
    path = build(tmp_path / "model.pt2", PICKLES["example inputs"](members, mark))
    code = f"import torch\ntry: torch.export.load({str(path)!r})\nexcept Exception: pass"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert mark.exists()


def walk(value: Any, change: Callable[[dict[str, Any]], None]) -> None:
    if isinstance(value, dict):
        change(value)
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        walk(each, change)


def every(key: str, value: Any) -> Change:
    def change(program: dict[str, Any]) -> None:
        walk(program, lambda each: each.update({key: value}) if key in each else None)

    return change


def first_node(**fields: Any) -> Change:
    return lambda program: program["graph_module"]["graph"]["nodes"][0].update(fields)


CODE = "__import__('os').getcwd()"
STRUCTURE = {"type": "builtins.list", "context": '{"__enum__": true, "fqn": "this:A"}', "children_spec": []}
PROGRAMS: dict[str, Change] = {
    "a function": first_node(target="torch.os.getcwd"),
    "an operator that reads files": first_node(target="torch.ops.aten.from_file.default"),
    "an operator of another library": first_node(target="torch.ops.mine.op.default"),
    "an attribute of an operator": first_node(target="torch.ops.aten.relu.__class__"),
    "an extension": first_node(target="#mine:op"),
    "an operator that is no text": first_node(target={"as_string": CODE}),
    "an argument that is a function": first_node(inputs=[{"name": "self", "arg": {"as_operator": "torch.os.getcwd"}}]),
    "an argument that is an object": first_node(inputs=[{"name": "self", "arg": {"as_custom_obj": {"name": "a"}}}]),
    "a size that is code": every("expr_str", CODE),
    "a size of too large a number": every("expr_str", "Pow(Integer(9), Pow(Integer(9), Integer(99)))"),
    "a size that calls a text": every("expr_str", f"Max({CODE!r})"),
    "a symbol that is code": every("expr_str", f"Symbol({CODE!r})"),
    "a limit that is code": lambda program: program["range_constraints"].update(s0={"min_val": CODE, "max_val": 1}),
    "a name that is code": lambda program: walk(
        program, lambda each: each["as_tensor"].update(name=f"x={CODE}") if "as_tensor" in each else None
    ),
    "an argument name that is code": every("forward_arg_names", [f"x={CODE}"]),
    "a weight name that is code": every("parameter_name", f'a" + {CODE} + "'),
    "a structure that imports a module": every("out_spec", json.dumps([1, STRUCTURE])),
    "a structure of a class": every("in_spec", json.dumps([1, {**STRUCTURE, "type": "collections.defaultdict"}])),
    "a class of tuples": lambda program: program["graph_module"].update(treespec_namedtuple_fields={"a": {}}),
}


@pytest.mark.parametrize("kind", PROGRAMS)
def test_code_in_the_program_is_refused(kind: str, members: dict[str, bytes], tmp_path: Path) -> None:
    path = build(tmp_path / "model.pt2", changed(members, PROGRAMS[kind]))
    assert any("not accepted" in line for line in Archive(path).refused)
    with pytest.raises(runtime.ModelError, match="it is not loaded"):
        TorchRunner(path)


def test_guards_and_metadata_do_not_reach_torch(members: dict[str, bytes], tmp_path: Path) -> None:
    def change(program: dict[str, Any]) -> None:
        program["guards_code"] = [f"{CODE} is None"]
        program["graph_module"]["graph"]["nodes"][0]["metadata"]["stack_trace"] = CODE

    content = Archive(build(tmp_path / "model.pt2", changed(members, change))).rebuilt().getvalue()
    assert CODE.encode() not in content


FORMS: dict[str, Callable[[dict[str, bytes]], dict[str, bytes]]] = {
    "an unknown member": lambda members: {**members, "data/other": b""},
    "a parent folder": lambda members: {**members, "../outside": b""},
    "no program": lambda members: {name: content for name, content in members.items() if name != PROGRAM},
    "another version": lambda members: {**members, "archive_version": b"1"},
    "a missing weight": lambda members: {
        name: content for name, content in members.items() if name != "data/weights/weight_0"
    },
    "a weight elsewhere": with_table(WEIGHTS, path_name="../model.json"),
    "a program that is a list": lambda members: {**members, PROGRAM: b"[]"},
    "a program that is no JSON": lambda members: {**members, PROGRAM: b"{"},
    "a program that is nested deeply": lambda members: {**members, PROGRAM: b'{"a":' * 9000 + b"1" + b"}" * 9000},
}


@pytest.mark.parametrize("form", FORMS)
def test_another_form_is_refused(form: str, members: dict[str, bytes], tmp_path: Path) -> None:
    archive = Archive(build(tmp_path / "model.pt2", FORMS[form](members)))
    assert archive.refused
    with pytest.raises(UnsafeArchiveError):
        archive.rebuilt()


def test_compressed_members_and_other_files_are_refused(members: dict[str, bytes], tmp_path: Path) -> None:
    assert Archive(build(tmp_path / "model.pt2", members, zipfile.ZIP_DEFLATED)).refused
    for content in (b"", b"PK\x03\x04", b"no archive"):
        (tmp_path / "other.pt2").write_bytes(content)
        assert Archive(tmp_path / "other.pt2").refused
        found = EXPORTER.inspect(tmp_path / "other.pt2")
        assert found is not None and found.refused


def test_an_archive_that_was_cut_or_changed_is_refused_or_computes_the_same(
    members: dict[str, bytes], tmp_path: Path
) -> None:
    """zipfile compares the CRC-32 of what is loaded; what is not loaded does not matter."""
    whole = build(tmp_path / "whole.pt2", members).read_bytes()
    inputs = {"input": torch.randn(2, 1, 8, 8).numpy()}
    expected = TorchRunner(tmp_path / "whole.pt2")(inputs)["output"]
    for place in range(7, len(whole), len(whole) // 60):
        damaged = bytearray(whole)
        damaged[place] ^= 0x20
        for content in (bytes(damaged), whole[:place]):
            (tmp_path / "model.pt2").write_bytes(content)
            try:
                found = TorchRunner(tmp_path / "model.pt2")(inputs)["output"]
            except runtime.ModelError:
                continue
            assert (found == expected).all()


def test_no_other_operator_takes_a_file() -> None:
    schemas = [each for each in torch._C._jit_get_all_schemas() if each.name.startswith("aten::")]
    files = {each.name for each in schemas if any("file" in argument.name for argument in each.arguments)}
    assert {name.removeprefix("aten::") for name in files} | {"_print", "warn"} == FORBIDDEN
