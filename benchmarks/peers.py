"""The step of the field's toolkits, rebuilt: the yardstick.

RepDistiller, mdistiller and torchdistill train the same way: a DataLoader over PIL images with
torchvision's per-image transforms, an fp32 step in NCHW memory, and the teacher's forward pass anew
for every student. Within noise they are equally fast, so one rebuilt loop stands for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from tutelage.data.torchvision import import_transforms
from tutelage.data.views import Views, parse_views

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class PilImages(Dataset):
    """Images uint8 [N, H, W, C] as torchvision's data sets have them: PIL, transformed one by one.

    `views` is what a study calls `data.views`, here as torchvision's random transforms. What comes
    in from outside is black, as is their custom; to reflect would take them longer.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        views: str = "shift-4-flip",
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
    ) -> None:
        import_transforms()  # makes torchvision importable beside a CPU build of PyTorch
        from torchvision import transforms

        self.images, self.labels = images, labels
        parsed = parse_views(views)
        assert isinstance(parsed, Views), "these views have no like in the peers' loaders"
        steps = []
        if parsed.pad:
            steps.append(transforms.RandomCrop(images.shape[1:3], parsed.pad))
        if parsed.flip:
            steps.append(transforms.RandomHorizontalFlip())
        steps += [transforms.ToTensor(), transforms.Normalize(mean, std)]
        self.transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        pixels = self.images[index]
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        return self.transform(image), int(self.labels[index])  # pyright: ignore[reportReturnType]


def batches(images: PilImages, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches without end. The loader works in this process: there is one core for everything."""
    loader = DataLoader(images, size, shuffle=True, drop_last=True)
    while True:
        yield from loader


class Peer:
    """One student in the making; `teacher` is None for a student from scratch."""

    def __init__(self, student: nn.Module, teacher: nn.Module | None) -> None:
        self.student = _nchw(student).train()
        self.teacher = teacher and _nchw(teacher).eval()
        self.optimizer = torch.optim.SGD(
            student.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4
        )

    def step(self, images: Tensor, labels: Tensor) -> None:
        """One step of Hinton's KD with temperature 4 and weights 0.1 and 0.9."""
        logits = self.student(images)
        loss = F.cross_entropy(logits, labels)
        if self.teacher is not None:
            with torch.no_grad():
                target = self.teacher(images)
            soft = F.kl_div(
                F.log_softmax(logits / 4, 1), F.softmax(target / 4, 1), reduction="batchmean"
            )
            loss = 0.1 * loss + 0.9 * 16 * soft
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        loss.item()  # as their progress bars ask in every step

    @torch.no_grad()
    def validate(self, images: Tensor, labels: Tensor) -> float:
        """The share of a batch that the student has right, in evaluation mode."""
        logits = self.student.eval()(images)
        self.student.train()
        return (logits.argmax(1) == labels).float().mean().item()


def _nchw(model: nn.Module) -> nn.Module:
    return model.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
