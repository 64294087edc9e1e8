"""What a run hears of its teacher: from a resolved reference to signals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from tutelage.config.canonical import digest
from tutelage.config.design import MeanRef, PartsRef, Reference, ScaledRef, StateRef, stages_of
from tutelage.config.schema_losses import FEATURE_METHODS
from tutelage.data.parts import parts_of
from tutelage.data.views import Views, parse_views
from tutelage.data.world import World
from tutelage.models.adapted import Adapted, inner
from tutelage.models.features import usual_paths
from tutelage.models.logged import LoggedLogits
from tutelage.study import references
from tutelage.study.context import Context
from tutelage.study.hearing import Hearings
from tutelage.study.plan import Node
from tutelage.study.references import Mean, Network, Parts, Resolved, Scaled
from tutelage.teachers.bank import Bank
from tutelage.teachers.signals import (
    EpochSignal,
    FeatureSignal,
    LiveSignal,
    MeanSignal,
    PartsSignal,
    PlainSignal,
    ScaledSignal,
    Table,
    TableSignal,
)
from tutelage.training.run import make_stream
from tutelage.training.stepper import Signal

PLAIN = Views(pad=0, reflect=False, flip=False)


@dataclass(frozen=True)
class Listener:
    """The run of a node of the plan, about to be taught on the images of `world`.

    `load` gives the network of a state.
    """

    context: Context
    node: Node
    world: World
    load: Callable[[Network], nn.Module]

    def signals(self, reference: Reference, resolved: Resolved) -> dict[str, Signal]:
        """The signals of what is heard in turn, by identity, each asking its networks least."""
        turns = zip(stages_of(reference), references.stages_of(resolved), strict=True)
        return {found.identity: self._signal(turn, found) for turn, found in turns}

    def _signal(self, reference: Reference, resolved: Resolved) -> Signal:
        match reference, resolved:
            case StateRef(), Network():
                return self._network(reference, resolved)
            case ScaledRef(of), Scaled(base, factor):
                return ScaledSignal(self._signal(of, base), factor)
            case MeanRef(averaged), Mean(members):
                pairs = zip(averaged, members, strict=True)
                return MeanSignal([self._signal(*pair) for pair in pairs])
            case PartsRef(parts), Parts(members):
                signals = [self._network(*pair) for pair in zip(parts, members, strict=True)]
                part = parts_of(self.world.train.labels, len(signals))
                device = self.node.start.device
                return PartsSignal(signals, torch.from_numpy(part).to(device))
        raise AssertionError(f"a {type(reference).__name__} resolves to its own kind")

    def _network(self, state: StateRef, network: Network) -> Signal:
        start, context, world = self.node.start, self.context, self.world
        precision, bank = start.teacher_precision, Bank(context.store)
        model = self.load(network).to(start.device)
        if features := self.node.training.features:
            paths = {
                name: options.teacher or usual_paths(model, FEATURE_METHODS[name].reads)
                for name, options in features.items()
            }
            return FeatureSignal(model, paths, precision)
        if isinstance(inner(model), LoggedLogits):  # whatever view the student sees
            plain = Table(bank, network.identity, world, PLAIN, start.device)
            return PlainSignal(plain.load(model)[0])
        live = LiveSignal(model, precision)
        # The same weights say something else where images get in, or logits out, in another way.
        heard = network.identity if isinstance(model, Adapted) else network.weights
        how, views = Hearings(context).of(self.node, state).how, parse_views(start.views)
        if how == "table" and isinstance(views, Views):
            table = Table(bank, heard, world, views, start.device, precision)
            return TableSignal(table.load(model))
        if how == "epochs":
            stream = make_stream(start, world)
            parts = [world.training_fingerprint, start.views, start.batch_size, start.stream_seed]
            options = [start.mixup, start.cutmix, start.device, precision]
            key = digest([heard, *parts, *options])
            return EpochSignal(live, bank, key, len(world.train), world.classes, stream)
        return live
