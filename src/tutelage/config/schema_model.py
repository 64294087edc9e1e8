"""How a study names a network: built in, of a library, a user's own; with weights from outside.

As one text: `NAME`, `NAME@WEIGHTS`, and what more is to be said as JSON behind a space, such as
`timm:resnet18@teacher.safetensors {"size":224}`. A study file may write the same as a mapping.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from tutelage.config.canonical import canonical
from tutelage.config.fields import Count, Positive, Strict

PRETRAINED = "pretrained"
LOGITS = "logits"  # the name of a teacher of whom only a file of logits is there: logits@FILE
_CODE = "code"  # what identifies the code of a network that is not built in; never a user's to set
_LIBRARIES = ("timm", "torchvision", "hf")


class ModelConfig(Strict):
    """A network, where its weights come from, and how images get in and logits out.

    Images are given to the network as the study's normalised ones, unless `mean` and `std` (of
    pixels from 0 to 1, one number a channel) say how it wants them.
    """

    name: Annotated[str, Field(min_length=1)]
    arguments: dict[str, Any] | None = Field(
        default=None, description="keyword arguments of the function that builds it"
    )
    weights: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="a file to start from (safetensors, or a state_dict of PyTorch), or "
        "`pretrained`",
    )
    head: Literal["replace"] | None = Field(
        default=None, description="replace: a new last layer, for this study's classes"
    )
    mean: list[float] | None = None
    std: list[Positive] | None = None
    size: Count | Annotated[list[Count], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="pixels, or [height, width], to which images are resized for it"
    )
    channels: Count | None = Field(
        default=None, description="channels that it takes; grey images are repeated into them"
    )
    class_order: list[str | int | None] | None = Field(
        default=None,
        description="the class of each of its outputs, by name or by number from 0; null for an "
        "output that is none of this study's classes",
    )
    version: str | None = Field(
        default=None,
        description="stands for the code of your own model: results stay valid until it changes",
    )

    @model_validator(mode="after")
    def _together(self) -> ModelConfig:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std go together")
        if self.mean is not None and self.std is not None and len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} numbers and std {len(self.std)}")
        if self.name.startswith("{") or " {" in self.name:
            raise ValueError("a name has no braces")
        return self

    @property
    def library(self) -> str | None:
        """Where the network is defined: timm, torchvision, hf or own; None: it is built in."""
        before, colon, _ = self.name.partition(":")
        return None if not colon else before if before in _LIBRARIES else "own"

    @property
    def is_bare(self) -> bool:
        """Whether a built-in network gets images as they are, and gives logits as they are."""
        return (
            self.library is None
            and self.name != LOGITS
            and not (self.mean or self.size or self.channels or self.class_order or self.arguments)
        )

    @property
    def text(self) -> str:
        """The one spelling as text."""
        options = self.model_dump(exclude={"name", "weights"}, exclude_none=True)
        if self.class_order is not None:
            options["class_order"] = self.class_order  # its null entries count
        return _joined(self.name, self.weights, {k: v for k, v in options.items() if v != {}})


def read_model(text: str) -> ModelConfig:
    """The network that a text names. Raises ValueError, with a sentence, where it names none."""
    name, weights, options = _split(text)
    options.pop(_CODE, None)
    return _checked(name, weights, options)


def identified(config: ModelConfig, code: str | None) -> str:
    """The text that identifies a network: with the mark of its code, where it is not built in."""
    name, weights, options = _split(config.text)
    return _joined(name, weights, options | ({_CODE: code} if code is not None else {}))


def _joined(name: str, weights: str | None, options: dict[str, Any]) -> str:
    text = name if weights is None else f"{name}@{weights}"
    return f"{text} {canonical(options)}" if options else text


def _split(text: str) -> tuple[str, str | None, dict[str, Any]]:
    front, brace, rest = text.partition(" {")
    options: Any = {}
    if brace:
        try:
            options = json.loads("{" + rest)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"what follows the name of a model is no JSON: {error}") from None
    name, at, weights = front.partition("@")
    if at and not weights:
        raise ValueError("after @ comes the file of the weights, or pretrained")
    return name, weights or None, options


def _checked(name: str, weights: str | None, options: dict[str, Any]) -> ModelConfig:
    given = {"name": name} | ({"weights": weights} if weights is not None else {})
    if twice := set(given) & set(options):
        raise ValueError(f"{min(twice)} is said twice")
    try:
        return ModelConfig.model_validate(given | options)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "model"
        raise ValueError(f"{key}: {first['msg'].removeprefix('Value error, ')}") from None


def _as_text(value: str | ModelConfig) -> str:
    """What a study file says, as text; the name of a built-in network as it was written."""
    if isinstance(value, str):
        if "@" not in value and " {" not in value:
            return value
        value = _checked(*_split(value))
    try:
        return value.text
    except TypeError as error:
        raise ValueError(f"arguments: {error}; use numbers, words, lists and mappings") from None


if TYPE_CHECKING:
    Model = str
else:
    Model = Annotated[
        Annotated[str, Tag("text")] | Annotated[ModelConfig, Tag("mapping")],
        Discriminator(lambda value: "mapping" if isinstance(value, dict | ModelConfig) else "text"),
        AfterValidator(_as_text),
    ]
