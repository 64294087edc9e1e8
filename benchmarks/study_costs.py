"""What every built-in study is predicted to cost at each scale, for `tutelage list studies`.

    python -m benchmarks.study_costs STORE [SOURCE=PATH ...] [STUDY:SCALE ...]

Paces are measured on this machine, as `tutelage plan` does, and the sums written, in core-minutes,
into src/tutelage/studies/costs.json: of all, or of those named. Studies whose data is not named are
planned on that of `cifar10`, if they are of CIFAR-100: its images are as many, and of one size.
Studies of ImageNet at their full scale are planned for its number of images, whatever the folder of
1,000 classes holds, and untrained weights stand for the published ones of their teachers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from safetensors.torch import save_file

from tutelage.api import Study
from tutelage.config.load import builtin_studies, load_study, scales_of
from tutelage.config.schema import StudyConfig
from tutelage.config.schema_model import read_model
from tutelage.errors import UserError
from tutelage.models.build import build_model
from tutelage.study.cost import predict

# ImageNet is counted, not read; a step of it is timed in eighths, which fit into memory.
_IMAGENET = {"train": 1_271_167, "validation": 10_000, "test": 50_000, "classes": 1000}
_AS_IMAGENET = ["data.validation=100", "recipe.batch_size=32"]
FILE = Path(__file__).parents[1] / "src/tutelage/studies/costs.json"


def main(store: str, *sources: str) -> None:
    """Predict and write; a study whose data is not there keeps what was written before."""
    paths: dict[str, str] = dict(source.split("=", 1) for source in sources if "=" in source)
    wanted = [source for source in sources if "=" not in source]
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    for name in sorted(builtin_studies()):
        for scale in scales_of(name) or [""]:
            if wanted and f"{name}:{scale}" not in wanted:
                continue
            config = load_study(name, scale=scale or None)
            source, overrides = config.data.source, []
            as_imagenet = config.data.streamed and scale == "full"
            if source == "cifar100" and source not in paths:
                source, overrides = "cifar10", ["data.source=cifar10"]
            if as_imagenet:
                overrides = _AS_IMAGENET + _with_any_weights(config, Path(store))
            try:
                study = Study.load(name, scale=scale or None, overrides=overrides,
                                   data=paths.get(source))  # fmt: skip
                context = study.prepare(store, "cpu", keep=False)
                if as_imagenet:
                    context.manifest["data"].update(_IMAGENET)
                seconds = sum(predict(context).values())
            except UserError as error:
                print(f"{name} {scale}: {error}")
                continue
            known.setdefault(name, {})[scale] = float(f"{seconds / 60:.3g}")
            print(f"{name} {scale}: {seconds / 60:.1f} core-minutes", flush=True)
            FILE.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


def _with_any_weights(config: StudyConfig, folder: Path) -> list[str]:
    """Overrides that give files of untrained weights to teachers that ask for published ones, which
    a network would be needed for, and which cost as little to train."""
    overrides = []
    for name, teacher in config.teachers.items():
        model = read_model(teacher.model) if teacher.model else None
        if model is None or model.weights != "pretrained":
            continue
        file = folder / f"{model.name.replace(':', '-')}.safetensors"
        if not file.exists():
            network = build_model(model.name, (224, 224, 3), _IMAGENET["classes"], seed=0)
            state = network.state_dict()  # torchvision's names, inside a wrapper of ours
            folder.mkdir(parents=True, exist_ok=True)
            save_file({k.removeprefix("network."): v.contiguous() for k, v in state.items()}, file)
        overrides += [f"teachers.{name}.model.name={model.name}",
                      f"teachers.{name}.model.weights={file}"]  # fmt: skip
    return overrides


if __name__ == "__main__":
    main(*sys.argv[1:])
