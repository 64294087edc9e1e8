"""The `tutelage` command. Verbs import what they need when they run, so that --help is quick."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from tutelage.cli import shipping
from tutelage.errors import UserError, unknown


class _Verbs(TyperGroup):
    """Gives every end of a verb its message and exit code, before Typer gives it another."""

    def invoke(self, ctx: Any) -> Any:
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            code = 2
        except KeyboardInterrupt:
            print("interrupted; everything so far is kept: `run` continues it.", file=sys.stderr)
            code = 130
        except BrokenPipeError:  # whoever read our output has gone, as `head` does
            _hush()
            code = 0
        except OSError as error:  # such as output into a file on a full disk
            _hush()
            where = error.filename or "standard output"
            print(f"error: {where}: {error.strerror or error}.", file=sys.stderr)
            code = 2
        raise typer.Exit(code)


app = typer.Typer(
    name="tutelage",
    cls=_Verbs,
    help="Which teacher, stopped when, with which loss, and is distillation worth it at all?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help; importing what colours it takes longer than all the rest
)
store_app = typer.Typer(help="Look after the store of results.", no_args_is_help=True)
app.add_typer(store_app, name="store")
shipping.add_verbs(app)

StudyArgument = Annotated[
    str, typer.Argument(help="A YAML file, or the name of a built-in study (list studies).")
]
KnownStudy = Annotated[str, typer.Argument(help="A study that was run: its name, id, or `last`.")]
StoreOption = Annotated[
    Path | None,
    typer.Option("--store", help="Folder of results [default: $TUTELAGE_STORE or tutelage-store]."),
]
ScaleOption = Annotated[
    str | None, typer.Option("--scale", help="One of the study's scales, such as mini or full.")
]
DataOption = Annotated[str | None, typer.Option("--data", help="Where the study's images are.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a key: --set recipe.epochs=40 (may be repeated)."),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=0,
        help="Single-thread processes [default: one per core, one for a GPU]; 0: none.",
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]


@app.command()
def run(
    study: StudyArgument,
    scale: ScaleOption = None,
    data: DataOption = None,
    overrides: SetOption = None,
    store: StoreOption = None,
    workers: WorkersOption = None,
    engine: Annotated[str, typer.Option(help="Who executes the runs: local.")] = "local",
    device: DeviceOption = "auto",
    until: Annotated[
        str | None,
        typer.Option("--until", help="`decided`: add replicates while the primary claim is not."),
    ] = None,
    max_replicates: Annotated[
        int | None, typer.Option("--max-replicates", help="With --until: the most there may be.")
    ] = None,
    looks: Annotated[
        str | None,
        typer.Option(
            "--looks",
            help="With --until: how often to look [default: 4]; `open`: at every replicate.",
        ),
    ] = None,
) -> None:
    """Train what is missing of a study, print its results, report."""
    from tutelage.cli import run as verb

    failed = verb.run_study(
        study,
        scale=scale,
        data=data,
        overrides=overrides or [],
        store=store,
        workers=workers,
        engine=engine,
        device=device,
        until=until,
        most=max_replicates,
        looks=looks,
    )
    raise typer.Exit(1 if failed else 0)


@app.command()
def distill(
    student: Annotated[
        str,
        typer.Option("--student", help="The small network: wrn-16-1, timm:NAME, module:function."),
    ],
    teacher: Annotated[
        str,
        typer.Option("--teacher", help="Its teacher; NAME@FILE has weights, and stays as it is."),
    ],
    data: Annotated[
        str, typer.Option("--data", help="Where the images are, or a data set that needs no files.")
    ],
    size: Annotated[
        int | None, typer.Option("--size", help="Side in pixels to which images are brought.")
    ] = None,
    views: Annotated[
        str | None,
        typer.Option(
            "--views", help="Augmentation: none, flip, crop-4-flip [default: by the data]."
        ),
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", min=1)] = 60,
    batch_size: Annotated[int, typer.Option("--batch-size", min=2)] = 64,
    lr: Annotated[float | None, typer.Option("--lr", help="Of AdamW [default: 0.001].")] = None,
    temperature: Annotated[float, typer.Option("--temperature")] = 4.0,
    replicates: Annotated[
        int,
        typer.Option(
            "--replicates", min=1, help="Whole repetitions; intervals take 2, 6 are better."
        ),
    ] = 3,
    fine_tune: Annotated[
        bool, typer.Option("--fine-tune", help="Train the teacher from its weights on this data.")
    ] = False,
    early: Annotated[
        bool, typer.Option(help="Also try the teacher stopped early, where it is trained here.")
    ] = True,
    unlabelled: Annotated[
        str | None,
        typer.Option("--unlabelled", help="A folder of images without labels: also taught on."),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option("--write", help="Write the study into this file instead of running."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Where the student is exported to [default: distill-STUDENT]."
        ),
    ] = None,
    export: Annotated[bool, typer.Option(help="Export the student that was chosen.")] = True,
    store: StoreOption = None,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Distil a student from a teacher, and export the one to take. Students without a teacher are
    trained beside it; which is better is said in the end."""
    from tutelage.cli.distill import distil

    failed = distil(
        student, teacher, data, size=size, views=views, epochs=epochs, batch_size=batch_size, lr=lr,
        temperature=temperature, replicates=replicates, fine_tune=fine_tune, early=early,
        unlabelled=unlabelled, write=write, output=output, export=export, store=store,
        workers=workers, device=device,
    )  # fmt: skip
    raise typer.Exit(1 if failed else 0)


