"""The decisions of docs/bundle-format.md, and the table of predictions, for the client in `described_client`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from described_client import BATCH, Answer, RefusedBundleError, RefusedImageError, fields, prepare, read_bundle


def sigmoid(values: np.ndarray) -> np.ndarray:
    power = np.exp(-np.abs(values))
    return np.where(values >= 0, 1 / (1 + power), power / (1 + power))


def softmax_answer(outputs: np.ndarray, decision: dict[str, Any]) -> Answer:
    classes, temperature, least = fields(decision, "classes", "temperature", "abstain_below")
    logits = outputs.astype(np.float64) / temperature
    powers = np.exp(logits - logits.max())
    shares = powers / powers.sum()
    best = int(shares.argmax())
    named = "no answer" if least is not None and shares[best] < least else classes[best]
    return Answer([named, *numbers(shares)], None)


def sigmoid_answer(outputs: np.ndarray, decision: dict[str, Any]) -> Answer:
    classes, thresholds = fields(decision, "classes", "thresholds")
    shares = sigmoid(outputs.astype(np.float64))
    labels = [name for name, share, least in zip(classes, shares, thresholds, strict=True) if share >= least]
    return Answer([";".join(labels), *numbers(shares)], None)


def affine_answer(outputs: np.ndarray, decision: dict[str, Any]) -> Answer:
    _, _, scale, offset, link, clip = fields(decision, "names", "units", "scale", "offset", "link", "clip")
    links = {"identity": lambda values: values, "exp": np.exp, "sigmoid": sigmoid}
    values = links[link](outputs.astype(np.float64)) * np.array(scale) + np.array(offset)
    return Answer(numbers(values if clip is None else np.clip(values, *clip)), None)


def mask_answer(outputs: np.ndarray, decision: dict[str, Any], image: tuple[int, int], squashed: bool) -> Answer:
    classes, size, _ = fields(decision, "classes", "size", "colours")
    mask = outputs.argmax(0).astype(np.uint8)  # (K, H, W) → (H, W), the first of equal outputs
    if size not in ("image", "input"):
        raise RefusedBundleError(f"unknown size {size!r}")
    if size == "image" and squashed:
        columns, rows = (
            [(2 * i + 1) * old // (2 * new) for i in range(new)]
            for new, old in zip(image, (mask.shape[1], mask.shape[0]), strict=True)
        )
        mask = mask[np.ix_(rows, columns)]
    return Answer(numbers(np.array([(mask == index).mean() for index in range(len(classes))])), mask)


def answer(outputs: np.ndarray, description: dict[str, Any], image: tuple[int, int]) -> Answer:
    """The answer for the outputs of one image, (K,), (D,) or (K, H, W)."""
    decision = description["output"]["decision"]
    match decision["kind"]:
        case "softmax":
            return softmax_answer(outputs, decision)
        case "sigmoid":
            return sigmoid_answer(outputs, decision)
        case "affine":
            return affine_answer(outputs, decision)
        case "pixel_argmax":
            squashed = not any(step["step"] == "crop" for step in description["input"]["steps"])
            return mask_answer(outputs, decision, image, squashed)
        case "embedding":
            fields(decision, "gallery")
            exact = outputs.astype(np.float64)
            length = np.sqrt((exact * exact).sum())
            return Answer(numbers(exact / length if length > 0 else exact), None)
        case "raw":
            return Answer(numbers(outputs.ravel()), None)
    raise RefusedBundleError(f"unknown decision {decision['kind']!r}")


def numbers(values: np.ndarray) -> list[str]:
    return [format(float(value), ".9g") for value in values]


def header(decision: dict[str, Any], count: int) -> list[str]:
    match decision["kind"]:
        case "softmax" | "sigmoid":
            return ["file", "prediction", *(f"p({name})" for name in decision["classes"])]
        case "pixel_argmax":
            return ["file", *(f"share({name})" for name in decision["classes"])]
        case "affine":
            units = decision["units"] or [""] * count
            named = zip(decision["names"], units, strict=True)
            return ["file", *(f"{name} ({unit})" if unit else name for name, unit in named)]
    return ["file", *(f"v{index}" for index in range(count))]


def safe(cell: str) -> str:
    """Behind an apostrophe where a spreadsheet would take a text for a formula."""
    numeric = re.fullmatch(r"[+-]?(\d+\.?\d*(e[+-]?\d+)?|inf|nan)", cell)
    return f"'{cell}" if re.match(r"'*[=+\-@\t\r\n]", cell) and not numeric else cell


def predict(folder: Path, files: Sequence[Path]) -> tuple[list[list[str]], dict[Path, np.ndarray], list[Path]]:
    """Return the table with its header, the masks, and the files that were refused."""
    index = read_bundle(folder)
    description = index["description"]
    session = onnxruntime.InferenceSession(str(folder / index["model"]), providers=["CPUExecutionProvider"])
    fixed = description["input"].get("batch")
    rows: list[list[str]] = []
    masks: dict[Path, np.ndarray] = {}
    refused: list[Path] = []
    for start in range(0, len(files), fixed or BATCH):
        found: dict[Path, tuple[np.ndarray, tuple[int, int]]] = {}
        for file in files[start : start + (fixed or BATCH)]:
            try:
                found[file] = prepare(file, description["input"]["steps"])
            except RefusedImageError:
                refused.append(file)
        if not found:
            continue
        inputs = [inputs for inputs, _ in found.values()]
        inputs += [np.zeros_like(inputs[0])] * ((fixed or 0) - len(inputs))
        (outputs, *_) = session.run(None, {session.get_inputs()[0].name: np.concatenate(inputs)})
        for (file, (_, size)), own in zip(found.items(), outputs, strict=False):
            cells, mask = answer(own, description, size)
            rows.append([safe(cell) for cell in (str(file), *cells)])
            masks.update({} if mask is None else {file: mask})
    count = len(rows[0]) - 1 if rows else 0
    titles = header(description["output"]["decision"], count)
    return [[titles[0], *map(safe, titles[1:])], *rows], masks, refused
