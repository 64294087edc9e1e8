"""Every loss of logits by the names of studies, bare and standardised; and logits for them."""

from __future__ import annotations

import torch

from tutelage.losses import logit_loss


def pair(images=6, classes=5, seed=0, scale=3.0):
    """Logits of a student and a teacher, float64, and labels."""
    generator = torch.Generator().manual_seed(seed)
    both = torch.randn(2, images, classes, generator=generator, dtype=torch.float64) * scale
    return both[0], both[1], torch.randint(0, classes, (images,), generator=generator)


BARE = {
    "kd": logit_loss('{"kd":{"temperature":4}}'),
    "mse": logit_loss('{"mse":{}}'),
    "annealing": logit_loss('{"annealing":{"factor":0.3}}'),
    "dist": logit_loss('{"dist":{}}'),
    "dkd": logit_loss('{"dkd":{}}'),
}
STANDARDISED = {
    "standardised kd": logit_loss('{"kd":{"temperature":2},"standardise":true}'),
    "standardised mse": logit_loss('{"mse":{},"standardise":true}'),
    "standardised annealing": logit_loss('{"annealing":{"factor":0.3},"standardise":true}'),
    "standardised dist": logit_loss('{"dist":{},"standardise":true}'),
    "standardised dkd": logit_loss('{"dkd":{},"standardise":true}'),
}
ALL = BARE | STANDARDISED
HALVES = [torch.float16, torch.bfloat16]
