"""Lets torchmetrics, which is a reference here, import torchvision where that is installed."""

from __future__ import annotations

from contextlib import suppress

from tutelage.data.torchvision import import_transforms
from tutelage.errors import UserError

with suppress(UserError):
    import_transforms()
