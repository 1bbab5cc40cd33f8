"""Ranks of layers given by name (``task.ranks``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.errors import UsageError, nearest
from zoo_svd.allocation import Choices
from zoo_svd.compression import Compressor
from zoo_svd.forms import Choice, Form, Layer, forms_of, pays, weights_of


def named(compressor: Compressor, ranks: Mapping[str, int | Sequence[int]], forms: Sequence[Form]) -> Choices:
    """A choice for each layer of ``ranks``: one rank is of the first of ``forms`` that takes one, two are of
    ``tucker``; all other layers stay as they are. Raises UsageError for a layer that is not there, and for ranks that
    do not make it smaller.
    """
    found: Choices = dict.fromkeys(compressor.layers)
    for name, given in ranks.items():
        if name not in compressor.layers:
            known = list(compressor.layers)
            near = ", ".join(nearest(name, known, count=1) or known[:10])
            raise UsageError(
                f"the network has no layer '{name}' that can be factorised",
                where="task.ranks",
                fix=f"for example: {near}",
            )
        layer = compressor.layers[name]
        choice = _choice(name, layer, given, forms)
        most = [len(spectrum) for spectrum in compressor.decomposition(name, choice.form).spectra]
        if any(rank > limit for rank, limit in zip(choice.ranks, most, strict=True)):
            raise UsageError(
                f"'{name}' has no ranks above {', '.join(map(str, most))}", where="task.ranks", fix="give a lower rank"
            )
        if not pays(layer, choice):
            raise UsageError(
                f"{choice} does not make '{name}' smaller: {layer.weight.numel():,} weights become "
                f"{weights_of(layer, choice):,}",
                where="task.ranks",
                fix="give a lower rank",
            )
        found[name] = choice
    return found


def _choice(name: str, layer: Layer, given: int | Sequence[int], forms: Sequence[Form]) -> Choice:
    if isinstance(given, int):
        return Choice(next((form for form in forms_of(layer, forms) if form != "tucker"), "channels"), (given,))
    if "tucker" not in forms_of(layer):
        raise UsageError(
            f"'{name}' takes one rank: it is not a convolution larger than 1×1",
            where="task.ranks",
            fix="give one number",
        )
    return Choice("tucker", tuple(given))
