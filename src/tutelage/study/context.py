"""A study in a store: its manifest, its data, its plan, and what its references resolve to.

Nothing here imports PyTorch or trains; what has been computed is looked up.
"""

from __future__ import annotations

import datetime
import itertools
import json
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from tutelage.config.canonical import canonical, digest
from tutelage.config.chain import RESULTS_VERSION, Trajectory
from tutelage.config.design import (
    Expanded,
    MeanRef,
    PartsRef,
    Reference,
    ScaledRef,
    StagesRef,
    StateRef,
    Training,
)
from tutelage.config.expand import expand, with_codes
from tutelage.config.load import validate
from tutelage.config.schema import DataConfig, StudyConfig
from tutelage.data.parts import trained_count, trained_on, without_part
from tutelage.data.sources import load_source, read_in_order
from tutelage.data.world import World, make_world
from tutelage.errors import UserError, unknown
from tutelage.evaluation.metrics import METRIC_VERSION
from tutelage.provenance import machine, versions
from tutelage.store import DamageWarning, Record, Store, atomic_write, read_if_there
from tutelage.study import references
from tutelage.study.checks import check_data, check_names, identify_losses, identify_models
from tutelage.study.plan import Node, Plan, make_plan, teacher_key, world_seeds
from tutelage.study.references import Mean, Network, Parts, Resolved, Scaled, Stages

MANIFEST_SCHEMA = 2
_KEPT = ("created", "versions", "machine", "finished")  # of a study that is run again
_NO_IDENTITY = ("path", "source", "class_names")  # what of `data` says nothing of its pixels


class Diverged(Exception):
    """A reference rests on a training that diverged."""


