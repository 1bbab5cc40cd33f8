"""Singular value decomposition: compress and denoise images, and compress networks by low-rank factorisation."""

from __future__ import annotations

from zoo.api import AdaptationSpec, CommandSpec, Expected, RecipeSpec, TaskSpec, hookimpl

ZOO_API = "2.0"

CORE = "one CPU core"


@hookimpl
def zoo_register_tasks() -> list[TaskSpec]:
    return [
        TaskSpec(
            name="svd_image",
            summary=(
                "Rebuild images from their largest singular values; report quality, file size and singular values, "
                "compared "
                "with JPEG and WebP"
            ),
            source="C. Eckart, G. Young: The approximation of one matrix by another of lower rank (1936)",
            solver="zoo_svd.image_task:SvdImage",
            options="zoo_svd.options:ImageOptions",
        ),
        TaskSpec(
            name="svd_compress",
            summary=(
                "Compress a trained network: low-rank factorisation of its layers, fitted to their outputs on images"
            ),
            source=(
                "X. Zhang et al.: Accelerating very deep convolutional networks for classification and detection (2015)"
            ),
            adaptations=("svd",),
        ),
    ]


@hookimpl
def zoo_register_adaptations() -> list[AdaptationSpec]:
    return [
        AdaptationSpec(
            name="svd",
            summary="Low-rank factorisation of layers, fitted to their outputs on images",
            source=(
                "X. Zhang et al.: Accelerating very deep convolutional networks for classification and detection (2015)"
            ),
            target="zoo_svd.compress_network:SvdCompress",
            options="zoo_svd.options:NetworkOptions",
            needs_weights=True,
            same_inputs=True,
            computes=(
                "the form and the rank of each layer, from its outputs for calibration images (task.calibration)"
            ),
        )
    ]


@hookimpl
def zoo_register_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="svd_image",
            summary="Rebuild two photographs of 600×400 pixels (height × width) from their largest 60 and 120 "
            "singular values",
            dataset="datasets/photos",
            task="svd/svd_image",
            parameters={"dataset": {"size": [600, 400]}, "task": {"ranks": [60, 120]}},
            expected=Expected(metric="psnr_db", mean=32.8489, sd=0, seeds=1, seconds=5, device=CORE),
        ),
        RecipeSpec(
            name="svd_denoise",
            summary=("Add noise to two photographs, and find the rank whose approximation removes most of the noise"),
            dataset="datasets/photos",
            task="svd/svd_image",
            parameters={"dataset": {"size": [600, 400]}, "task": {"ranks": [60, 120], "noise": 25.0}},
            expected=Expected(metric="psnr_db", mean=23.8148, sd=0, seeds=1, seconds=6, device=CORE),
        ),
        RecipeSpec(
            name="digits_svd",
            summary="Compress a CNN for the digits 0 to 4 to half its size; no download, takes a few seconds",
            architecture="classics/cnn",
            dataset="datasets/digits",
            task="svd/svd_compress",
            parameters={
                "weights": "digits_0_to_4",
                "dataset": {"resize": 28, "classes": ["0", "1", "2", "3", "4"]},
                "task": {"budget": 0.5},
            },
            expected=Expected(mean=1.0, sd=0, seeds=1, seconds=11, device=CORE),
        ),
    ]


@hookimpl
def zoo_register_commands() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="svd",
            summary="Decode SVD-compressed images, export a decoder for them, and plot a 2×2 matrix as a linear map",
            target="zoo_svd.commands:app",
        )
    ]
