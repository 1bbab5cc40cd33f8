"""The tables that `zoo info` prints below the facts of an item."""

from __future__ import annotations

from typing import Any

from zoo.cli.output import emphasised, figure, say, say_table


def say_tables(facts: dict[str, Any]) -> None:
    if facts.get("options"):
        _say_options(facts)
    if facts.get("files"):
        _say_files(facts)
    if facts.get("weights") and facts["kind"] == "architecture":
        _say_weights(facts["weights"])
    if facts.get("configuration"):
        _say_configuration(facts["configuration"])


def _say_options(facts: dict[str, Any]) -> None:
    say()
    within = {
        "metric": f"train.metrics: [{facts['name']}: {{NAME: VALUE}}]",
        "augmentation": f'--augment "{facts["name"]}: {{NAME: VALUE}}"',
        "adaptation": f"adapt: [{facts['name']}: {{NAME: VALUE}}]",
    }  # of lists, where options are written behind a name
    section = "export" if facts["kind"] == "exporter" else facts["kind"]
    say(emphasised(f"options ({within.get(facts['kind'], f'--set {section}.NAME=VALUE')})"))
    rows = [
        [
            option["name"],
            option["type"],
            "required" if option["required"] else _value(option["default"]),
            option["description"],
        ]
        for option in facts["options"]
    ]
    say_table(["name", "type", "default", "meaning"], rows, indent="  ")


def _say_files(facts: dict[str, Any]) -> None:
    from zoo.workflows.data_download import presence

    say()
    say(emphasised("files"))
    rows = [[file["path"], f"{file['size']:,}", presence(file), file["url"]] for file in facts["files"]]
    rows += [[archive.name, f"{archive.stat().st_size:,}", "yes", ""] for archive in facts["instead"]]
    say_table(["in the data folder", "bytes", "here", "address"], rows, indent="  ")


def _say_weights(weights: dict[str, Any]) -> None:
    say()
    say(emphasised("weights"))
    rows = [
        [
            name,
            each["summary"],
            ", ".join(figure(metric, value) for metric, value in each["metrics"].items()),
            each["licence"],
        ]
        for name, each in weights.items()
    ]
    say_table(["name", "summary", "reaches", "licence"], rows, indent="  ")


def _say_configuration(configuration: dict[str, Any]) -> None:
    from zoo.support.yaml_files import write_yaml

    say()
    say(emphasised("configuration"))
    for line in write_yaml(configuration).splitlines():
        say(f"  {line}")


def _value(value: object) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
