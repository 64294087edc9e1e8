"""Golden identities. If a test here fails, you changed identities: every result in every store
would silently be another one, or be trained again. Raise the component's RESULTS_VERSION in
config/chain.py because numbers changed, and then these ids with it; or revert. (The demo's ids
also change with its recipe, its models or its seeds; then alone they may be replaced.)
"""

from __future__ import annotations

import hashlib

import pytest

from tutelage.config.canonical import canonical, derive_seed, digest
from tutelage.config.chain import EpochStep, Start, Trajectory
from tutelage.config.expand import expand
from tutelage.config.load import load_study
from tutelage.config.schema import AdamW, Sgd
from tutelage.study.plan import make_plan


@pytest.mark.parametrize(
    ("value", "golden"),
    [
        (None, "74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b"),
        ([], "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"),
        (
            {"b": [1.0, 5e-4, True], "a": "ü"},
            "77c5d69081950f5867cb210c8541f48f14a8b5b2aab9d6c05ed32b5c70354fe6",
        ),
    ],
)
def test_digests_of_values(value, golden):
    assert digest(value) == golden


def test_derived_seeds():
    assert derive_seed(0, "student", 2, 1, "init") == 1467914547481243085
    assert derive_seed(7, "split", 0) == 7927585358126267227


START = Start(
    data="0" * 64,
    views="crop-4-flip",
    batch_size=128,
    model="wrn-16-1",
    init_seed=11,
    stream_seed=12,
    optimizer=Sgd(),
)
LOSS = canonical({"kd": {"temperature": 4.0}})


def test_a_start_as_text():
    text = (
        '{"results_version":{"data":2,"models":2,"training":1},'
        '"start":{"batch_size":128,"data":"' + "0" * 64 + '","init_seed":11,"model":"wrn-16-1",'
        '"optimizer":{"sgd":{"momentum":0.9,"nesterov":true,"weight_decay":0.0005}},'
        '"stream_seed":12,"views":"crop-4-flip"}}'
    )
    assert Trajectory(START, ()).id == hashlib.sha256(text.encode()).hexdigest()
    assert (
        Trajectory(START, ()).id
        == "b9f59fc91fdfcf804e3de2f13015ce48940fbbe46eea7ab0a18f25956d059c22"
    )


def test_a_trajectory():
    taught = EpochStep(0.1, 0.1, 0.9, LOSS, "1" * 64)
    found = Trajectory(START, (taught, EpochStep(0.02, 1.0)))
    assert found.state_ids[1] == "d91d233fcacd7e57b0f7e246993cfe3995de79536c0decbb9cd01c1ea09ad157"
    assert found.id == "f4d22d773de0f025b4a735434fe07927210a41c07c6259a3842b4778faeeadd0"


def test_a_start_with_every_option_set():
    start = Start(
        data="2" * 64, views="none", batch_size=50, model="plain-8-8-8", init_seed=1, stream_seed=2,
        optimizer=AdamW(), clip_norm=1.0, label_smoothing=0.1, precision="bf16",
        teacher_precision="bf16", mixup=0.2, cutmix=1.0, ema=0.99, stepper="fused", device="cuda",
    )  # fmt: skip
    assert (
        Trajectory(start, (EpochStep(1e-3, 1.0),)).id
        == "49100a45574e9c9cfac18a45ca0de97d6062495820c4a4683805a92e0d2e05e0"
    )


def test_the_demos_first_teacher_and_scratch():
    study = load_study("demo")
    prints = [str(number) * 64 for number in range(study.replicates.count)]
    nodes = make_plan(study, expand(study), prints, "cpu").nodes
    first = next(iter(nodes.values()))
    assert first.key == "r0/teacher/small"
    assert (
        first.trajectory(None).id
        == "2a83d49eebeb7d9b2ef58816c3680e7f7276ac4e5629d9c533b526aed556ae2f"
    )
    assert (
        nodes["r1/scratch/s2"].trajectory(None).id
        == "5e65ac989b705036adce1ad2cfb15b66cf960d07a85d8139d83e77d15f46c613"
    )
    assert (
        nodes["r0/kd/large/s0"].trajectory("3" * 64).id
        == "a3fd28c279a1feece9a350869efc6f1fee098f72c7f0c03b751349723d59e68f"
    )
