"""Places and settings of the environment, and where a plot may be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.cli.app import run_cli
from zoo.data import dataset_cache
from zoo.errors import UsageError
from zoo.support import paths


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_variable_is_one_that_is_not_set(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ZOO_DATA", "ZOO_CACHE", "ZOO_RUNS", "ZOO_EXPORTS", "ZOO_OFFLINE", "ZOO_CACHE_LIMIT"):
        monkeypatch.delenv(name, raising=False)
    unset = (
        paths.data_root(),
        paths.cache_root(),
        paths.runs_root(),
        paths.exports_root(),
        paths.offline(),
        dataset_cache.limit(),
    )
    assert Path() not in unset
    for name in ("ZOO_DATA", "ZOO_CACHE", "ZOO_RUNS", "ZOO_EXPORTS", "ZOO_OFFLINE", "ZOO_CACHE_LIMIT"):
        monkeypatch.setenv(name, empty)
    assert (
        paths.data_root(),
        paths.cache_root(),
        paths.runs_root(),
        paths.exports_root(),
        paths.offline(),
        dataset_cache.limit(),
    ) == unset


def test_a_variable_that_is_set_is_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    assert paths.data_root() == tmp_path


FOLDERS = {
    "ZOO_DATA": (paths.data_root, ("data", "path")),
    "ZOO_CACHE": (paths.cache_root, ("cache",)),
    "ZOO_RUNS": (paths.runs_root, ("run", "cnn_digits", "--epochs", "1")),
    "ZOO_EXPORTS": (paths.exports_root, ()),
}


@pytest.mark.parametrize("variable", FOLDERS)
@pytest.mark.parametrize(("below", "said"), [("", "a file, not a folder"), ("in", "a folder below a file")])
def test_a_variable_that_names_a_file_is_named_with_it(
    variable: str,
    below: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(variable, str(tmp_path / "file" / below))
    folder, command = FOLDERS[variable]
    expected = f"{variable} names {said} ({tmp_path / 'file' / below}); fix: set {variable} to another folder"
    with pytest.raises(UsageError) as caught:
        folder()
    assert str(caught.value) == expected
    if command:
        assert run_cli(command) == 2
        assert f"error: {expected}\n" in capsys.readouterr().err
    assert run_cli(["list", "recipes"]) == run_cli(["list", "architectures", "timm/resnet18"]) == 0


def test_the_default_folder_that_is_a_file_is_one_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZOO_RUNS")
    (tmp_path / "runs").touch()
    with pytest.raises(UsageError, match=r"the default of ZOO_RUNS is a file, not a folder \(runs\)"):
        paths.runs_root()


@pytest.mark.parametrize(
    "words",
    [
        ("run", "fnn_mnist", "--data", "folder:{}"),
        ("run", "lenet", "--data", "digits", "--weights", "{}"),
        ("data", "check", "images:{}"),
    ],
)
def test_a_home_folder_that_does_not_exist_is_named(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """`Path.expanduser` raises a RuntimeError for it."""
    assert run_cli([word.format("~no-such-user/images") for word in words]) == 2
    assert "there is no home folder '~no-such-user'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["plot.xyz", "plot", "plot.gif.txt", ".png"])
def test_a_plot_of_no_known_format_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"name a file that ends in \.png, \.jpg, .*\.eps"):
        paths.check_drawing(tmp_path / name)


@pytest.mark.parametrize("suffix", paths.DRAWINGS)
def test_every_format_that_is_offered_is_written(suffix: str, tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    from zoo.reporting.plots import save

    for name in (f"a{suffix}", f"b{suffix.upper()}"):
        save(Figure(), tmp_path / name)
        assert (tmp_path / name).stat().st_size > 100


def test_a_folder_is_no_plot(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(UsageError, match="would be a folder"):
        paths.check_drawing(tmp_path / "a.png")


@pytest.mark.parametrize(
    "words",
    [
        ("info", "lenet", "--plot"),
        ("gradients", "lenet", "--plot"),
        ("show", "digits", "--out"),
        ("predict", "nothing", "a.png", "--plot"),
        ("predict", "nothing", "a.png", "--explain"),
        ("svd", "ellipse", "5,3,3,5", "--out"),
        ("arithmetic", "conv1d", "--input", "1,9", "--out", "1", "--kernel", "3", "--plot"),
    ],
)
def test_commands_refuse_a_plot_before_their_work(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli([*words, str(tmp_path / "plot.xyz")]) == 2
    told = capsys.readouterr()
    assert (
        told.out == ""
        and told.err.startswith("error: a plot cannot be written as 'plot.xyz'")
        and told.err.count("\n") == 1
    )
    assert not list(tmp_path.iterdir())
