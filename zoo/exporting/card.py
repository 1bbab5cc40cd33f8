"""The README.md of a bundle: a model card, from the same facts as its JSON files."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from zoo.runtime import COVER, CROP, METADATA_KEY, SQUASH
from zoo.support.formatting import printable

ENTITIES = str.maketrans({char: f"&#{ord(char)};" for char in "\\|`[]*"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"})
"""Characters that mean something in Markdown, as entities."""


def write_card(bundle: dict[str, Any], verification: dict[str, Any], sources: dict[str, Any]) -> str:
    """Markdown.

    ``bundle`` and ``verification`` go into bundle.json and verify.json; ``sources`` is what the specs say of data and
    network.
    """
    environment = Environment(  # noqa: S701 - this is Markdown; what stands in it goes through `cell`
        loader=PackageLoader("zoo.exporting", ""), undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters["cell"] = _cell
    description, real = bundle["description"], verification["real"]
    return environment.get_template("card.md.j2").render(
        name=bundle["name"],
        summary=_cell(description["summary"]),
        model_file=bundle["model"],
        sha256=bundle["files"][bundle["model"]]["sha256"],
        format=bundle["exporter"]["name"],
        form=verification["form"],
        input=description["input"],
        preparation=_preparation(description["input"]),
        permuted=description["input"].get("permute_pixels"),
        requires=", ".join(
            f"{'Python' if name == 'python' else name} {oldest.removeprefix('>=')}"
            for name, oldest in bundle["requires"].items()
        ),
        classes=description["output"]["classes"],
        metadata_key=METADATA_KEY,
        verification=verification,
        real=real,
        accuracy=real.get("accuracy"),
        metrics=_metrics(description["provenance"].get("metrics", {})),
        trained_on=description["provenance"].get("dataset"),
        origin_sentence=_origin(description["provenance"]),
        weights_licence=description["provenance"].get("licence"),
        percent=lambda share: f"{share:.2%}",
        **sources,
    )


def _preparation(spec: dict[str, Any]) -> str:
    """How an image of any size comes to the input's, in a sentence, by the description that predict.py follows."""
    colour = "grey" if spec["channels"] == 1 else "RGB"
    size, how = f"{spec['height']}×{spec['width']}", f"{spec['interpolation']}, antialiased"
    ways = {
        SQUASH: f"scaled to {size}, whatever its aspect ({how})",
        CROP: f"cropped to {size} at the centre, unscaled, with black where it is smaller",
        COVER: f"scaled until it covers {size} ({how}) and cropped at the centre",
    }
    way = ways[spec["resize"]]
    if spec["resize"] == COVER and spec.get("scale") is not None:
        way = f"scaled until its shorter side is {spec['scale']} ({how}) and cropped to {size} at the centre"
    return f"It is converted to {colour} and {way}."


def _cell(value: object) -> str:
    """Text that cannot break out of a table's cell, nor become HTML, a link, an image or code."""
    return printable(" ".join(str(value).split())).translate(ENTITIES)


def _metrics(metrics: dict[str, Any]) -> str:
    return ", ".join(f"{_cell(name)} {value:.4g}" for name, value in metrics.items() if isinstance(value, int | float))


def _origin(provenance: dict[str, Any]) -> str:
    kind = provenance.get("kind", "unknown")
    which = provenance.get("run") or provenance.get("weights")
    return f"{kind} {which}" if which else str(kind)