class Context:
    """One study in one store."""

    def __init__(self, store: Store, manifest: Mapping[str, Any]) -> None:
        self.store, self.manifest = store, manifest
        self.config: StudyConfig = validate(manifest["config"], source="manifest")
        self.expanded: Expanded = with_codes(expand(self.config), manifest.get("losses", {}))
        self.plan: Plan = make_plan(
            self.config, self.expanded, manifest["training_fingerprints"], manifest["device"],
            manifest.get("models"), manifest.get("unlabelled_fingerprints", ()),
        )  # fmt: skip
        # What has been found once; records never change.
        self._trajectories: dict[str, Trajectory] = {}
        self._resolved: dict[tuple[str, int], Resolved] = {}
        self._records: dict[tuple[str, str], Record] = {}

    @property
    def id(self) -> str:
        """The study's id: a digest of its configuration, data and device class."""
        return self.manifest["id"]

    @classmethod
    def create(
        cls, store: Store, config: StudyConfig, device: str, *, keep: bool = True
    ) -> Context:
        """Loads the data, plans, and (with `keep`) writes the manifest into the store.

        Raises UserError for whatever is wrong with the names, the options or the data.
        """
        expanded = expand(config)
        check_names(config, expanded)
        losses = identify_losses(expanded)
        worlds = (_make_world(store, config, r) for r in range(config.replicates.count))
        first = next(worlds)
        given = partial(read_in_order, config.data)
        identities = identify_models(expanded, first, given)
        models = {text: identity.text for text, identity in identities.items()}
        check_data(config, first, models)
        every = [
            (w.training_fingerprint, w.fingerprint, w.test_fingerprint, w.unlabelled_fingerprint)
            for w in itertools.chain([first], worlds)
        ]
        unlabelled = [extra for *_, extra in every if extra is not None]
        marks = [mark[:2] for mark in every]
        manifest = _manifest(config, first, marks, device, models, unlabelled, losses)
        manifest["test_fingerprints"] = [test for *_, test, _ in every]
        if keep:
            for identity in identities.values():
                if identity.weights is not None:
                    store.put_arrays(identity.weights)
            path = store.folder("studies") / f"{manifest['id']}.json"
            if (earlier := _read_manifest(path)) is not None:  # its beginning stays known
                manifest |= {key: earlier[key] for key in _KEPT if key in earlier}
            atomic_write(path, _sealed(manifest))
        return cls(store, manifest)

    def finish(self) -> None:
        """Writes down that all of it was there once, so that it could be judged, and when."""
        if "finished" in self.manifest:
            return
        self.manifest = {**self.manifest, "finished": _now()}
        path = self.store.folder("studies") / f"{self.id}.json"
        atomic_write(path, _sealed(self.manifest))

    @classmethod
    def open(cls, store: Store, study: str) -> Context:
        """The study of that id (or its beginning) or name, the latest of several; or `last`."""
        manifests = list_manifests(store)
        if not manifests:
            raise UserError("holds no study yet.", where=str(store.root),
                            fix="Run one: tutelage run demo.")  # fmt: skip
        name = study.replace("/", "-")  # as the studies in folders are called
        matching = [m for m in manifests if name in ("last", m["name"])] or [
            m for m in manifests if len(study) >= 4 and m["id"].startswith(study)
        ]
        if not matching:
            raise unknown("study", study, {m["name"] for m in manifests}, where=str(store.root))
        return cls(store, matching[-1])

    def world(self, replicate: int) -> World:
        """The data of a replicate. Raises UserError when it is not what the study began with."""
        world = _make_world(self.store, self.config, replicate)
        extra = self.manifest.get("unlabelled_fingerprints")
        mark = extra[replicate] if extra else None
        whole = self.manifest["fingerprints"][replicate]
        if (world.fingerprint, world.unlabelled_fingerprint) != (whole, mark):
            raise UserError("the data has changed since the study began.",
                            where=self.config.data.path, fix="Run the study again.")  # fmt: skip
        return world

    def training_world(self, node: Node) -> World:
        """The data that a node trains on: that of its replicate, perhaps without a part, or with
        images beside it that have no labels."""
        world, training = self.world(node.replicate), node.training
        if training.part is not None:
            return _without(world, *training.part)
        if training.images is None and training.unlabelled is None:
            return world
        return _trained_on(world, training.images, training.unlabelled)

    def trained_count(self, training: Training) -> tuple[int, int]:
        """How many images with labels, and how many without, an epoch of a training draws from."""
        data = self.manifest["data"]
        if training.part is not None:
            part, parts = training.part
            return data["train"] - len(range(part, data["train"], parts)), 0
        extra = data.get("unlabelled", 0)
        return trained_count(data["train"], extra, training.images, training.unlabelled)

    def node(self, key: str) -> Node:
        """The node of that key."""
        return self.plan.nodes[key]

    def trajectory(self, node: Node) -> Trajectory | None:
        """The chain of a node, or None while its teacher is not known. May raise Diverged."""
        if node.key not in self._trajectories:
            identities, teacher = list[str](), node.training.teacher
            if teacher is not None:
                resolved = self.resolve(self.expanded.teachers[teacher].reference, node.replicate)
                if resolved is None:
                    return None
                identities = [stage.identity for stage in references.stages_of(resolved)]
            self._trajectories[node.key] = node.trajectory(*identities)
        return self._trajectories[node.key]

    def run(self, node: Node) -> Record | None:
        """The run record of a node, if it is trained. Raises Diverged for a diverged teacher."""
        trajectory = self.trajectory(node)
        return self._get("run", trajectory.id) if trajectory else None

    def resolve(self, reference: Reference, replicate: int) -> Resolved | None:
        """What a reference is in a replicate, or None while that is not known."""
        key = (canonical(_plain(reference)), replicate)
        if key not in self._resolved:
            found = self._resolve(reference, replicate)
            if found is None:
                return None
            self._resolved[key] = found
        return self._resolved[key]

    def _resolve(self, reference: Reference, replicate: int) -> Resolved | None:
        match reference:
            case ScaledRef():
                key, of = self.scale_id(reference, replicate), self.resolve(reference.of, replicate)
                scale = self.store.get("scale", key) if key else None
                return Scaled(of, scale.result["factor"]) if scale and of else None
            case MeanRef(averaged):
                members = self._resolve_all(averaged, replicate)
                return Mean(members) if members else None
            case StagesRef(stages):
                members = self._resolve_all(stages, replicate)
                return Stages(members) if members else None
            case PartsRef(parts):
                networks = [self._resolve_state(part, replicate) for part in parts]
                known = [network for network in networks if network is not None]
                return Parts(tuple(known)) if len(known) == len(parts) else None
            case StateRef():
                return self._resolve_state(reference, replicate)

    def _resolve_all(
        self, each: tuple[Reference, ...], replicate: int
    ) -> tuple[Resolved, ...] | None:
        found = [self.resolve(reference, replicate) for reference in each]
        known = [resolved for resolved in found if resolved is not None]
        return tuple(known) if len(known) == len(found) else None

    def _resolve_state(self, reference: StateRef, replicate: int) -> Network | None:
        node = self.node(teacher_key(replicate, reference.training))
        trajectory, run = self.trajectory(node), self.run(node)
        if trajectory is None or run is None:
            return None
        state = None
        if isinstance(reference.at, int):
            state = self.store.get("state", trajectory.state_ids[reference.at])
        if state is None and run.result["status"] == "diverged":
            raise Diverged(node.key)
        blobs, epoch = run.result["blobs"], run.result["epochs"]
        if reference.at == "best":
            weights, epoch = blobs["best"], run.result["best_epoch"]
        elif reference.at == "final":
            weights = blobs["final"]
        elif state is None:
            return None
        else:  # what a training did after its stop does not matter, not even that it diverged
            weights, epoch = state.result["blobs"]["weights"], reference.at
        return Network(node.start.model, weights, epoch)

    def scale_id(self, reference: ScaledRef, replicate: int) -> str | None:
        """The id of the record of a scaled reference's factor, once its parts are known."""
        parts = [reference.of, reference.entropy_of] if reference.entropy_of else [reference.of]
        known = [self.resolve(part, replicate) for part in parts]
        if any(part is None for part in known):
            return None
        identities = [part.identity for part in known if part]
        version = RESULTS_VERSION["teachers"]
        return digest(["scale", version, identities, reference.temperature, self._data(replicate)])

    def evaluation(self, model: str, weights: str, replicate: int) -> Record | None:
        """The evaluation of a state on a replicate's splits, if there is one."""
        return self._get("evaluation", self.evaluation_id(model, weights, replicate))

    def evaluation_id(self, model: str, weights: str, replicate: int) -> str:
        """The id of that record."""
        versions = [METRIC_VERSION, RESULTS_VERSION["models"], self.manifest["device"]]
        return digest(["evaluation", versions, model, weights, self._data(replicate)])

    def figures_id(self, reference: Resolved, replicate: int) -> str:
        """The id of the record of the figures of a reference that is more than one network."""
        versions = [METRIC_VERSION, RESULTS_VERSION["models"], self.manifest["device"]]
        return digest(["reference", versions, reference.identity, self._data(replicate)])

    def mimicry_id(self, model: str, weights: str, teacher: Resolved, replicate: int) -> str:
        """The id of the record that compares a state with a reference, of several the last."""
        evaluation = self.evaluation_id(model, weights, replicate)
        identity = references.stages_of(teacher)[-1].identity
        return digest(["mimicry", METRIC_VERSION, evaluation, identity])

    def _data(self, replicate: int) -> str:
        return self.manifest["fingerprints"][replicate]

    def _get(self, kind: str, record_id: str) -> Record | None:
        """A record, remembered once it exists."""
        if (kind, record_id) not in self._records:
            found = self.store.get(kind, record_id)
            if found is None:
                return None
            self._records[kind, record_id] = found
        return self._records[kind, record_id]


