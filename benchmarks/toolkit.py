"""torchdistill itself beside the rebuilt step: is the yardstick a fair one?

Its distillation box takes the same networks, the same data set of PIL images and the same loss, and
is stepped as its own example of image classification does.
"""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Iterator
from typing import Any

import torch
from measure import Evidence, evidence, interleaved, middle, random_images, ratio
from peers import Peer, PilImages, batches

from tutelage.data.torchvision import import_transforms
from tutelage.errors import UserError
from tutelage.models.build import build_model

TEACHER, STUDENT = "wrn-40-2", "wrn-16-1"
BATCH, IMAGES, SHAPE, CLASSES = 128, 1280, (32, 32, 3), 10


def measure(quick: bool) -> Evidence | str:
    """Both steps in turns, or a sentence that says why there is nothing to measure."""
    try:
        import_transforms()  # makes torchvision importable beside a CPU build of PyTorch
        from torchdistill.core.distillation import get_distillation_box
    except (ImportError, UserError) as error:
        return f"torchdistill is not measured ({error}); pip install 'tutelage[bench]' brings it."
    logging.getLogger("torchdistill").setLevel(logging.WARNING)
    images = PilImages(*random_images(IMAGES, SHAPE, CLASSES))
    rebuilt = Peer(network(STUDENT), network(TEACHER))
    loader = batches(images, BATCH)
    box = get_distillation_box(
        plain(TEACHER), plain(STUDENT), {"train": images}, configuration(), torch.device("cpu"),
        None, False, 1,
    )  # fmt: skip
    steps = box_steps(box)
    rounds = 5 if quick else 15
    seconds = interleaved(
        {"rebuilt": lambda: rebuilt.step(*next(loader)), "torchdistill": lambda: next(steps)},
        rounds,
    )
    return evidence(
        "seconds of one distilled student's step, loader included: torchdistill, and rebuilt",
        teacher=TEACHER, student=STUDENT, batch=BATCH, rounds=rounds,
        torchdistill=importlib.metadata.version("torchdistill"),
        ratio=ratio(seconds["torchdistill"], seconds["rebuilt"]),
        middle={name: middle(times) for name, times in seconds.items()},
    )  # fmt: skip


def ratios(found: Evidence) -> dict[str, float]:
    """torchdistill's step in steps of the rebuilt one."""
    return {"torchdistill's step in rebuilt steps": found["ratio"]["value"]}


def configuration() -> dict[str, Any]:
    """One stage of Hinton's KD, with temperature 4 and weights 0.1 and 0.9, in its own words."""
    logits = {f"{who}_module_{what}": value for who in ("student", "teacher")
              for what, value in (("path", "."), ("io", "output"))}  # fmt: skip
    kd = {
        "criterion": {"key": "KDLoss", "kwargs": {**logits, "temperature": 4.0, "alpha": 0.1}},
        "weight": 1.0,
    }
    return {
        "num_epochs": 1,
        "train_data_loader": {
            "dataset_id": "train",
            "sampler": {"class_or_func": torch.utils.data.RandomSampler},
            "kwargs": {"batch_size": BATCH, "drop_last": True},
        },
        "teacher": {"forward_proc": "forward_batch_only", "requires_grad": False},
        "student": {"forward_proc": "forward_batch_only"},
        "optimizer": {
            "key": "SGD",
            "kwargs": {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4},
        },
        "criterion": {"key": "WeightedSumLoss", "kwargs": {"sub_terms": {"kd": kd}}},
    }


def box_steps(box: Any) -> Iterator[None]:
    """Steps of the box without end, as the loop around it in its examples has them."""
    epoch = 0
    while True:
        box.pre_epoch_process(epoch=epoch)
        for images, labels, supplement in box.train_data_loader:
            loss = box.forward_process(images, labels, supplement)
            box.post_forward_process(loss)
            loss.item()
            yield
        epoch += 1


def network(name: str) -> torch.nn.Module:
    return build_model(name, SHAPE, CLASSES, 0)


def plain(name: str) -> torch.nn.Module:
    """A network in the memory layout that PyTorch gives by default."""
    return network(name).to(memory_format=torch.contiguous_format)  # pyright: ignore