@app.command()
def plan(
    study: StudyArgument,
    scale: ScaleOption = None,
    data: DataOption = None,
    overrides: SetOption = None,
    store: StoreOption = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Show the runs of a study, what they share and what they cost. Trains nothing."""
    from tutelage.cli import look

    look.show_plan(
        study, scale=scale, data=data, overrides=overrides or [], store=store, device=device,
        as_json=json,
    )  # fmt: skip


@app.command()
def status(
    study: Annotated[str | None, typer.Argument(help="One study; without it, all.")] = None,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Show how far the studies in the store are."""
    from tutelage.cli import look

    look.show_status(study, store=store, as_json=json)


@app.command()
def results(
    study: KnownStudy = "last",
    store: StoreOption = None,
    json: JsonOption = False,
    history: Annotated[
        bool, typer.Option("--history", help="With --json: the row of every epoch too.")
    ] = False,
) -> None:
    """Print the results and findings of a study that was run."""
    from tutelage.cli import look

    look.show_results(study, store=store, as_json=json, history=history)


@app.command()
def report(
    study: KnownStudy = "last",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The page's file.")] = None,
    store: StoreOption = None,
) -> None:
    """Write the report: an HTML page, with Markdown and CSV beside it."""
    from tutelage.cli import look

    look.write_report(study, output=output, store=store)


@app.command()
def paper(
    results: Annotated[Path, typer.Option("--results", help="The folder of the records.")] = Path(
        "results/paper"
    ),
    page: Annotated[Path, typer.Option("--page", help="The page's file.")] = Path("docs/paper.md"),
    store: StoreOption = None,
) -> None:
    """Write what came of the paper's studies, beside what it says."""
    from tutelage.cli.paper import write_paper

    write_paper(results, page, store)


@app.command(name="list")
def list_things(
    what: Annotated[str, typer.Argument(help="studies, models, losses, datasets or recipes.")],
    json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """List what there is to choose from."""
    from tutelage.cli import look

    look.show_list(what, as_json=json, store=store)


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="A run's id, or the beginning of it.")],
    store: StoreOption = None,
) -> None:
    """Print everything that the store holds of one run, as JSON."""
    from tutelage.cli import look

    look.show_run(run, store=store)


@app.command()
def schema() -> None:
    """Print the JSON schema of study files, for editors."""
    from tutelage.cli import look

    look.show_schema()


