"""The README.md of a bundle: a model card, from the same facts as its JSON files."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from zoo.exporting.client_files import PREDICT
from zoo.runtime import COVER, CROP, NAMES, SQUASH, decision_of, due_shape
from zoo.support.formatting import printable

ENTITIES = str.maketrans({char: f"&#{ord(char)};" for char in "\\|`[]*"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"})
"""Characters that mean something in Markdown, as entities."""

COMPARED = {
    "softmax": "the centred logits",
    "sigmoid": "the outputs",
    "affine": "the outputs",
    "pixel_argmax": "the logits, centred over the classes",
    "embedding": "the outputs, divided by their L2 norm",
    "raw": "the outputs",
}
"""What is compared, by the kind of the decision."""
ANSWERS = {"softmax": "top-1 classes", "sigmoid": "labels", "pixel_argmax": "pixels"}
"""What is counted as equal or not; of other kinds numbers are compared alone."""


MEASURED, PUBLISHED = "Metrics of the training run", "Published metrics of the weights"


def write_card(bundle: dict[str, Any], verification: dict[str, Any], rows: str, sources: dict[str, Any]) -> str:
    """Markdown.

    ``bundle`` and ``verification`` go into bundle.json and verify.json; ``rows`` are what the exporter says of the
    file, rows of the first table; ``sources`` is what the specs say of data and network.
    """
    environment = Environment(  # noqa: S701 - this is Markdown; what stands in it goes through `cell`
        loader=PackageLoader("zoo.exporting", ""), undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters["cell"] = _cell
    description, real = bundle["description"], verification["real"]
    decision = decision_of(description)
    return environment.get_template("card.md.j2").render(
        name=bundle["name"],
        summary=_cell(description["summary"]),
        model_file=bundle["model"],
        sha256=bundle["files"][bundle["model"]]["sha256"],
        format=bundle["exporter"]["name"],
        form=verification["form"],
        rows=rows,
        has_client=PREDICT in bundle["files"],
        packages=" ".join(name for name in bundle["requires"] if name != "python"),
        input=description["input"],
        preparation=_preparation(description["input"]),
        permuted=description["input"].get("permute_pixels"),
        requires=", ".join(
            f"{'Python' if name == 'python' else name} {oldest.removeprefix('>=')}"
            for name, oldest in bundle["requires"].items()
        ),
        output_shape=_output_shape(description),
        decision_kind=decision["kind"],
        decision_sentence=_decision(decision),
        names_title=NAMES.get(decision["kind"]),
        names=_names(decision),
        compared=COMPARED[decision["kind"]],
        answers=ANSWERS.get(decision["kind"]),
        verification=verification,
        real=real,
        accuracy=real.get("accuracy"),
        errors=real.get("mean_absolute_error"),
        metrics=_metrics(description["provenance"].get("metrics", {})),
        trained_on=description["provenance"].get("dataset"),
        origin_sentence=_origin(description["provenance"]),
        ancestors=[_ancestor(each) for each in description["provenance"]["licences"]["ancestors"]],
        weights_source=description["provenance"].get("source"),
        metrics_title=PUBLISHED if "source" in description["provenance"] else MEASURED,
        weights_licence=description["provenance"].get("licence"),
        percent=lambda share: f"{share:.2%}",
        **sources,
    )


def _preparation(spec: dict[str, Any]) -> str:
    """How an image of any size comes to the input's, in a sentence, by the description that predict.py follows."""
    colour = "grayscale" if spec["channels"] == 1 else "RGB"
    size, how = f"{spec['height']}×{spec['width']}", f"{spec['interpolation']}, antialiased"
    ways = {
        SQUASH: f"scaled to {size} without keeping the aspect ratio ({how})",
        CROP: f"cropped to {size} at the centre without scaling; smaller images are padded with black",
        COVER: f"scaled to cover {size} ({how}) and cropped at the centre",
    }
    way = ways[spec["resize"]]
    if spec["resize"] == COVER and spec.get("scale") is not None:
        way = f"scaled to a shorter side of {spec['scale']} ({how}) and cropped to {size} at the centre"
    return f"Images are converted to {colour} and {way}."


def _output_shape(description: dict[str, Any]) -> str:
    spec, decision = description["input"], decision_of(description)
    sides = due_shape(decision, description["output"]["kind"], (2, spec["channels"], spec["height"], spec["width"]))
    return ", ".join(map(str, (spec.get("batch", "N"), *sides[1:])))


def _names(decision: dict[str, Any]) -> list[str]:
    """The classes, or the values with their units."""
    names = list(decision.get(NAMES.get(decision["kind"], ""), ()))
    units = decision.get("units") or [""] * len(names)
    return [f"{name} ({unit})" if unit else name for name, unit in zip(names, units, strict=True)]


def _decision(decision: dict[str, Any]) -> str:
    """How the outputs become an answer, in a sentence without names."""
    match decision["kind"]:
        case "softmax":
            cooled = "" if decision["temperature"] == 1 else f" / {decision['temperature']:.6g}"
            least = decision["abstain_below"]
            none = "" if least is None else f"; no answer if its probability is below {least:.6g}"
            return f"the class with the largest probability, softmax(output{cooled}){none}"
        case "sigmoid":
            least = ", ".join(f"{threshold:.6g}" for threshold in decision["thresholds"][:40])
            return f"each class whose probability, sigmoid(output), is at least its threshold: {least}"
        case "affine":
            link = "output" if decision["link"] == "identity" else f"{decision['link']}(output)"
            clip = decision["clip"]
            ends = "" if clip is None else f", clipped to {clip[0]:.6g} to {clip[1]:.6g}"
            return f"{link} · scale + offset{ends}, see `bundle.json`"
        case "pixel_argmax":
            size = (
                "the image if preprocessing scales the whole image, else of the input"
                if decision["size"] == "image"
                else "the input"
            )
            return f"the class with the largest output for each pixel, as a mask with the size of {size}"
        case "embedding":
            gallery = decision["gallery"]
            compared = "" if gallery is None else f", compared with the vectors of `{gallery}` by cosine similarity"
            return f"the output divided by its L2 norm{compared}"
        case _:
            return "the output itself"


def _cell(value: object) -> str:
    """Text that cannot break out of a table's cell, nor become HTML, a link, an image or code."""
    return printable(" ".join(str(value).split())).translate(ENTITIES)


def _metrics(metrics: dict[str, Any]) -> str:
    return ", ".join(f"{_cell(name)} {value:.4g}" for name, value in metrics.items() if isinstance(value, int | float))


def _ancestor(entry: dict[str, Any]) -> str:
    facts = {"trained on": "dataset", "licence": "licence", "licence of the data": "dataset_licence"}
    told = [f"{words} {entry[key]}" for words, key in facts.items() if key in entry]
    return _cell(f"{entry['role']}: {entry['name']}" + (f" ({'; '.join(told)})" if told else ""))


def _origin(provenance: dict[str, Any]) -> str:
    kind = provenance.get("kind", "unknown")
    which = provenance.get("run") or provenance.get("weights")
    return f"{kind} {which}" if which else str(kind)
