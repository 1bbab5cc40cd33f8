"""Completion: the candidates for a command line, and the scripts in the shells themselves, where these are
installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.cli.completion import candidates
from zoo.cli.completion_candidates import PLACES
from zoo.cli.completion_scripts import SCRIPTS
from zoo.cli.line_completion import split
from zoo.cli.listing import KINDS
from zoo.config.run_config import TrainConfig
from zoo.registry.core_commands import COMMANDS
from zoo.registry.lookup import registry


def values(line: str) -> list[str]:
    return [value for value, _ in candidates(line)]


def names(*kinds: str) -> set[str]:
    return {item.spec.name for kind in kinds for item in registry().items(kind)}


def families() -> set[str]:
    """Ready for the name of a member."""
    return {item.canonical.removesuffix("*") for item in registry().items("family")}


def datasets() -> set[str]:
    """Those that are told what they are of behind their name end where that begins."""
    return {f"{item.spec.name}{':' if item.spec.path_option else ''}" for item in registry().items("dataset")}


def test_commands_come_first_with_their_help() -> None:
    assert [value for value in values("zoo ") if value in COMMANDS] == list(COMMANDS)
    assert candidates("zoo ru") == [("run", COMMANDS["run"][1]), ("runs", COMMANDS["runs"][1])]
    assert set(values("zoo data ")) == {"download", "path", "check"}
    assert all(about for _, about in candidates("zoo data "))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_every_command_is_completed(command, zoo) -> None:
    found = values(f"zoo {command} --")
    assert "--help" in found
    shown = {
        word.strip(",;).")
        for line in zoo(command, "--help").out.splitlines()
        for word in line.split()[:2]
        if word.startswith("--")
    }
    assert shown <= set(found)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("zoo run ", names("recipe", "architecture") | families()),
        ("zoo run cnn_digits --data ", datasets()),
        ("zoo run --data digits --arch ", names("architecture") | families()),
        ("zoo gradients ", names("recipe", "architecture") | families()),
        ("zoo weights list ", names("architecture") | families()),
        ("zoo run torchvision/", {member.canonical for member in registry().members(namespace="torchvision")}),
        ("zoo info --json torchvision/resnext5", {"torchvision/resnext50_32x4d"}),
        ("zoo run x --task ", names("task")),
        ("zoo info ", names(*KINDS.values()) | families()),
        ("zoo export --format ", names("exporter")),
        ("zoo data check digits ", datasets()),
        ("zoo show ", datasets()),
        ("zoo list ", set(KINDS)),
        ("zoo list recipes --plugin ", {plugin.namespace for plugin in registry().plugins}),
        ("zoo completion ", set(SCRIPTS)),
        ("zoo evaluate x --split ", {"train", "val", "test", "predict"}),
    ],
)
def test_names_are_those_of_the_registry(line, expected) -> None:
    assert set(values(line)) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("zoo run cnn_digits --data=cat", ["--data=catdog"]),
        ("zoo --debug run cnn_mnist_p", ["cnn_mnist_permuted"]),
        ("zoo run --seed 3 cnn_mnist_p", ["cnn_mnist_permuted"]),
        ("zoo run --dry-run cnn_mnist_p", ["cnn_mnist_permuted"]),
        ("zoo run -- cnn_mnist_p", ["cnn_mnist_permuted"]),
        ("zoo run 'cnn_mnist_p", ["cnn_mnist_permuted"]),
        ("zoo run cnn_mnist cnn", []),
        ("zoo run cnn_mnist --epochs ", []),
        ("zoo run cnn_mnist --no-such-option=", []),
        ("zoo list recipes ", []),
        ("zoo nothing ", []),
        ("zoo", []),
        ("", []),
    ],
)
def test_what_stands_before_decides(line, expected) -> None:
    assert values(line) == expected


def test_keys_of_the_configuration_are_ready_for_their_value() -> None:
    assert values("zoo run cnn_digits --set train.epo") == ["train.epochs="]
    assert {f"train.{name}=" for name in TrainConfig.model_fields} <= set(values("zoo run --set train."))


def test_devices_are_found_without_torch() -> None:
    found = values("zoo run --device ")
    assert found[:2] == ["auto", "cpu"]
    assert ("cuda:0" in found) == bool(list(Path("/dev").glob("nvidia[0-9]*")))


def test_runs_and_their_labels_are_completed(short) -> None:
    assert values("zoo evaluate ") == ["cnn_digits", "cnn_digits/short"] == values("zoo run --resume ")
    assert values("zoo compare short cnn") == ["cnn_digits", "cnn_digits/short"] == values("zoo report ")
    assert "cnn_digits/short" in values("zoo export cnn_digits/")
    assert "cnn_digits/short" in values("zoo predict ")


def test_bundles_are_completed(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ZOO_EXPORTS", str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "bundle.json").write_text("{}")
    assert values("zoo predict ") == [str(tmp_path / "mine")]


def test_folders_follow_a_dataset_that_takes_one(tmp_path, monkeypatch) -> None:
    for name in ("pets/train", "plants", ".hidden"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "file").write_text("")
    assert values(f"zoo run --data folder:{tmp_path}/p") == [f"folder:{tmp_path}/pets/", f"folder:{tmp_path}/plants/"]
    monkeypatch.chdir(tmp_path)
    assert values("zoo run --data folder:") == ["folder:pets/", "folder:plants/"]
    assert values("zoo run --data folder:pets/") == ["folder:pets/train/"]
    assert values("zoo run --data folder:nothing/") == []


def test_a_faulty_plugin_shows_no_error_in_the_middle_of_a_line(zoo, install, monkeypatch) -> None:
    install("zoo-rain", "rain", "raise RuntimeError('it is raining')")
    monkeypatch.setenv("ZOO_STRICT_PLUGINS", "1")
    registry.cache_clear()
    assert zoo("completion", "bash", "--line", "zoo run ") == (0, "", "")
    registry.cache_clear()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("zoo run", ["zoo", "run"]),
        ("zoo run ", ["zoo", "run", ""]),
        ("zoo 'a b", ["zoo", "a b"]),
        ("zoo a\\ b c", ["zoo", "a b", "c"]),
        ("", []),
    ],
)
def test_a_line_is_split_as_far_as_it_is_typed(line, words) -> None:
    assert split(line) == words


def test_an_unknown_shell_is_one_line(zoo) -> None:
    told = zoo("completion", "bsh")
    assert (told.code, told.err) == (2, "error: no shell is called 'bsh'; fix: did you mean bash or zsh or fish?\n")
    assert "choose one of: bash, zsh, fish" in zoo("completion", "powershell").err


def test_places_speak_of_commands_there_are(zoo) -> None:
    for place in PLACES:
        command, _, metavar = place.rpartition(" ")
        if command:
            assert command in COMMANDS and metavar in zoo(command, "--help").out


# -------------------------------------------------------------------------------------------------------- in the shells


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Runs a script in a shell that finds this zoo on its path; skips where the shell is not installed."""
    command = tmp_path / "bin" / "zoo"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m zoo "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(command.parent), prepend=os.pathsep)

    def run(name: str, *arguments: str) -> list[str]:
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
        done = subprocess.run([name, *arguments], capture_output=True, text=True, timeout=120, check=False)
        assert done.stderr == ""
        return done.stdout.splitlines()

    return run


