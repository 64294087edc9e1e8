"""The part of a study that says which images, how many, how noisy, and how augmented."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from tutelage.config.canonical import canonical
from tutelage.config.fields import Count, Strict


class TransformViews(Strict):
    """Augmentation by transforms of torchvision.transforms.v2, applied one after the other."""

    torchvision: Annotated[list[str | dict[str, Any]], Field(min_length=1)] = Field(
        description="each a class's name, or {name: {argument: value}}"
    )

    @model_validator(mode="after")
    def _plain(self) -> TransformViews:
        try:
            canonical(self.torchvision)
        except TypeError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def text(self) -> str:
        """The views as one line, which is part of an identity and can be read back."""
        return f"torchvision:{canonical(self.torchvision)}"


class DataConfig(Strict):
    """The images of a study, how many, how noisy, and how they are augmented."""

    source: str = Field(
        description="a data set's name (digits, cifar10, ...; see `list datasets`), or `files`: "
        "whatever lies at the path"
    )
    path: str | None = Field(
        default=None, description="where the files are; not part of the identity"
    )
    class_names: Annotated[list[str], Field(min_length=2)] | None = Field(
        default=None, description="names of the classes in the order of their labels, for readers"
    )
    classes: Literal["top", "leaf"] = Field(
        default="top",
        description="in image folders, a class is a folder at the top, or each that holds images",
    )
    train: Count | None = Field(
        default=None, description="training images (default: all that remain)"
    )
    validation: Count | None = Field(
        default=None, description="validation images (default: a tenth)"
    )
    test: Count | None = Field(default=None, description="test images (default: all)")
    size: Annotated[int, Field(ge=4, le=512)] | None = Field(
        default=None, description="side in pixels to which images are brought"
    )
    fit: Literal["crop", "stretch"] = Field(
        default="crop",
        description="how an image that is not square gets its size: from its central square, or "
        "whole with its sides changed",
    )
    streamed: bool | None = Field(
        default=None,
        description="whether images stay in their files and are decoded when they are needed, "
        "because they do not fit in memory; needs a folder of images and data.size",
    )
    label_noise: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        default=0.0, description="share of train and validation labels replaced by another class"
    )
    views: str | TransformViews = Field(
        default="none",
        description="augmentation: none, flip, shift-1, crop-4, crop-4-flip, or transforms",
    )

    unlabelled: Count | Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="images without labels, for conditions with `unlabelled: extra`: a folder of "
        "them, or how many of the source's images lose their labels",
    )

    @field_validator("streamed")
    @classmethod
    def _said_or_not(cls, value: bool | None) -> bool | None:
        return value or None  # `false` says what is so anyway, and has no part in an identity

    @model_validator(mode="after")
    def _streamed_to_a_size(self) -> DataConfig:
        if self.streamed and self.size is None:
            raise ValueError("streamed images need a size: set data.size, such as 224")
        if self.streamed and self.fit != "crop":
            raise ValueError("streamed images are cropped: remove data.fit")
        if self.streamed and isinstance(self.unlabelled, str):
            raise ValueError("beside streamed images, data.unlabelled is a number of them")
        return self

    @property
    def views_text(self) -> str:
        """The views as one line; `tutelage.data.parse_views` reads it."""
        return self.views if isinstance(self.views, str) else self.views.text