@app.command()
def doctor(
    what: Annotated[
        str | None, typer.Argument(help="`losses` checks losses; without it, this machine.")
    ] = None,
    loss: Annotated[
        str | None,
        typer.Argument(help="One loss, or your own as module:function [default: all of tutelage]."),
    ] = None,
    student: Annotated[
        str | None, typer.Option("--student", help="Examines this network with --teacher, --data.")
    ] = None,
    teacher: Annotated[str | None, typer.Option("--teacher", help="See --student.")] = None,
    data: DataOption = None,
    size: Annotated[int | None, typer.Option("--size", help="As in `distill`.")] = None,
    views: Annotated[str | None, typer.Option("--views", help="As in `distill`.")] = None,
    fine_tune: Annotated[bool, typer.Option("--fine-tune", help="As in `distill`.")] = False,
    store: StoreOption = None,
    properties: Annotated[
        str | None,
        typer.Option(
            "--properties",
            help="What your loss declares, with commas: names of properties, or kd for what kd "
            "declares, or all [default: what any loss should have].",
        ),
    ] = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="Your loss takes labels as its third argument.")
    ] = False,
    options: Annotated[
        list[str] | None,
        typer.Option("--set", help="An argument of your loss: temperature=4 (may be repeated)."),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Of the random logits that losses are given.")
    ] = 0,
) -> None:
    """Check this machine, a loss, or a student and its teacher. `doctor`: that this machine
    trains reproducibly; `doctor losses`: that a loss is sound; `doctor --student S --teacher T
    --data D`: that these three go together."""
    if what is None and (student or teacher):
        from tutelage.cli.doctor_pair import examine as examine_pair

        if student is None or teacher is None or data is None:
            raise UserError("--student, --teacher and --data go together.")
        well = examine_pair(student, teacher, data, size=size, views=views, fine_tune=fine_tune)
        raise typer.Exit(0 if well else 1)
    if what is None:
        from tutelage.cli.doctor import examine

        if properties or labels or options or seed:
            raise UserError("these options are those of `tutelage doctor losses`.")
        raise typer.Exit(0 if examine(store) else 1)
    if what != "losses":
        raise unknown("check", what, ["losses"])
    if store is not None:
        raise UserError("`tutelage doctor losses` looks at no store.", fix="Leave out --store.")
    from tutelage.cli.doctor_losses import examine_losses

    passed = examine_losses(
        loss, properties=properties, labels=labels, options=options or [], seed=seed
    )
    raise typer.Exit(0 if passed else 1)


@store_app.command("ls")
def store_ls(store: StoreOption = None, json: JsonOption = False) -> None:
    """List what the store holds, by kind."""
    from tutelage.cli import look

    look.show_store(store, as_json=json)


@store_app.command("verify")
def store_verify(store: StoreOption = None) -> None:
    """Check every checksum in the store. Exit code 1 when something is damaged."""
    from tutelage.cli import look

    raise typer.Exit(0 if look.verify_store(store) else 1)


@store_app.command("merge")
def store_merge(
    other: Annotated[Path, typer.Argument(help="The store to take from; it stays as it is.")],
    store: StoreOption = None,
) -> None:
    """Take over what another store holds. Exit code 1 when some of it is damaged."""
    from tutelage.cli import look

    raise typer.Exit(0 if look.merge_stores(other, store) else 1)


@store_app.command("gc")
def store_gc(
    store: StoreOption = None,
    damaged: Annotated[
        bool, typer.Option("--damaged", help="Also remove what was found damaged and set aside.")
    ] = False,
    cache: Annotated[
        bool, typer.Option("--cache", help="Also remove derived data; they are computed again.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
) -> None:
    """Remove temporary files that killed processes left behind more than a day ago."""
    from tutelage.cli import look

    look.clean_store(store, damaged=damaged, cache=cache, dry_run=dry_run)


def main() -> NoReturn:
    """The entry point. Exit codes: 0 done, 1 a run failed, 2 wrong input, 130 interrupted."""
    signal.signal(signal.SIGTERM, _interrupt)
    warnings.showwarning = _show_warning
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # where there is no sign for ±, a ? will do
    app()
    sys.exit(0)


def _hush() -> None:
    """Nothing more goes to standard output, not even what is still to be flushed at the end."""
    with contextlib.suppress(io.UnsupportedOperation):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


def _show_warning(message: Any, *_: Any, **__: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)
