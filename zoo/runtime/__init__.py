"""Decode images, prepare them for an exported model, and turn its outputs into predictions, with numpy and Pillow.

It needs Python 3.8, numpy 1.21 and Pillow 9.1, or newer ones. It opens no model format: `main`, the command line of a
bundle's ``predict.py``, is given a function that does. Every file that it loads must have the sha256 that the
bundle.json beside it gives. Exit codes: 2 for a wrong command line, 3 for an image, 4 for the model, 6 for what is
installed, 7 for the disk.

It imports nothing of zoo. A bundle has all of it in one file, ``zoo_runtime.py``, and zoo itself prepares images with
these same functions, so that the preprocessing of training and of deployment cannot differ.

An image file becomes the network's input thus: the first frame, turned upright by its EXIF orientation; grey of more
than 8 bits brought to 8; transparency laid over white; converted to grey or RGB (CMYK and palettes too); scaled with
antialiased interpolation, first along its width, then along its height, its aspect kept, until it covers height ×
width, or its shorter side is ``scale``, and cropped at the centre (or squashed to that size, whatever its aspect, or
cropped unscaled, with black where it is too small: as the model was trained); its pixels permuted where the model was
trained so; divided by 255, minus mean, over std.

The decision in the model's description says how its outputs become an answer: a class (softmax), labels (sigmoid),
numbers with units (affine), a class for each pixel (pixel_argmax), a vector of length 1 (embedding), or the values as
they are (raw).
"""

from zoo.runtime.answers import UNSEEN, answer_text, cells, columns, printable
from zoo.runtime.batches import BATCH
from zoo.runtime.bundles import INDEX, SEAL, ModelError, parse_index, read_index, sealed_json
from zoo.runtime.command_line import main
from zoo.runtime.decisions import (
    FIELDS,
    NAMES,
    OUTPUT_KINDS,
    REQUIRED,
    SIDES,
    affine,
    chosen,
    decide,
    decision_of,
    linked,
    normalise_rows,
    resize_mask,
    shares,
    sigmoid,
    softmax,
    top,
)
from zoo.runtime.decoding import (
    FORMATS,
    MAX_PIXELS,
    ORIENTATION,
    PIXELS,
    SUFFIXES,
    TURNS,
    OutsideLimitError,
    check_pixels,
    convert,
    deep_kind,
    has_transparency,
    orientation,
    read_image,
    to_8_bits,
    upright,
)
from zoo.runtime.descriptions import FORMATS_OF_BUNDLES, check_description, due_shape, has_shape, wrong_shape
from zoo.runtime.gallery import Gallery, Match, closest, matches, read_gallery
from zoo.runtime.image_files import Found, find_images, is_image
from zoo.runtime.masks import MaskFolder, palette_of, write_masks
from zoo.runtime.opening import INPUT, METADATA_KEY, OUTPUT, Model, file_state, open_model
from zoo.runtime.predicting import CHUNK, Batch, predict, predict_batches, prepare_chunk, split_files
from zoo.runtime.preprocessing import normalise, permute, prepare, preprocessing_steps, read, to_chw
from zoo.runtime.resizing import COVER, CROP, RESAMPLING, SQUASH, cover, crop, fit, fit_whole, resize, scale_and_crop
from zoo.runtime.tables import csv_cell, csv_header, csv_rows, write_csv
from zoo.runtime.versions import OLDEST, SetupError, refuse_older
from zoo.runtime.windows import MOST_OVERLAP, check_window, window_mask, window_starts

__all__ = [
    "BATCH",
    "CHUNK",
    "COVER",
    "CROP",
    "FIELDS",
    "FORMATS",
    "FORMATS_OF_BUNDLES",
    "INDEX",
    "INPUT",
    "MAX_PIXELS",
    "METADATA_KEY",
    "MOST_OVERLAP",
    "NAMES",
    "OLDEST",
    "ORIENTATION",
    "OUTPUT",
    "OUTPUT_KINDS",
    "PIXELS",
    "REQUIRED",
    "RESAMPLING",
    "SEAL",
    "SIDES",
    "SQUASH",
    "SUFFIXES",
    "TURNS",
    "UNSEEN",
    "Batch",
    "Found",
    "Gallery",
    "MaskFolder",
    "Match",
    "Model",
    "ModelError",
    "OutsideLimitError",
    "SetupError",
    "affine",
    "answer_text",
    "cells",
    "check_description",
    "check_pixels",
    "check_window",
    "chosen",
    "closest",
    "columns",
    "convert",
    "cover",
    "crop",
    "csv_cell",
    "csv_header",
    "csv_rows",
    "decide",
    "decision_of",
    "deep_kind",
    "due_shape",
    "file_state",
    "find_images",
    "fit",
    "fit_whole",
    "has_shape",
    "has_transparency",
    "is_image",
    "linked",
    "main",
    "matches",
    "normalise",
    "normalise_rows",
    "open_model",
    "orientation",
    "palette_of",
    "parse_index",
    "permute",
    "predict",
    "predict_batches",
    "prepare",
    "prepare_chunk",
    "preprocessing_steps",
    "printable",
    "read",
    "read_gallery",
    "read_image",
    "read_index",
    "refuse_older",
    "resize",
    "resize_mask",
    "scale_and_crop",
    "sealed_json",
    "shares",
    "sigmoid",
    "softmax",
    "split_files",
    "to_8_bits",
    "to_chw",
    "top",
    "upright",
    "window_mask",
    "window_starts",
    "write_csv",
    "write_masks",
    "wrong_shape",
]