LINES = {
    "zoo run cnn_mn": ["cnn_mnist", "cnn_mnist_permuted"],
    "zoo run x --data=cat": ["catdog"],  # bash keeps what stands before the =
    "zoo run --set train.epo": ["train.epochs="],
}


def test_bash_completes_with_the_script_sourced(shell, tmp_path) -> None:
    (tmp_path / "pets").mkdir()
    lines = {**LINES, f"zoo run --data folder:{tmp_path}/pe": [f"{tmp_path}/pets/"]}
    script = 'eval "$(zoo completion bash)"; complete -p zoo\n' + "".join(
        f'COMP_LINE="{line}"; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=(zoo); _zoo_completion; echo "${{COMPREPLY[@]}}"\n'
        for line in lines
    )
    told = shell("bash", "--norc", "-c", script)
    assert told == ["complete -o default -F _zoo_completion zoo", *(" ".join(expected) for expected in lines.values())]


def test_zsh_describes_the_candidates_and_leaves_the_last_word_open(shell) -> None:
    script = """
    compdef() { print "compdef $*" }
    _describe() { print -r -- "$1 ${@[3,-1]}"; print -rl -- "${(P@)2}" }
    _files() { print files }
    eval "$(zoo completion zsh)"
    words=(zoo run cnn_mnist_p) CURRENT=3; _zoo
    words=(zoo run --set train.epo) CURRENT=4; _zoo
    words=(zoo run x --epochs '') CURRENT=5; _zoo
    """
    told = shell("zsh", "-f", "-c", script)
    summary = registry().recipe("cnn_mnist_permuted").spec.summary
    epochs = TrainConfig.model_fields["epochs"].description
    assert told == [
        "compdef _zoo zoo",
        "zoo ",
        f"cnn_mnist_permuted:{summary}",
        "zoo -S ",
        f"train.epochs=:{epochs}",
        "files",
    ]


def test_fish_completes_with_the_script_sourced(shell) -> None:
    told = shell(
        "fish",
        "--no-config",
        "-c",
        "zoo completion fish | source; complete -C 'zoo run cnn_mnist_p'; complete -C 'zoo run --data=cat'",
    )
    assert [line.split("\t")[0] for line in told] == ["cnn_mnist_permuted", "--data=catdog"]
