"""A trained network with its normalisation inside, which is what all exports are made of."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tutelage.data.world import World
from tutelage.errors import UserError
from tutelage.models.adapted import follow, inner
from tutelage.models.build import Shape, build_model
from tutelage.store import Store
from tutelage.store.arrays import pack
from tutelage.store.files import told
from tutelage.training.trainee import load_weights, weights_of


class Deployed(nn.Module):
    """Maps float32 images [B, C, H, W] of pixels / 255 (0 to 1) to logits [B, classes].

    `network` takes normalised images; `mean` and `std` are float32 [C], of pixels / 255. They are
    buffers here, so that whoever runs the network need not know them.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, mean: NDArray[np.float32], std: NDArray[np.float32]
    ) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.network((images - self.mean) / self.std)


def stored_network(store: Store, model: str, weights: str, world: World) -> nn.Module:
    """The network `model` with the stored weights of that digest, on the CPU, in evaluation mode.

    Raises UserError where the weights are missing or damaged.
    """
    arrays = store.get_arrays(weights)
    if arrays is None:
        raise UserError(
            f"the weights {weights[:12]} of a {model} are missing or damaged.",
            where=str(store.root),
            fix="Run the study again: it computes what is missing.",
        )
    network = build_model(model, world.shape, world.classes, seed=0)
    load_weights(network, arrays)
    follow(network, world.mean, world.std)
    return network.eval()


def write_weights(
    student: Deployed, path: Path, model: str, shape: Shape, class_names: tuple[str, ...]
) -> None:
    """Write the network's own weights, by the names that its author gave them, as safetensors.

    Its metadata hold what `load_student` needs beside them: the model's name, `shape` (H, W, C),
    the classes, mean and std.
    """
    facts = {
        "model": model,
        "shape": list(shape),
        "class_names": list(class_names),
        "mean": student.mean.flatten().tolist(),
        "std": student.std.flatten().tolist(),
    }
    metadata = {"format": "pt", "tutelage": json.dumps(facts)}
    path.write_bytes(pack(weights_of(student.network), metadata))


def load_student(path: str | Path) -> Deployed:
    """The exported network of a student.safetensors, or of the folder that holds it, to go on with
    in PyTorch: float32 images [B, C, H, W] of pixels / 255 to logits. No pickle is read.

    Raises UserError for a file that is missing, damaged, or none of tutelage's.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    path = path / "student.safetensors" if path.is_dir() else path
    with told(path, "read"):
        path.open("rb").close()
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["tutelage"])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        shape, names = tuple(facts["shape"]), facts["class_names"]
        mean, std = (np.array(facts[key], np.float32) for key in ("mean", "std"))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"this is no student that tutelage exported ({error}).",
            where=str(path),
            fix="Export it again, or copy the file again.",
        ) from error
    network = build_model(facts["model"], shape, len(names), seed=0)
    try:
        inner(network).load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            f"the weights are not those of a {facts['model']}.", where=str(path),
            fix="Export it again.",
        ) from error  # fmt: skip
    follow(network, mean, std)
    return Deployed(network, mean, std).eval()
