"""``zoo info``"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.info_tables import say_tables
from zoo.cli.output import (
    duration,
    emphasised,
    json_alone,
    note,
    say,
    say_facts,
    say_json,
    say_wrapped,
)
from zoo.cli.shared_options import AsJson, options_of, parse_shape, whole_number
from zoo.errors import UsageError, ZooError
from zoo.registry.lookup import Item, Registry, registry
from zoo.support.formatting import known
from zoo.support.paths import check_drawing
from zoo.workflows.component_facts import Asked, describe, examine

if TYPE_CHECKING:
    from zoo.analysis.layer_table import Anatomy

ALWAYS = ("kind", "name", "canonical", "summary", "plugin", "distribution", "version", "target", "source", "problems")


def info(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Name of an architecture, dataset, task, recipe, adaptation, exporter, augmentation or metric, or of "
            "all networks of a library, such as 'timm/*'.",
        ),
    ],
    shape: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="C,H,W",
            help="Input shape for the cost, such as 3,224,224; default: that of the architecture.",
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option("--classes", metavar="N", help="Number of outputs (classes) of the network, at least 1."),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="architecture.KEY=VALUE", help="Set an option of the architecture; may be repeated."
        ),
    ] = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="List the layers with output shape, parameters and multiply-accumulates.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="PNG", help="Draw parameters, cost and receptive field of each layer."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    check_drawing(plot)
    asked = Asked(
        None if shape is None else parse_shape(shape), _classes(classes), options_of(assignments, "architecture")
    )
    with json_alone(as_json):
        catalogue = registry()
        items = catalogue.find_any(name)
        found = [describe(catalogue, item) for item in items]
        wanted = layers or plot is not None or asked != Asked()
        networks = [_network(catalogue, item, facts, asked, wanted) for item, facts in zip(items, found, strict=True)]
    if wanted and not any(networks):
        raise UsageError(
            f"{items[0].kind} '{items[0].canonical}' is no network", fix="name an architecture or a recipe"
        )
    drawn = next(network for network in networks if network is not None) if plot is not None else None
    if drawn is not None and plot is not None:
        from zoo.analysis.layer_plot import draw

        draw(plot, drawn[0], f"{name}: {drawn[0].parameters:,} parameters")
    if as_json:
        say_json(found)
        return
    for index, (facts, network) in enumerate(zip(found, networks, strict=True)):
        if index:
            say()
        _say(facts, network, layers=layers)
    if plot is not None:
        say(f"saved: {plot}")


def _classes(text: str | None) -> int | None:
    return None if text is None else whole_number("--classes", text)


def _network(
    catalogue: Registry, item: Item[Any], facts: dict[str, Any], asked: Asked, wanted: bool
) -> tuple[Anatomy, int] | None:
    """The network of an architecture always; of a recipe where something about it is asked.

    What goes wrong with what is asked is raised.
    """
    if item.kind != "architecture" and not (wanted and item.kind == "recipe"):
        return None
    try:
        found, classes = examine(catalogue, item, asked)
    except ZooError as error:
        if wanted:
            raise
        facts.setdefault("problems", []).append(str(error))
        return None
    from zoo.analysis.anatomy_json import as_json

    facts["network"] = as_json(found, classes)
    return found, classes


def _say(facts: dict[str, Any], network: tuple[Anatomy, int] | None, *, layers: bool) -> None:
    say(emphasised(f"{facts['kind']} {facts['canonical']}"))
    say_wrapped("", facts["summary"])
    say()
    common = {
        "from": f"{facts['plugin']} ({facts['distribution']} {facts['version']})",
        "source": facts.get("source"),
        "target": facts.get("target"),
    }
    size: dict[str, object] = {}
    if network is not None:
        from zoo.cli.info_network import facts as size_of

        size = dict(size_of(*network))
    say_facts({**common, **dict(PARTS[facts["kind"]](facts) if facts["kind"] in PARTS else ()), **size})
    if network is not None:
        _say_network(network[0], layers=layers)
    say_tables(facts)
    for problem in facts.get("problems", ()):
        note(f"note: {problem}")


def _say_network(network: Anatomy, *, layers: bool) -> None:
    from zoo.cli.info_network import say_bars, say_layers

    if layers:
        say_layers(network)
    say_bars(network)


def _architecture(facts: dict[str, Any]) -> Iterator[tuple[str, object]]:
    yield "paper", facts["paper"]
    yield "year", facts["year"]
    steps = f", in multiples of {facts['multiple']}" if facts["multiple"] > 1 else ""
    others = f"any size from {facts['smallest']}×{facts['smallest']}{steps}"
    sizes = {"fixed": "this size only", "min": others, "chosen": f"or, where it is built for that, {others}"}
    yield "input", f"{_shape(facts['input'])}; {sizes[facts['sizing']]}"
    yield "head", facts["head"]
    usual = len(facts["outputs"]) == 1 and facts["outputs"][0]["kind"] == "vector"
    yield "outputs", None if usual else ", ".join(_output(each) for each in facts["outputs"])
    yield "differs from the paper", facts["deviations"]


def _output(output: dict[str, Any]) -> str:
    weight = "" if output["auxiliary"] is None else f", auxiliary (weight {output['auxiliary']:g})"
    return f"{output['name']}: {output['kind']}{weight}"


def _family(facts: dict[str, Any]) -> Iterator[tuple[str, object]]:
    yield "architectures", f"{facts['members']:,}; zoo list architectures '{facts['canonical']}' lists them"
    yield "of them", ", ".join(facts["examples"])


def _dataset(facts: dict[str, Any]) -> Iterator[tuple[str, object]]:
    yield "images", _shape(facts["shape"])
    yield "targets", " or ".join(facts["targets"])
    named = f"{len(facts['classes'])}: {', '.join(facts['classes'][:20])}{' …' if len(facts['classes']) > 20 else ''}"
    found = "found on opening" if "classes" in facts["targets"] else None
    yield "classes", named if facts["classes"] else found
    yield "mean, std", f"{_numbers(facts['mean'])}; {_numbers(facts['std'])}"
    yield "licence", facts["licence"]
    yield "homepage", facts["homepage"]
    if not facts["files"]:
        yield "download", "none: included with an installed package" if facts["embedded"] else "none: on your disk"
        return
    yield "download", f"{facts['download_size'] / 1e6:.1f} MB, to {facts['data_folder']}"
    yield "files", facts["state"]


def _task(facts: dict[str, Any]) -> Iterator[tuple[str, object]]:
    yield "solver", facts["solver"]
    yield "adaptations", ", ".join(facts["adaptations"])
    yield "targets", " or ".join(facts["accepts"])
    yield "default", "for these targets, where no task is named" if facts["default"] else None
    yield "needs", ", ".join(word for word in ("architecture", "labels", "weights") if facts[f"needs_{word}"])


def _adaptation(facts: dict[str, Any]) -> Iterator[tuple[str, object]]:
    yield "needs", "weights" if facts["needs_weights"] else None
    yield "head", "re-initialised for other classes than the weights'" if facts["new_head"] else None
    yield "data", "that the weights were trained on" if facts["same_inputs"] and not facts["new_head"] else None
    yield "computes", facts["computes"]


def _recipe(facts: dict[str, Any]) -> Iterator[tuple[str, object]]:
    yield "architecture", facts["architecture"]
    yield "dataset", facts["dataset"]
    yield "task", facts["task"]
    yield "pretrained weights", facts["weights"]
    if facts["expected"]:
        expected = facts["expected"]
        yield "expected", known(*(expected[key] for key in ("metric", "mean", "sd", "seeds")))
        yield "takes", f"{duration(expected['seconds'])} on {expected['device']}"
    yield "run it", f"zoo run {facts['name']}"


def _exporter(facts: dict[str, Any]) -> Iterator[tuple[str, object]]:
    yield "writes", f"*{facts['suffix']}"


def _metric(facts: dict[str, Any]) -> Iterator[tuple[str, object]]:
    yield "targets", ", ".join(facts["accepts"])
    yield "better", "more" if facts["mode"] == "max" else "less"


def _augmentation(facts: dict[str, Any]) -> Iterator[tuple[str, object]]:
    yield "try it", f"zoo show DATASET --augment {facts['name']}"


PARTS = {
    "architecture": _architecture,
    "family": _family,
    "dataset": _dataset,
    "task": _task,
    "adaptation": _adaptation,
    "recipe": _recipe,
    "exporter": _exporter,
    "metric": _metric,
    "augmentation": _augmentation,
}


def _shape(shape: list[int | None]) -> str:
    return "×".join("any" if side is None else str(side) for side in shape)


def _numbers(values: list[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