def list_manifests(store: Store) -> list[dict[str, Any]]:
    """The manifests of all studies in a store, the latest last; damaged ones with a warning."""
    read = (_read_manifest(path) for path in store.folder("studies").glob("*.json"))
    return sorted((m for m in read if m is not None), key=lambda manifest: manifest["started"])


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _sealed(manifest: Mapping[str, Any]) -> bytes:
    """A manifest as it is stored, with its checksum."""
    seal = {"schema": MANIFEST_SCHEMA, "sha256": digest(manifest)}
    return json.dumps(seal | {"manifest": manifest}, indent=1).encode()


def _read_manifest(path: Path) -> dict[str, Any] | None:
    """A manifest; None when there is none, or none of this version, of which a warning tells."""
    data = read_if_there(path)
    if data is None:
        return None
    problem = "is damaged"
    with suppress(ValueError, TypeError, KeyError):
        document = json.loads(data)
        schema, manifest = document["schema"], document["manifest"]
        if type(schema) is int and schema > MANIFEST_SCHEMA:
            raise UserError("this study was begun by a newer version of tutelage.",
                            where=str(path), fix="Install it, or use another store.")  # fmt: skip
        if schema == MANIFEST_SCHEMA and document["sha256"] == digest(manifest):
            return manifest
        problem = "is of an older version" if schema != MANIFEST_SCHEMA else problem
    message = f"{path} {problem}; running its study again writes it anew and keeps its runs."
    warnings.warn(message, DamageWarning, stacklevel=3)
    return None


