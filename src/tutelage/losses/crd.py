"""Contrastive representation distillation (Tian, Krishnan and Isola 2020, arXiv 1910.10699)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutelage.losses.checks import check_positive
from tutelage.losses.feature_checks import checked_features, uniform

NEGATIVES = 16384  # what the original takes


class CRD(nn.Module):
    """The NCE loss of telling an image's own embedding by the other network from those of others.

    Two linear layers embed the features of student and teacher, each embedding of length 1. Two
    memories keep, for every image of the training set, the embedding of either network as it was
    when the image was seen last, mixed (`momentum` of the old) and again of length 1. With an
    anchor a of one network and the memory m_j of the other, P_j = exp(a . m_j / temperature) / Z,
    and h_j = P_j / (P_j + k / N); the loss is the mean over images of -log h of the image itself
    minus the sum of log(1 - h) over k negatives, for the student as anchor plus for the teacher:
    a scalar, in nats (equation 18, and 9 to 12). N are the images of the training set; Z is set for
    each of both in the first call, N times the mean of exp(...) there, and stays, as in the
    original's code. Its 10^-7 beside k / N is left out, because logarithms are computed directly.
    Features are [B, ...], flattened. No gradient reaches the teacher, but both layers are trained.
    Half precision is computed in float32.

    The original's weights: 0.8 for this loss, 1 for the cross-entropy; features before the last
    linear layer; 128 `dimensions`, 16384 `negatives`, temperature 0.07, momentum 0.5.

    Negatives are images of other classes than the anchor's, as the original's default has it (of
    any other image without `labels`), drawn uniformly without replacement, k of them: `negatives`,
    or as many as there are for every class. The original draws for each image of a batch by itself,
    and with replacement where there are too few; here the images of one class in a batch share the
    k that were drawn for their class (without labels, k places of the training set less the image).

    `features` are the sizes of the student's and the teacher's features of one image; `images` is
    N; `labels` int64 [N]. Layers and memories are drawn by `generator`, or PyTorch's own: layers
    uniform within 1 / sqrt(inputs), bias 0; memories uniform within sqrt(3 / dimensions). In
    evaluation mode nothing is remembered.

    Raises ValueError for options that are not above 0 (momentum: in [0, 1)), for labels that are
    not of N images, and where an image has no negative.
    """

    memories: Tensor
    constants: Tensor
    labels: Tensor | None

    def __init__(
        self,
        features: tuple[int, int],
        images: int,
        labels: Tensor | None = None,
        *,
        dimensions: int = 128,
        negatives: int | None = None,
        temperature: float = 0.07,
        momentum: float = 0.5,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_positive("crd", "temperature", temperature)
        check_positive("crd", "number of dimensions", dimensions)
        wanted = NEGATIVES if negatives is None else negatives
        check_positive("crd", "number of negatives", wanted)
        if not 0 <= momentum < 1:
            raise ValueError(f"crd needs a momentum from 0 to below 1, not {momentum}.")
        if labels is not None and labels.shape != (images,):
            raise ValueError(
                f"crd needs labels [{images}], one for each image; they are {list(labels.shape)}."
            )
        alike = 1 if labels is None else int(labels.unique(return_counts=True)[1].max())
        if images <= alike:
            raise ValueError(
                f"crd contrasts images of different classes, and all {images} are of one."
                if labels is not None
                else "crd contrasts an image with others, and there is one alone."
            )
        self.temperature, self.momentum = temperature, momentum
        self.negatives = min(wanted, images - alike)
        layers = [
            uniform(dimensions, size, bound=size**-0.5, generator=generator) for size in features
        ]
        self.student_weight, self.teacher_weight = (nn.Parameter(layer) for layer in layers)
        self.student_bias = nn.Parameter(torch.zeros(dimensions))
        self.teacher_bias = nn.Parameter(torch.zeros(dimensions))
        memories = uniform(
            2, images, dimensions, bound=(3 / dimensions) ** 0.5, generator=generator
        )
        self.register_buffer("memories", memories)  # the student's and the teacher's
        self.register_buffer("constants", torch.zeros(2))  # Z of both anchors; 0: not set yet
        self.register_buffer("labels", labels, persistent=False)  # known to whoever builds it

    def forward(
        self, student: Tensor, teacher: Tensor, index: Tensor, negatives: Tensor | None = None
    ) -> Tensor:
        """The loss of the features of the images at the places `index` int64 [B] of the training
        set; `negatives` int64 [B, k] are places to contrast them with, drawn where left out."""
        student, teacher = checked_features("crd", student, teacher)
        if index.shape != (len(student),) or index.dtype != torch.int64:
            raise ValueError(
                f"crd needs the places int64 [{len(student)}] of the images in the training set; "
                f"they are {str(index.dtype).removeprefix('torch.')} {list(index.shape)}."
            )
        negatives = self.draw(index) if negatives is None else negatives
        ours = _embedded("student", student, self.student_weight, self.student_bias)
        theirs = _embedded("teacher", teacher, self.teacher_weight, self.teacher_bias)
        places = torch.cat((index[:, None], negatives.to(index.device)), 1)
        memories = self.memories.to(ours.dtype, copy=True)  # what is remembered now comes later
        scores = torch.stack(
            [
                (anchor @ memory.T / self.temperature).gather(1, places)
                for anchor, memory in ((ours, memories[1]), (theirs, memories[0]))
            ]
        )
        images = self.memories.shape[1]
        if not bool(self.constants.any()):
            self.constants.copy_(images * scores.detach().exp().mean((1, 2)))
        # log h = -softplus(-x) and log(1 - h) = -softplus(x), where x = log(P N / k).
        noise = negatives.shape[1] / images
        logits = scores - (self.constants.to(scores.dtype) * noise).log()[:, None, None]
        positive, negative = F.softplus(-logits[:, :, 0]), F.softplus(logits[:, :, 1:]).sum(2)
        if self.training:
            self._remember(index, ours.detach(), theirs.detach())
        return (positive + negative).mean(1).sum()

    def draw(self, index: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Negatives int64 [B, k] for the images at `index`, by `generator` (of the CPU) or
        PyTorch's own; on the CPU."""
        index, images = index.cpu(), self.memories.shape[1]
        if self.labels is None:
            drawn = torch.randperm(images - 1, generator=generator)[: self.negatives]
            return drawn + (drawn >= index[:, None])
        labels = self.labels.cpu()
        classes = labels[index]
        found = torch.empty(len(index), self.negatives, dtype=torch.int64)
        for one in classes.unique().tolist():
            others = (labels != one).nonzero().squeeze(1)
            order = torch.randperm(len(others), generator=generator)[: self.negatives]
            found[classes == one] = others[order]
        return found

    @torch.no_grad()
    def _remember(self, index: Tensor, *embeddings: Tensor) -> None:
        for memory, embedding in zip(self.memories, embeddings, strict=True):
            mixed = torch.lerp(embedding.to(memory.dtype), memory[index], self.momentum)
            memory.index_copy_(0, index, F.normalize(mixed, dim=1))


def _embedded(who: str, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    rows = features.flatten(1)
    if rows.shape[1] != weight.shape[1]:
        raise ValueError(
            f"this layer embeds {weight.shape[1]} features of an image; the {who}'s are "
            f"{list(features.shape)}."
        )
    return F.normalize(F.linear(rows, weight.to(rows.dtype), bias.to(rows.dtype)), dim=1)
