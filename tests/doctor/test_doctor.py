"""The checks of `zoo doctor`: each is told from a fault that is really made, and none stops another."""

from __future__ import annotations

import json
import os
import re
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from zoo.doctor import devices, onnxruntime_providers, packages, places, plugins
from zoo.doctor.examine import CHECKS, examine, worst
from zoo.doctor.finding import Finding, Level
from zoo.registry.lookup import registry


def overall(found: dict[str, list[Finding]]) -> Level:
    return worst(finding.level for findings in found.values() for finding in findings)


ROOT = Path(__file__).parents[2]


def by_name(findings) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_every_check_of_a_sound_installation_is_carried_out(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    found = dict(examine())
    assert list(found) == ["versions", "devices", "onnxruntime", "places", "plugins"]
    assert [
        finding for findings in found.values() for finding in findings if "could not be examined" in finding.says
    ] == []
    assert overall(found) != "problem"
    assert json.loads(json.dumps([dict(finding.facts) for findings in found.values() for finding in findings]))


def test_a_check_that_raises_or_exits_is_a_problem_and_keeps_what_it_found() -> None:
    def half_way():
        print("stdout is the report's")
        yield Finding("first", "ok", "fine")
        raise ZeroDivisionError("oh\nno")

    def exits():
        raise SystemExit(3)
        yield

    def sound():
        yield Finding("last", "warning", "so so", "do better")

    found = dict(examine([("a", half_way), ("a", sound), ("b", exits)]))
    assert [(finding.name, finding.level) for finding in found["a"]] == [
        ("first", "ok"),
        ("half way", "problem"),
        ("last", "warning"),
    ]
    assert found["a"][1].says == "could not be examined: ZeroDivisionError: oh no" and found["a"][1].fix
    assert found["b"][0].says == "could not be examined: SystemExit: 3"
    assert (overall(found), overall({"a": found["a"][2:]}), overall({})) == ("problem", "warning", "ok")


def test_ctrl_c_stops_the_examination() -> None:
    def interrupted():
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        list(examine([("a", interrupted)]))


# ------------------------------------------------------------------------------------------------------------- versions


def test_versions_are_those_of_the_metadata() -> None:
    facts = by_name(packages.requirements())["packages"].facts
    assert {name: metadata.version(name) for name in ("torch", "torchvision", "timm", "onnx")}.items() <= facts.items()
    core = by_name(packages.core())["torch-zoo"]
    assert core.facts["version"] == metadata.version("torch-zoo") and core.facts["version"] in core.says
    assert by_name(packages.interpreter())["python"].facts["path"] == sys.executable


def test_missing_and_wrong_versions_are_problems_with_the_command_that_repairs_them(monkeypatch) -> None:
    lines = [
        "no-such-package>=2",
        "numpy>=99",
        "torch",
        "absent; extra == 'dev'",
        "elsewhere>=1; sys_platform == 'nowhere'",
    ]
    monkeypatch.setattr(metadata, "requires", lambda _name: lines)
    found = by_name(packages.requirements())
    assert set(found) == {"no-such-package", "numpy", "packages"}
    assert (found["no-such-package"].level, found["no-such-package"].fix) == (
        "problem",
        "pip install 'no-such-package>=2'",
    )
    assert (found["numpy"].level, found["numpy"].fix) == ("problem", "pip install 'numpy>=99'")
    assert "torch" in found["packages"].facts


def put_distribution(site: Path, name: str, direct_url: dict | None = None) -> None:
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    if direct_url is not None:
        (info / "direct_url.json").write_text(json.dumps(direct_url), encoding="utf-8")


def test_an_editable_install_is_told_with_its_folder(tmp_path) -> None:
    put_distribution(tmp_path / "a", "zoo-a", {"url": "file:///home/me/my%20zoo", "dir_info": {"editable": True}})
    put_distribution(tmp_path / "b", "zoo-b", {"url": "file:///home/me/zoo", "dir_info": {}})
    put_distribution(tmp_path / "c", "zoo-c")
    found = [
        packages.editable_folder(next(iter(metadata.distributions(path=[str(tmp_path / name)])))) for name in "abc"
    ]
    assert found == [Path("/home/me/my zoo"), None, None]


def test_two_onnxruntimes_are_a_warning(tmp_path, monkeypatch) -> None:
    assert list(packages.rival_runtimes()) == []
    for name in packages.RIVALS:
        put_distribution(tmp_path / "site", name)
    monkeypatch.syspath_prepend(tmp_path / "site")
    (finding,) = packages.rival_runtimes()
    assert finding.level == "warning" and "overwrite each other" in finding.says and "uninstall both" in finding.fix


# -------------------------------------------------------------------------------------------------------------- devices


def test_the_processor_and_its_memory_are_those_of_the_system() -> None:
    cpu = by_name(devices.processor())["cpu"].facts
    assert (cpu["cores"], cpu["threads"]) == (os.cpu_count(), torch.get_num_threads())
    facts = by_name(devices.memory())["memory"].facts
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    assert facts["total"] <= int(lines["MemTotal"].split()[0]) * 1024 and 0 < facts["available"] <= facts["total"]


def test_the_limits_of_a_container_are_told(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(devices, "CGROUP", tmp_path)
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text("1000000000\n")
    (cpu,) = devices.processor()
    assert (cpu.level, cpu.facts["quota"], cpu.fix) == ("warning", 0.5, "run with --set threads=1")
    (memory,) = devices.memory()
    assert (memory.level, memory.facts["total"]) == (
        "warning",
        1_000_000_000,
    ) and "1.0 GB allowed to this container" in memory.says
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert [finding.facts.get("quota") for finding in devices.processor()] == [None]
    assert [finding.facts["limit"] for finding in devices.memory()] == [None]


DRIVER = "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU"


@pytest.mark.parametrize(
    ("built", "seen", "level", "words"),
    [
        ("13.2", [], "ok", "no CUDA device: runs use the CPU (torch is built for CUDA 13.2)"),
        (
            "13.2",
            ["H100 (driver 470.1)"],
            "problem",
            "torch, built for CUDA 13.2, cannot use H100 (driver 470.1): RuntimeError",
        ),
        (None, [], "ok", "is built without CUDA"),
        (None, ["H100 (driver 570.1)"], "warning", "is built without CUDA, and there is H100 (driver 570.1)"),
    ],
)
def test_where_there_is_no_cuda_the_report_says_whether_there_should_be(monkeypatch, built, seen, level, words) -> None:
    def init() -> None:
        raise RuntimeError(DRIVER)

    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.setattr(devices, "driver_devices", lambda: seen)
    (finding,) = devices.cuda()
    assert (
        finding.level == level
        and words.replace("RuntimeError", "Found no NVIDIA driver on your system") in finding.says
    )
    assert (finding.fix is None) == (level == "ok")


def test_the_driver_s_devices_come_from_its_own_program(tmp_path, monkeypatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(
        '#!/bin/sh\n[ "$1" = "--query-gpu=name,driver_version" ] && echo "NVIDIA H100, 570.86" && echo "NVIDIA A2, '
        '570.86"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert devices.driver_devices() == ["NVIDIA H100 (driver 570.86)", "NVIDIA A2 (driver 570.86)"]
    program.write_text("#!/bin/sh\nexit 9\n")
    assert devices.driver_devices() == []


def test_a_missing_compiler_is_a_warning(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    finding = by_name(devices.compiler())["compiler"]
    assert (
        (finding.level, finding.facts["compiler"]) == ("warning", None)
        and "no-such-compiler" in finding.says
        and finding.fix
    )
    compiler = tmp_path / "c++"
    compiler.write_text("")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    assert by_name(devices.compiler())["compiler"].facts["compiler"] == str(compiler)
    monkeypatch.setattr("sysconfig.get_path", lambda _name: str(tmp_path))
    assert "Python.h" in by_name(devices.compiler())["compiler"].says


@pytest.mark.parametrize(
    ("product", "level"),
    [(8, "ok"), (7, "problem"), (RuntimeError("no kernel image is available. And more"), "problem")],
    ids=str,
)
def test_a_cuda_device_is_judged_by_what_it_computes(monkeypatch, product, level) -> None:
    """Without one: its facts are made up, and what it computes."""

    def ones(*shape, device):
        if isinstance(product, Exception):
            raise product
        return torch.eye(8) * product**0.5 if product != 8 else torch.full(shape, 1.0)

    facts = {"name": "Made Up", "total_memory": 80e9, "major": 9, "minor": 0}
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _index: SimpleNamespace(**facts))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _index: (60e9, 80e9))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80"])
    monkeypatch.setattr(torch, "ones", ones)
    finding = devices.cuda_device(0, "13.2", ["Made Up (driver 570)"])
    assert (finding.name, finding.level) == ("cuda:0", level)
    if level == "ok":
        assert (
            finding.says == "Made Up, 80.0 GB, 60.0 GB of it free, compute 9.0, bf16; torch for CUDA 13.2"
            and finding.facts["bf16"]
        )
    else:
        assert finding.fix and ("sm_75, sm_80" in finding.fix) == isinstance(product, Exception)


@pytest.mark.gpu
def test_a_cuda_device_is_told_after_it_computed() -> None:
    finding = by_name(devices.cuda())["cuda:0"]
    assert finding.level == "ok" and finding.facts["correct"] and finding.facts["name"] == torch.cuda.get_device_name(0)
    assert finding.facts["memory"] == torch.cuda.get_device_properties(0).total_memory


@pytest.mark.gpu
@pytest.mark.onnxruntime_cuda
def test_onnxruntime_s_cuda_provider_is_told_after_it_computed() -> None:
    assert by_name(onnxruntime_providers.providers())[onnxruntime_providers.CUDA].facts["usable"]


# ---------------------------------------------------------------------------------------------------------- onnxruntime


def test_a_provider_is_usable_when_it_ran_the_tiny_model() -> None:
    import onnx

    model = onnx.load_from_string(onnxruntime_providers.tiny_model())
    onnx.checker.check_model(model, full_check=True)
    assert onnxruntime_providers.attempt(onnxruntime_providers.tiny_model(), onnxruntime_providers.CPU) is None
    assert by_name(onnxruntime_providers.providers())[onnxruntime_providers.CPU].level == "ok"


def test_a_provider_that_falls_back_is_not_usable(monkeypatch) -> None:
    if not torch.cuda.is_available():
        assert onnxruntime_providers.attempt(onnxruntime_providers.tiny_model(), onnxruntime_providers.CUDA)
    assert onnxruntime_providers.attempt(b"no model", onnxruntime_providers.CPU)
    needed, other = (
        onnxruntime_providers.provider_finding(onnxruntime_providers.CUDA, "carries on", needed=True),
        onnxruntime_providers.provider_finding(onnxruntime_providers.CUDA, "carries on", needed=False),
    )
    assert (needed.level, other.level, other.facts) == (
        "warning",
        "ok",
        {"usable": False, "fault": "carries on"},
    ) and needed.fix
    assert (
        onnxruntime_providers.provider_finding(onnxruntime_providers.CPU, "carries on", needed=True).level == "problem"
    )


# --------------------------------------------------------------------------------------------------------------- places


def test_folders_are_judged_by_writing_into_them(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "there").mkdir()
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "there"))
    monkeypatch.setenv("ZOO_RUNS", str(tmp_path / "not" / "yet"))
    monkeypatch.setenv("ZOO_EXPORTS", str(tmp_path / "file" / "in"))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "there"))
    found = by_name(places.folders())
    assert {name: finding.level for name, finding in found.items()} == {
        "data": "ok",
        "runs": "ok",
        "exports": "problem",
        "cache": "ok",
    }
    assert "made when it is needed" in found["runs"].says and not (tmp_path / "not").exists()
    assert (
        f"{tmp_path / 'file'} is a file" in found["exports"].says
        and found["exports"].fix == "set ZOO_EXPORTS to another folder"
    )
    assert list((tmp_path / "there").iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_a_problem_and_readable_data_a_warning(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(places, "is_writable", lambda folder: False)
    (tmp_path / "data").mkdir()
    found = by_name(places.folders())
    assert (found["data"].level, found["runs"].level) == ("warning", "problem")
    assert found["runs"].fix == "set ZOO_RUNS to a folder that can"
    assert not places.is_writable(Path("/proc"))


def test_little_space_is_a_warning(monkeypatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": 5e8})())
    assert {finding.level for finding in places.folders()} == {"warning"}


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("0", False), ("", False)])
def test_the_policy_about_downloads_is_told(monkeypatch, value, offline) -> None:
    monkeypatch.setenv("ZOO_OFFLINE", value)
    (finding,) = places.network()
    assert (finding.level, finding.facts) == ("ok", {"offline": offline})


def test_a_limit_of_the_cache_that_is_no_number_is_a_problem(monkeypatch) -> None:
    ((_, (finding,)),) = examine([("places", places.cached)])
    assert (finding.level, finding.facts) == ("ok", {"size": 0, "limit": 20_000_000_000})
    monkeypatch.setenv("ZOO_CACHE_LIMIT", "much")
    ((_, (finding,)),) = examine([("places", places.cached)])
    assert (finding.level, finding.fix) == (
        "problem",
        "for example ZOO_CACHE_LIMIT=20",
    ) and "not 'much'" in finding.says


def test_variables_in_force_are_told_and_unknown_ones_have_the_nearest_known(monkeypatch) -> None:
    for name, value in {"ZOO_OFLINE": "1", "ZOO_XYZZY": "2", "ZOO_OFFLINE": "yes", "ZOO_STRICT_PLUGINS": "1"}.items():
        monkeypatch.setenv(name, value)
    found = by_name(places.environment())
    assert (found["ZOO_OFLINE"].level, found["ZOO_OFLINE"].fix) == ("warning", "did you mean ZOO_OFFLINE?")
    assert "ZOO_DATA" in found["ZOO_XYZZY"].fix
    assert found["ZOO_OFFLINE"].level == "warning" and "neither 0 nor 1" in found["ZOO_OFFLINE"].says
    assert found["ZOO_STRICT_PLUGINS"].level == "ok"


# -------------------------------------------------------------------------------------------------------------- plugins

HOLLOW = """
from zoo.api import ArchitectureSpec, hookimpl

@hookimpl
def zoo_register_architectures():
    return [ArchitectureSpec(name="hollow", summary="x", target="zoo_hollow.nothing:build", input=(1, 8, 8))]
"""


@pytest.fixture
def fresh_registry():
    registry.cache_clear()
    yield
    registry.cache_clear()


def test_a_broken_plugin_and_an_item_that_cannot_be_imported_are_problems(install, fresh_registry, monkeypatch) -> None:
    install("zoo-rain", "rain", "raise RuntimeError('it is raining')")
    install("zoo-hollow", "hollow", HOLLOW)
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", "onnx")
    found = by_name(plugins.states())
    assert {name: finding.level for name, finding in found.items() if finding.level != "ok"} == {"rain": "problem"}
    assert "it is raining" in found["rain"].says and found["rain"].fix.endswith("or set ZOO_DISABLE_PLUGINS=rain")
    assert found["onnx"].facts["state"] == "disabled"
    assert found["classics"].facts["gives"]["recipes"] == [
        spec.name for item in registry().plugins if item.namespace == "classics" for spec in item.specs["recipe"]
    ]
    (hollow,) = plugins.implementations()
    assert (hollow.name, hollow.level) == ("hollow/hollow", "problem") and "zoo_hollow.nothing" in hollow.says


def test_strict_plugins_do_not_stop_the_other_checks(install, fresh_registry, monkeypatch) -> None:
    install("zoo-rain", "rain", "raise RuntimeError('it is raining')")
    monkeypatch.setenv("ZOO_STRICT_PLUGINS", "1")
    found = dict(examine([check for check in CHECKS if check[0] in ("places", "plugins")]))
    assert {finding.level for finding in found["plugins"]} == {"problem"} and "it is raining" in found["plugins"][
        0
    ].says
    assert len(found["places"]) >= 5


# -------------------------------------------------------------------------------------------------------------- command


def test_every_variable_that_the_zoo_reads_is_known() -> None:
    from zoo.support.environment_variables import SWITCHES, VARIABLES

    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "zoo").rglob("*.py") if path.name != "variables.py"]
    read = {name for source in sources for name in re.findall(r'"(ZOO_[A-Z_]+)"', source)} - {places.PREFIX}
    assert read == set(VARIABLES) and set(SWITCHES) <= set(VARIABLES)
