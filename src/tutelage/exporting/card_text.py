"""The model card for people: README.md in the layout of Hugging Face, from the card's facts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from tutelage.exporting.parity import INT8_MARGIN
from tutelage.reporting.words import magnitude

Card = Mapping[str, Any]


def card_text(card: Card) -> str:
    """The card as Markdown with YAML front matter."""
    parts = [
        _front(card), _head(card), _figures(card), _load(card), _files(card), _latency(card),
        _training(card), _data(card), _limits(card), _versions(card),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def int8_verdict(check: Mapping[str, Any]) -> str:
    """Whether int8 keeps the test error, in a sentence."""
    cost, images = check["cost"], check["images"]
    told = f"{check['error']:.2f} % against {check['original']:.2f} % on {images} test images"
    if cost > INT8_MARGIN:
        return f"int8 does not keep the error within {INT8_MARGIN:g} points: {told}."
    return f"int8 keeps the error within {INT8_MARGIN:g} points: {told}."


def _front(card: Card) -> str:
    front = {
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "knowledge-distillation", "tutelage"],
        "model_name": f"{card['study']['name']} {card['model']['name']}",
    }
    return f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---"


def _head(card: Card) -> str:
    model, names = card["model"], card["output"]["class_names"]
    height, width = card["input"]["size"]
    colour = "grey" if card["input"]["channels"] == 1 else "colour"
    teacher = card["teacher"]
    taught = f", taught by {teacher['model']}" if teacher else ""
    shown = ", ".join(names[:20]) + (f", ... ({len(names)} in all)" if len(names) > 20 else "")
    return "\n".join(
        [
            f"# {model['name']}{taught}",
            "",
            f"A {model['role']} network of the study `{card['study']['name']}`: it sorts {colour} "
            f"images of {width}x{height} pixels into {len(names)} classes ({shown}).",
            "",
            f"> {card['study']['question']}",
        ]
    )


def _figures(card: Card) -> str:
    model, images, figures = card["model"], card["data"]["images"], card["figures"]
    rows: list[tuple[str, str]] = [
        ("parameters", f"{model['parameters']:,}"),
        ("multiply-adds of an image", magnitude(model["macs"])),
        *(
            (f"{name} error", f"{figures[key]['error']:.2f} % of {images[name]} images")
            for name, key in (("test", "test"), ("validation", "val"))
            if "error" in figures[key]
        ),
    ]
    if "nll" in figures["test"]:
        rows.append(("test likelihood (NLL)", f"{figures['test']['nll']:.3f} nats"))
        rows.append(("test calibration (ECE)", f"{figures['test']['ece']:.1f} %"))
    text = ["## What it is worth", "", _table(["", ""], rows)]
    if card["against_scratch"]:
        text += ["", f"Against the same network without a teacher: {card['against_scratch']}"]
    return "\n".join(text)


def _load(card: Card) -> str:
    files = {facts["format"]: name for name, facts in card["files"].items()}
    _, channels, height, width = card["input"]["shape"]
    onnx = files.get("onnx") or files.get("onnx-int8")
    text = [
        "## How to run it",
        "",
        f"Every file takes float32 `[batch, {channels}, {height}, {width}]` of pixels / 255 (0 to "
        "1) and gives logits; the normalisation is inside. What class k is called is in `card.json`"
        " (`output.class_names`), and in the metadata of the ONNX files.",
    ]
    if onnx:
        text += _code(
            "import numpy as np, onnxruntime",
            f'session = onnxruntime.InferenceSession("{onnx}")',
            f"images = np.zeros((1, {channels}, {height}, {width}), np.float32)  # pixels / 255",
            f'logits = session.run(None, {{"{card["input"]["name"]}": images}})[0]',
            "print(logits.argmax(axis=1))",
        )
    if "torch" in files:
        text += _code(
            "import torch",
            f'student = torch.export.load("{files["torch"]}").module()',
            f"images = torch.zeros(1, {channels}, {height}, {width})  # pixels / 255",
            "print(student(images).argmax(dim=1))",
        )
    if "safetensors" in files:
        text += _code(
            "import tutelage, torch",
            f'student = tutelage.load_student("{files["safetensors"]}")  # an nn.Module',
            f"print(student(torch.zeros(1, {channels}, {height}, {width})).argmax(dim=1))",
        )
    text += ["", "Image files: `tutelage predict FOLDER_OF_THIS_CARD IMAGES`. An image of another "
             f"size is brought to {width}x{height} ({_fit(card)})."]  # fmt: skip
    return "\n".join(text)


def _files(card: Card) -> str:
    rows = []
    for name, facts in card["files"].items():
        check = facts["check"]
        rows.append(
            (f"`{name}`", f"{facts['bytes']:,}", f"{check['difference']:.1e}",
             f"{check['same']:.2f} %", f"{check['error']:.2f} %")
        )  # fmt: skip
    any_check = next(iter(card["files"].values()))["check"]
    text = [
        "## Files, and whether they compute the same",
        "",
        f"Each was run on all {any_check['images']} test images and held against the original, "
        f"whose error is {any_check['original']:.2f} %.",
        "",
        _table(
            ["file", "bytes", "largest difference of a logit", "same class", "test error"], rows
        ),
    ]
    for facts in card["files"].values():
        if facts["format"] == "onnx-int8":
            check = facts["check"]
            text += [
                "",
                f"{int8_verdict(check)} Images on which only int8 is right: {check['gained']}; "
                f"only the original: {check['lost']}. Its ranges are those of "
                f"{card['checks']['calibrated_on']} training images.",
            ]
    return "\n".join(text)


def _latency(card: Card) -> str:
    latency = card["latency"]
    rows = []
    for entry in latency["entries"]:
        cells = []
        for batch in ("batch_1", "batch_64"):
            low, high = entry[batch]["spread_ms"]
            cells.append(f"{entry[batch]['median_ms']:.3g} ({low:.3g} to {high:.3g})")
        rows.append((entry["what"], *cells, str(entry["batch_1"]["calls"])))
    machine = latency["machine"]
    return "\n".join(
        [
            "## How long a call takes",
            "",
            f"One thread of {machine['cpu']} ({machine['system']}); median of n calls after a "
            "warm-up (quartiles), in ms.",
            "",
            _table(["", "1 image", "64 images", "n"], rows),
        ]
    )


def _training(card: Card) -> str:
    training, teacher = card["training"], card["teacher"]
    recipe = training["recipe"]
    optimizer, options = next(iter(recipe["optimizer"].items()))
    rows = [
        ("loss", training["loss"]),
        ("epochs", str(recipe["epochs"])),
        ("batch size", str(recipe["batch_size"])),
        ("optimizer", f"{optimizer} ({_pairs(options)})"),
        ("schedule", _pairs(recipe["schedule"])),
        *((key, f"{recipe[key]:g}") for key in
          ("warmup", "label_smoothing", "mixup", "cutmix", "ema", "swa") if recipe[key]),
        ("precision", recipe["precision"]),
        ("augmentation", training["views"]),
        ("condition", f"`{training['condition']}`, replicate {training['replicate']}, student seed "
         f"{training['seed']}"),
        ("seeds", f"initialisation {training['init_seed']}, stream {training['stream_seed']}"),
        ("run", f"`{training['run']}`"),
    ]  # fmt: skip
    if teacher:
        own = teacher["test_error"]
        error = "" if own is None else f", {own:.2f} % test error"
        stop = "" if teacher["stop"] == "full" else f", stop: {teacher['stop']}"
        rows.insert(0, ("teacher", f"`{teacher['name']}`: {teacher['model']}, "
                        f"{teacher['parameters']:,} parameters{stop}{error}"))  # fmt: skip
    text = ["## How it was trained", "", _table(["", ""], rows)]
    if card["mimicry"]:
        told = ", ".join(f"{name} {value:.3g}" for name, value in card["mimicry"].items())
        text += ["", f"How closely it follows its teacher (KL in nats, agreement in percent): "
                 f"{told}."]  # fmt: skip
    return "\n".join(text)


def _data(card: Card) -> str:
    data, images = card["data"], card["data"]["images"]
    return "\n".join(
        [
            "## Data",
            "",
            f"Source `{data['source']}`: {images['train']} training, {images['validation']} "
            f"validation and {images['test']} test images. Fingerprint of pixels, labels and "
            f"splits: `{data['fingerprint']}`.",
        ]
    )


def _limits(card: Card) -> str:
    return "\n".join(["## Limits", "", *(f"- {limit}" for limit in card["limits"])])


def _versions(card: Card) -> str:
    told = ", ".join(f"{name} {version}" for name, version in card["versions"].items())
    return f"Made on {card['created'][:10]} with {told}. All of this as data: `card.json`."


def _fit(card: Card) -> str:
    if card["input"]["fit"] == "crop":
        return "its largest central square is taken, then reduced or enlarged"
    return "whole, its sides changed"


def _pairs(options: Mapping[str, Any]) -> str:
    told = (f"{key} {json.dumps(value)}" for key, value in options.items() if value is not None)
    return ", ".join(told)


def _code(*lines: str) -> list[str]:
    return ["", "```python", *lines, "```"]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"

    return "\n".join([line(heads), line(["---"] * len(heads)), *map(line, rows)])
