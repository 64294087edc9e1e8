"""What every built-in study is predicted to cost at each scale, for `tutelage list studies`.

    python -m benchmarks.study_costs STORE [SOURCE=PATH ...] [STUDY:SCALE ...]

Paces are measured on this machine, as `tutelage plan` does, and the sums written, in core-minutes,
into src/tutelage/studies/costs.json: of all, or of those named. Studies whose data is not named are planned on that of
`cifar10`, if they are of CIFAR-100: its images are as many, and of one size.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tutelage.api import Study
from tutelage.config.load import builtin_studies, load_study, scales_of
from tutelage.errors import UserError
from tutelage.study.cost import predict

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
            source = load_study(name, scale=scale or None).data.source
            overrides = []
            if source == "cifar100" and source not in paths:
                source, overrides = "cifar10", ["data.source=cifar10"]
            try:
                study = Study.load(name, scale=scale or None, overrides=overrides,
                                   data=paths.get(source))  # fmt: skip
                seconds = sum(predict(study.prepare(store, "cpu", keep=False)).values())
            except UserError as error:
                print(f"{name} {scale}: {error}")
                continue
            known.setdefault(name, {})[scale] = float(f"{seconds / 60:.3g}")
            print(f"{name} {scale}: {seconds / 60:.1f} core-minutes", flush=True)
            FILE.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