@lru_cache(maxsize=4)
def _without(world: World, part: int, parts: int) -> World:
    return without_part(world, part, parts)


@lru_cache(maxsize=8)
def _trained_on(world: World, images: str | None, unlabelled: str | None) -> World:
    return trained_on(world, images, unlabelled)


@lru_cache(maxsize=1)
def _source(store: Store, data: str) -> Any:
    return load_source(DataConfig.model_validate_json(data), store.cache_file)


@lru_cache(maxsize=2)
def _world(store: Store, data: str, split_seed: int, noise_seed: int) -> World:
    config = DataConfig.model_validate_json(data)
    return make_world(_source(store, data), config, split_seed, noise_seed)


def _make_world(store: Store, config: StudyConfig, replicate: int) -> World:
    return _world(store, config.data.model_dump_json(), *world_seeds(config, replicate))


def _manifest(
    config: StudyConfig, world: World, fingerprints: list[tuple[str, str]], device: str,
    models: Mapping[str, str], unlabelled: list[str], losses: Mapping[str, str],
) -> dict[str, Any]:  # fmt: skip
    """`fingerprints` are those of each replicate: for training, and of all splits; `models` the
    texts that identify networks, by those of the study, where both differ; `unlabelled` the
    fingerprints of extra images, where there are some; `losses` the marks of functions."""
    form = config.model_dump(mode="json", exclude_none=True)
    now = _now()
    # The same pixels are the same data, in whatever format they came.
    data = {key: value for key, value in form["data"].items() if key not in _NO_IDENTITY}
    if unlabelled:
        data["unlabelled"] = unlabelled
    identity = form | {"data": data}
    # The ids of studies without any stay as they are.
    others = [*([dict(models)] if models else []), *([{"losses": losses}] if losses else [])]
    return {
        # As JSON, because a canonical form would take 1 epoch and 1.0 of all epochs for the same.
        "id": digest([json.dumps(identity, sort_keys=True), fingerprints, device, *others])[:16],
        "name": config.name,
        "config": form,
        "device": device,
        "training_fingerprints": [training for training, _ in fingerprints],
        "fingerprints": [whole for _, whole in fingerprints],
        "data": {
            "train": len(world.train.labels),
            "validation": len(world.validation.labels),
            "test": len(world.test.labels),
            **({} if world.unlabelled is None else {"unlabelled": len(world.unlabelled)}),
            "classes": world.classes,
            "class_names": list(world.class_names),
            "shape": list(world.shape),
        },
        "costs": _costs(config, world, models),
        **({"models": dict(models)} if models else {}),
        **({"losses": dict(losses)} if losses else {}),
        **({"unlabelled_fingerprints": unlabelled} if unlabelled else {}),
        "created": now,
        "started": now,
        "versions": versions(),
        "machine": machine(),
    }


def _costs(
    config: StudyConfig, world: World, models: Mapping[str, str]
) -> dict[str, dict[str, int]]:
    """Parameters and multiply-adds of one image, by model; kept because they need PyTorch."""
    from tutelage.models.cost import model_cost

    expanded = expand(config)
    trainings = (*expanded.trainings.values(), *expanded.conditions.values())
    costs = {
        t.model: model_cost(models.get(t.model, t.model), world.shape, world.classes)
        for t in trainings
    }
    return {name: {"parameters": c.parameters, "macs": c.macs} for name, c in costs.items()}


def _plain(reference: Reference) -> Any:
    return [type(reference).__name__, asdict(reference)]
