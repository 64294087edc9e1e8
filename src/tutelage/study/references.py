"""What references are once their networks are trained: a small tree whose leaves are weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tutelage.config.canonical import digest


@dataclass(frozen=True)
class Network:
    """The state of one network: its weights, after `epoch` epochs of its training."""

    model: str
    weights: str
    epoch: int

    @property
    def identity(self) -> str:
        """Names what a student hears."""
        return digest(["state", self.model, self.weights])


@dataclass(frozen=True)
class Scaled:
    """Logits of another reference times a factor."""

    of: Resolved
    factor: float

    @property
    def identity(self) -> str:
        """Names what a student hears."""
        return digest(["scaled", self.factor, self.of.identity])


@dataclass(frozen=True)
class Mean:
    """The mean of the members' logits: up to normalising, the geometric mean of what they
    predict."""

    members: tuple[Resolved, ...]

    @property
    def identity(self) -> str:
        """Names what a student hears."""
        return digest(["mean", [member.identity for member in self.members]])


@dataclass(frozen=True)
class Parts:
    """Networks each of which was trained without one part of the training images: member k speaks
    on part k, and on images that none has seen all of them do, by their mean."""

    members: tuple[Network, ...]

    @property
    def identity(self) -> str:
        """Names what a student hears."""
        return digest(["parts", [member.identity for member in self.members]])


@dataclass(frozen=True)
class Stages:
    """References that are heard one after the other."""

    stages: tuple[Resolved, ...]

    @property
    def identity(self) -> str:
        """Names what a student hears."""
        return digest(["stages", [stage.identity for stage in self.stages]])


Resolved = Network | Scaled | Mean | Parts | Stages


def stages_of(reference: Resolved) -> tuple[Resolved, ...]:
    """What is heard one after the other: the reference itself, where nothing else is said."""
    return reference.stages if isinstance(reference, Stages) else (reference,)


def networks_in(reference: Resolved) -> Iterator[Network]:
    """All networks whose logits a reference has, of every stage."""
    match reference:
        case Network():
            yield reference
        case Scaled():
            yield from networks_in(reference.of)
        case Mean(members) | Parts(members) | Stages(members):
            for member in members:
                yield from networks_in(member)
