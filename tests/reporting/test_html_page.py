"""The page of a run: all of it on one page that loads nothing from elsewhere, with every name escaped."""

from __future__ import annotations

import base64
import inspect
import io
import json
import shlex
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.api import ReportItem
from zoo.cli.app import run_cli
from zoo.errors import StorageError, UsageError
from zoo.registry.lookup import registry
from zoo.reporting import html_page
from zoo.reporting.html_page import ROWS, address, commands, inside, render, report, write_page
from zoo.runs.resolve_config import resolve
from zoo.runs.root_json import Best, Published
from zoo.runs.run_directory import all_runs, run_id

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\n\u202e\u05d0\u05d1 {{ 7 * 7 }}"
EPOCHS = [
    {"epoch": 1, "step": 5, "lr": 1e-5, "train_loss": 0.5, "val_accuracy": 0.75},
    {"epoch": 2, "step": 10, "lr": 1e-6, "train_loss": 0.25, "val_accuracy": 0.5},
]


class Seen(HTMLParser):
    """Tags, attributes and text of a page, read by Python's own parser."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)


def image(file: Path, shade: int = 0) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 6), shade, np.uint8)).save(file)
    return file


def shown(run, record=None) -> Seen:
    return Seen(render(run, record or run.record))


@pytest.fixture
def rich(made_run):
    """A run with hostile names everywhere, an image, a table and cards."""
    run = made_run(
        "one",
        epochs=EPOCHS,
        notes=[HOSTILE],
        label=HOSTILE,
        id=HOSTILE,
        device={"name": HOSTILE},
        plugins={HOSTILE: HOSTILE},
        report_items=[
            ReportItem(HOSTILE, "plots/a.png", HOSTILE),
            ReportItem("A table", "table.csv"),
            ReportItem("Mistakes", "cards.csv"),
            ReportItem("Lost", "plots/lost.png"),
        ],
    )
    image(run.plots / "a.png")
    image(run.path / "one.png", 200)
    quoted = HOSTILE.replace('"', '""')
    (run.path / "table.csv").write_text(f'class,f1\n"{quoted}",0.5\n', encoding="utf-8")
    (run.path / "cards.csv").write_text(f'image,truth\none.png,"{quoted}"\nnone.png,b\n', encoding="utf-8")
    return run


def test_the_page_shows_result_facts_items_epochs_configuration_and_commands(made_run) -> None:
    report_items = [
        ReportItem("Confusion", "plots/a.png", "By class."),
        ReportItem("Classes", "per_class.csv"),
        ReportItem("Mistakes", "mistakes.csv"),
    ]
    facts = {"notes": ["images are resized"], "git_commit": "abc123", "intervals": {"test": {"accuracy": (0.8, 0.95)}}}
    run = made_run("one", epochs=EPOCHS, report_items=report_items, **facts)
    image(run.plots / "a.png")
    image(run.plots / "m.png")
    (run.path / "per_class.csv").write_text("class,f1\na,0.5000\n", encoding="utf-8")
    (run.path / "mistakes.csv").write_text(
        "image,truth,prediction,probability\nplots/m.png,cat,dog,0.9990\n", encoding="utf-8"
    )
    seen = shown(run)
    for words in (
        "90.00%",
        "test accuracy (95% confidence interval 80.00% to 95.00%)",
        "0.2500",
        "Evaluated once on the test split (10 samples)",
        "1,234",
        "5,678 per image",
        "1 min 01 s on cpu",
        "resized",
    ):
        assert words in seen.text
    for words in (
        "Confusion",
        "By class.",
        "0.5000",
        "cat",
        "dog",
        "0.9990",
        "1e-05",
        "75.00%",
        "abc123",
        "Test 9000",
        "name: lab/sort",
    ):
        assert words in seen.text
    repeat = f"zoo run --config {run.config_file} --name one-again"
    for command in (repeat, "zoo export toy/one --onnx", "zoo predict toy/one IMAGE"):
        assert command in seen.text
    assert "zoo evaluate toy/one --split" not in seen.text, "it has no other split"
    assert seen.tags.count("img") == 2 and seen.tags.count("h1") == 1


def test_the_page_names_the_evaluated_checkpoint_and_where_the_run_was_resumed(made_run) -> None:
    resumed = [{"step": 3, "epoch": 1, "batches": 3}, {"step": 5, "epoch": 2, "batches": 0}]
    run = made_run("one", epochs=EPOCHS, resumed=resumed)
    record = run.record
    best = Best(checkpoint="step-000005", metric="val_map", value=0.75, epoch=1, step=5)
    for found, words in (
        (best, "Evaluated checkpoint: step 5 (epoch 1), the best val mAP."),
        (best.model_copy(update={"epoch": 0}), "Evaluated checkpoint: the network before training, the best val mAP."),
        (None, "Evaluated checkpoint: step 10 (epoch 2), the last."),
    ):
        last = Published(name="step-000010", digest="0" * 64, step=10, epoch=2, best=found)
        run.write_root(run.root.with_changes(checkpoints=(last,)))
        run.write_record(record.model_copy(update={"checkpoint": run.root.chosen}))
        assert words in shown(run).text
    text = shown(run).text
    assert "at step 3 (epoch 1), at step 5 (epoch 2)" in text
    assert "Epoch 1 was resumed at step 3" in text and "Epoch 2 was resumed" not in text


def test_a_split_that_is_not_test_is_not_called_unused(made_run) -> None:
    run = made_run("one", results={"val": {"accuracy": 0.5}})
    text = shown(run).text
    assert "val accuracy" in text and "Evaluated on the val split (" in text and "not used for training" not in text


def test_nothing_is_loaded_and_nothing_is_a_script(rich) -> None:
    seen = shown(rich)
    addresses = [value for tag, name, value in seen.attributes if name in ("src", "href", "srcset", "action", "data")]
    assert len(addresses) == 3 and all(value.startswith("data:") for value in addresses)
    assert not {"script", "iframe", "object", "embed", "form", "base"} & set(seen.tags)
    assert not [name for _, name, _ in seen.attributes if name.startswith("on")]
    assert "@import" not in seen.text and "url(" not in seen.text
    policy = next(value for _, name, value in seen.attributes if name == "content" and "default-src" in value)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_hostile_names_are_text_and_isolated(rich) -> None:
    html = render(rich, rich.record)
    seen = Seen(html)
    assert "script" not in seen.tags and "{{ 7 * 7 }}" in seen.text
    places, isolated = html.count("&lt;script&gt;alert(1)&lt;/script&gt;"), html.count("<bdi>&lt;script&gt;")
    assert isolated >= 9
    assert places - isolated == 1 + 3 + 1, (
        "the page's title, what images are called (thrice), and 'on …' within a bdi of its own"
    )


def test_what_is_missing_or_lies_outside_is_said_and_not_shown(rich, tmp_path) -> None:
    assert "plots/lost.png is missing from the run directory." in shown(rich).text
    secret = image(tmp_path / "secret.png")
    (rich.path / "link.png").symlink_to(secret)
    (rich.path / "note.txt").write_text("x", encoding="utf-8")
    for name in ("../../../secret.png", str(secret), "link.png", "note.txt", "run.json", "", "."):
        assert inside(rich.path, name) is None, name
    assert inside(rich.path, "one.png") == (rich.path / "one.png").resolve()


def test_a_long_table_is_cut_and_says_so(made_run) -> None:
    run = made_run("one", report_items=[ReportItem("Classes", "long.csv")])
    (run.path / "long.csv").write_text(
        "class\n" + "".join(f"c{index}\n" for index in range(ROWS + 1)), encoding="utf-8"
    )
    seen = shown(run)
    assert f"First {ROWS} of {ROWS + 1} rows. All rows are in long.csv." in seen.text
    assert f"c{ROWS - 1}" in seen.texts and f"c{ROWS}" not in seen.texts


def test_an_unfinished_run_has_a_page_with_the_images_there_are(made_run) -> None:
    run = made_run("one", status="interrupted", results={})
    image(run.plots / "first_images.png")
    seen = shown(run)
    assert "interrupted" in seen.texts and "No result: the run ended before the model was evaluated." in " ".join(
        seen.text.split()
    )
    assert "First images" in seen.texts
    killed = made_run("two", status="running", results={})
    assert "killed" in shown(killed).texts


def test_the_recipes_figure_stands_beside_the_result(made_run) -> None:
    recipe = resolve(registry(), "cnn_digits").config.as_dict()
    told = "accuracy 97.53% ± 0.38% (mean ± standard deviation over 10 seeds), measured on two CPU cores."
    assert f"Expected result of the recipe classics/cnn_digits: {told}" in shown(made_run("one", config=recipe)).text
    changed = made_run("changed", config={**recipe, "train": {**recipe["train"], "epochs": 1}})
    assert f"{told[:-1]}. The settings of this run differ from those of the recipe." in shown(changed).text
    assert (
        "Expected result" not in shown(made_run("other", config={**recipe, "dataset": {"name": "datasets/mnist"}})).text
    )
    once = made_run("once", config=resolve(registry(), "svd_image").config.as_dict())
    assert "recipe svd/svd_image: psnr 32.85 dB (one run), measured on one CPU core." in shown(once).text
    gone = made_run("two", config={"recipe": "lab/gone"})
    assert "Expected result" not in shown(gone).text


def test_report_writes_into_the_run_or_elsewhere_and_replaces_in_one_step(made_run, tmp_path, monkeypatch) -> None:
    run = made_run("one")
    assert zoo.report(run.path) == run.page_file
    before = run.page_file.read_text(encoding="utf-8")
    assert before == render(run, run.record)
    assert report(run.path, tmp_path / "mine.html").read_text(encoding="utf-8") == before
    with pytest.raises(UsageError, match="would be a folder"):
        report(run.path, tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        report(run.path, tmp_path / "no" / "mine.html")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zoo.support.atomic_files.os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        write_page(run, run.record)
    assert run.page_file.read_text(encoding="utf-8") == before and not list(run.path.glob(".*.tmp"))


def test_a_damaged_table_is_no_crash(made_run) -> None:
    run = made_run("one", report_items=[ReportItem("Empty", "empty.csv"), ReportItem("Ragged", "ragged.csv")])
    (run.path / "empty.csv").write_text("", encoding="utf-8")
    (run.path / "ragged.csv").write_text("image,b\nx.png\ny.png,1,2\n", encoding="utf-8")
    assert "Ragged" in shown(run).texts


def test_a_table_that_cannot_be_read_is_said_and_the_page_goes_on(made_run) -> None:
    """From fuzzing: text in no known encoding, and a link that leads to itself."""
    run = made_run(
        "one",
        report_items=[
            ReportItem("Bytes", "bytes.csv"),
            ReportItem("Circle", "circle.csv"),
            ReportItem("Image", "a.png"),
        ],
    )
    (run.path / "bytes.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    (run.path / "circle.csv").symlink_to("circle.csv")
    image(run.path / "a.png")
    seen = shown(run)
    assert "bytes.csv cannot be read: it is not UTF-8 text." in seen.text
    assert "circle.csv is missing from the run directory." in seen.text and "img" in seen.tags


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = (
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


def browse(file: Path, folder: Path, width: int) -> tuple[list[str], list[str], np.ndarray]:
    """Open a file in headless Chromium: what its console says, the addresses that the page (not the browser) asks for,
    and the screen."""
    asked, drawn = folder / "net.json", folder / "page.png"
    places = [
        f"--user-data-dir={folder / 'profile'}",
        f"--log-net-log={asked}",
        f"--screenshot={drawn}",
        f"--window-size={width},2000",
    ]
    flags = ["--headless", "--no-sandbox", "--disable-gpu", *QUIET, *places, "--enable-logging=stderr", "--v=0"]
    told = subprocess.run(
        [BROWSER, *flags, file.absolute().as_uri()], capture_output=True, text=True, timeout=120, check=False
    )
    assert told.returncode == 0, told.stderr
    parameters = [event.get("params") for event in json.loads(asked.read_text(encoding="utf-8"))["events"]]
    requests = [
        each
        for each in parameters
        if isinstance(each, dict) and "url" in each and each.get("initiator", "not an origin") != "not an origin"
    ]
    with Image.open(drawn) as screen:
        seen = np.asarray(screen.convert("L"))
    remote = [each["url"] for each in requests if not each["url"].startswith(("data:", "file:"))]
    return [line for line in told.stderr.splitlines() if "CONSOLE" in line], remote, seen


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium: none is installed")
@pytest.mark.parametrize("width", [1200, 500])
def test_a_browser_shows_it_without_complaint_or_request(rich, tmp_path, width) -> None:
    write_page(rich, rich.record)
    console, remote, seen = browse(rich.page_file, tmp_path, width)
    assert (console, remote) == ([], [])
    assert seen.shape == (2000, width) and seen.std() > 5


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium: none is installed")
def test_the_browser_would_tell_of_a_request_and_of_a_script(tmp_path) -> None:
    """So that the silence above means something."""
    offending = tmp_path / "offending.html"
    offending.write_text(
        "<!doctype html><img src='http://127.0.0.1:9/x.png'><script>console.log('hello')</script>", encoding="utf-8"
    )
    console, remote, _ = browse(offending, tmp_path, 500)
    assert len(console) == 1 and "http://127.0.0.1:9/x.png" in remote


def test_public_names() -> None:
    assert inspect.unwrap(zoo.report) is html_page.report


# --------------------------------------------------------------------------------------------- commands, by kind of run


def test_a_run_that_did_not_finish_is_resumed_and_not_used(made_run) -> None:
    run = made_run("one", status="interrupted", results={})
    assert list(commands(run, run.record)) == ["Repeat the run"]
    (run.checkpoints / "step-000003").mkdir(parents=True)
    assert commands(run, run.record)["Resume the run"] == f"zoo run --resume {run_id(run.path)}"
    assert not any("predict" in line or "export" in line for line in commands(run, run.record).values())


def test_images_have_a_class_where_the_run_learned_classes(made_run) -> None:
    numbers = made_run("two", target={"kind": "values", "names": ["height"]})
    for run, name in ((made_run("one"), "Predict the class of an image"), (numbers, "Predict the values of an image")):
        found = commands(run, run.record)
        assert found[name] == f"zoo predict {run_id(run.path)} IMAGE"
        exports = [command for command in found if command.startswith("Export in ")]
        assert len(found) == 2 + len(exports) and "Export in the format onnx (.onnx)" in exports


def test_a_network_that_was_only_adapted_is_not_said_to_be_trained(made_run) -> None:
    assert "none (the network was adapted, not trained)" in shown(made_run("one")).text
    assert "none: the network" not in shown(made_run("two", epochs=EPOCHS)).text


def test_every_command_of_a_page_works_for_its_kind_of_run(tmp_path, monkeypatch, capsys) -> None:
    """A classifier, a run without a network, and one that was stopped; the lines are run as they stand."""
    monkeypatch.setenv("ZOO_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("ZOO_EXPORTS", str(tmp_path / "exports"))
    monkeypatch.chdir(tmp_path)
    image(tmp_path / "image.png")
    image(tmp_path / "images" / "a.png", 90)
    kinds = {
        "classifier": ["run", "cnn_digits", "--set", "train.epochs=1", "--device", "cpu", "--name", "short"],
        "no network": ["run", "svd_image", "--data", f"images:{tmp_path / 'images'}", "--set", "task.ranks=[1]"],
    }
    seen = set()
    for kind, words in kinds.items():
        assert run_cli(words) == 0, kind
        run = all_runs()[0]
        for line in commands(run, run.record).values():
            told = shlex.split(line.replace("IMAGE", "image.png"))
            seen.add((kind, told[1]))
            assert run_cli(told[1:]) == 0, (line, capsys.readouterr().err)
    assert seen == {("classifier", each) for each in ("run", "evaluate", "predict", "export")} | {
        ("no network", each) for each in ("run", "evaluate")
    }


def test_photographs_are_included_as_jpeg_and_plots_as_they_are(tmp_path) -> None:
    noise = np.random.default_rng(0).normal(128, 20, (300, 300, 3)).clip(0, 255).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(noise).resize((600, 600), Image.Resampling.BICUBIC))
    Image.fromarray(smooth).save(tmp_path / "photo.png")
    plot = np.full((800, 900, 3), 255, np.uint8)
    plot[::40, :], plot[:, ::30] = (0, 0, 0), (200, 30, 30)
    Image.fromarray(plot).save(tmp_path / "plot.png")
    Image.fromarray(noise[:20, :20]).save(tmp_path / "small.png")
    (tmp_path / "damaged.png").write_bytes((tmp_path / "photo.png").read_bytes()[:30_000])
    found = {name: address(tmp_path / f"{name}.png") for name in ("photo", "plot", "small", "damaged")}
    kind, _, coded = found.pop("photo").partition(";base64,")
    content = base64.b64decode(coded)
    assert kind == "data:image/jpeg" and len(content) < (tmp_path / "photo.png").stat().st_size / 2
    with Image.open(io.BytesIO(content)) as shown:
        difference = np.asarray(shown).astype(float) - smooth
    assert np.abs(difference).mean() < 5
    for name, text in found.items():
        exact = base64.b64encode((tmp_path / f"{name}.png").read_bytes()).decode()
        assert text == f"data:image/png;base64,{exact}"
