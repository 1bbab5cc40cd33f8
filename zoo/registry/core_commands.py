"""The core's commands: where each is, and its help.

Known here, so that ``zoo --help`` imports none of them and no plugin takes their names.
"""

from __future__ import annotations

COMMANDS = {
    "list": ("zoo.cli.list_items:list_items", "What is here, from whom."),
    "info": (
        "zoo.cli.info:info",
        "All about one item: what it is, from whom, its options, its expected figure; a network's layers and cost.",
    ),
    "matrix": ("zoo.cli.matrix:matrix", "Which architectures, datasets and tasks go together, and why others do not."),
    "gradients": (
        "zoo.cli.gradients:gradients",
        "The norm of the gradient at each layer of a network, before it has learned anything.",
    ),
    "arithmetic": (
        "zoo.cli.arithmetic:arithmetic",
        "The arithmetic of one layer: output, parameters and cost, with the formulas filled in.",
    ),
    "show": ("zoo.cli.show:show", "Draw images of a dataset: plain, permuted or augmented."),
    "run": ("zoo.cli.run:run", "Train and evaluate a recipe; leaves a run directory."),
    "evaluate": ("zoo.cli.evaluate:evaluate", "Evaluate a run's model on a part of a dataset."),
    "predict": ("zoo.cli.predict:predict", "What a run or an exported model answers for images."),
    "export": ("zoo.cli.export:export", "Write a trained model for deployment, verified before it is published."),
    "runs": ("zoo.cli.runs:runs", "Past runs, newest first, with their result."),
    "compare": ("zoo.cli.compare:compare", "Runs side by side: results, settings that differ, curves in one image."),
    "report": ("zoo.cli.report:report", "One page that shows all of a run, with nothing to load from elsewhere."),
    "verify": (
        "zoo.cli.verify:verify",
        "Check every file of a run against its root record; say what is damaged and what can still be done.",
    ),
    "inspect": (
        "zoo.cli.inspect:inspect",
        "Describe a file or folder from someone else, executing and writing nothing.",
    ),
    "plugins": ("zoo.cli.plugins:plugins", "Every plugin: its state, what it gives, why one is broken."),
    "weights": (
        "zoo.cli.weights:weights",
        "Trained weights of architectures: which there are, bring them, convert a file of them.",
    ),
    "data": ("zoo.cli.data:data", "The files of datasets: bring them, find them, examine them."),
    "cache": (
        "zoo.cli.cache:cache",
        "List the decoded images and unpacked archives that are cached; --clear removes them.",
    ),
    "doctor": (
        "zoo.cli.doctor:doctor",
        "Examine this installation: versions, devices, folders, plugins; each with what to do.",
    ),
    "completion": ("zoo.cli.completion:completion", "The script that completes command lines in bash, zsh or fish."),
}
"""A function is a command; a ``typer.Typer``, a group of them."""
