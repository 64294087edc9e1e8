"""The sections of docs/speed.md: each makes Markdown of one benchmark's evidence."""

from __future__ import annotations

from collections.abc import Callable

import end_to_end
import fused as fused_students
import parts as small_parts
import steps as student_steps
from charts import shares
from measure import Evidence
from wording import against, below, paragraph, percent, span, table, times


def steps(found: Evidence) -> str:
    """A student's step in every way, pair by pair."""
    text = "## A student's step\n\n" + paragraph(
        "`live`: the teacher is asked once a batch, for all K students that see it. `replay`: its "
        "logits of these views are read from the bank. `bf16`: students in bfloat16 autocast, "
        "teacher folded and in bfloat16; `fp32` is exact. The peers ask anew for every student, "
        "so K changes nothing for them. Each side has a process of its own, ours one like the "
        "workers of a study."
    )
    for pair in found["pairs"]:
        text += paragraph(
            f"**{pair['teacher']} → {pair['student']}**, batch {found['batch']} of 32×32×3, "
            f"n = {found['rounds']} rounds{_occasions(found)}. Of the peers' distilled step the "
            f"teacher takes {percent(pair['teacher_share'])}."
        ) + _step_table(pair)
    return text


def _occasions(found: Evidence) -> str:
    count = found.get("occasions", 1)
    return f" on {count} occasions" if count > 1 else ""


def _step_table(pair: Evidence) -> str:
    goals, rows = student_steps.GOALS.get(pair["student"], {}), []
    for name, figures in pair["middle"].items():
        faster, goal = pair["ratios"].get(name), goals.get(name)
        rows.append([name, span(figures, 1e3, 0), times(faster) if faster else "",
                     against(faster["value"], *goal) if faster and goal else ""])  # fmt: skip
    return table(["way", "ms a student's step", "times the peers", "goal (stretch)"], rows)


def torchdistill(found: Evidence) -> str:
    """Whether the rebuilt step is a fair yardstick."""
    rows = [[name, span(figures, 1e3, 0)] for name, figures in found["middle"].items()]
    return (
        "## The yardstick against torchdistill itself\n\n"
        + paragraph(
            f"torchdistill {found['torchdistill']}, its distillation box stepped as its examples "
            f"do, takes {times(found['ratio'])} the rebuilt step ({found['teacher']} → "
            f"{found['student']}, batch {found['batch']}, n = {found['rounds']} rounds)."
        )
        + table(["step", "ms"], rows)
    )


def parts(found: Evidence) -> str:
    """Views and replay."""
    made, replay = found["augmentation"], found["replay"]
    most = small_parts.GOALS["augmentation, us an image"]
    share = small_parts.GOALS["replay, share of a step"]
    rows = [
        ["views (crop-4-flip) and normalising, µs an image", span(made["middle"]["ours"], 1, 1),
         below(made["middle"]["ours"]["median"], most, "{:.0f} µs")],
        ["the same by the peers' loader, µs an image", span(made["middle"]["peers"], 1, 0), ""],
    ]  # fmt: skip
    for name, way in replay["ways"].items():
        met = below(way["share"], share, "{:.0%}")
        rows.append([f"logits of a batch from a bank ({name}), µs", span(way["middle"], 1e6, 0),
                     f"{percent(way['share'], 2)} of a step; {met}"])  # fmt: skip
    return (
        "## Views and replay\n\n"
        + paragraph(
            f"Batch {found['batch']}, n = {found['rounds']} rounds. Views are "
            f"{made['ratio']['value']:.0f} times faster than the peers' loader. The step that "
            "replay is a share of is the shortest there is, "
            f"{replay['student']} in {replay['precision']}: {span(replay['step'], 1e3, 0)} ms."
        )
        + table(["part", "median", "goal"], rows)
    )


def profile(found: Evidence) -> str:
    """Where the step goes, in a plot, a table and words."""
    rows = {f"{row['student']}, {row['precision']}": row for row in found["steps"]}
    of = {name: shares(row) for name, row in rows.items()}
    names = dict.fromkeys(part for parts in of.values() for part in parts)
    lines = [[name, *(percent(parts.get(name, 0.0), 1) for parts in of.values())]
             for name in names]  # fmt: skip
    lines += [
        ["best step, ms", *(f"{1e3 * row['step']['best']:.0f}" for row in rows.values())],
        ["ceiling, of the best step", *(percent(r["ceiling"]["share"], 1) for r in rows.values())],
    ]
    text = (
        "## Where a student's step goes\n\n"
        + paragraph(
            "The ceiling is what the step's convolutions take by themselves: each measured alone "
            "and hot in the cache, forward, to the input and to the weights, the best of "
            f"{found['repeats']} times. The parts are those of profiled steps, each at its least "
            f"(batch {found['batch']}, replayed logits)."
        )
        + "![Parts of a student's step](speed-profile.svg)\n\n"
    )
    words = []
    for name, parts in of.items():
        above = sorted(((share, part) for part, share in parts.items() if share >= 0.005),
                       reverse=True)  # fmt: skip
        listed = "; ".join(f"{part} {percent(share, 1)}" for share, part in above
                           if part != "bare convolutions")  # fmt: skip
        words.append(f"- {name}: the ceiling is {percent(parts['bare convolutions'], 1)} of the "
                     f"profiled step. Above it: {listed}.\n")  # fmt: skip
    explained = "\n" + paragraph(_ABOVE_THE_CEILING)
    return text + table(["part", *of], lines) + "".join(words) + explained


_ABOVE_THE_CEILING = (
    "`Convolutions, above that` is how much longer the same convolutions take inside the step, "
    "where the tensors of other layers pass through the cache in between. BatchNorm reads and "
    "writes every activation several times, forward and backward; activations (in place) and "
    "shortcuts do so too, and autograd adds gradients that meet at a shortcut. Python and "
    "dispatch is what no operation spends: a few milliseconds whatever the network, little here, "
    "and most of the step of a tiny one. Data, loss, optimizer and replay are in `the rest`."
)


def fused(found: Evidence) -> str:
    """Tiny students side by side."""
    rows = []
    for row in found["students"]:
        height, width, channels = row["shape"]
        goal = (against(row["ratio"]["value"], fused_students.GOAL) if row["tiny"]
                else "none: a study trains it eagerly")  # fmt: skip
        rows.append([f"{row['model']}, {height}×{width}×{channels}",
                     *(span(row["middle"][side], 1e6, 0) for side in ("eager", "fused")),
                     times(row["ratio"]), goal])  # fmt: skip
    return (
        "## Tiny students, fused\n\n"
        + paragraph(
            f"{found['group']} students side by side in one fused network against the same "
            f"{found['group']} one after the other, both fp32 and ours, each with batches of its "
            f"own (batch {found['batch']}, n = {found['rounds']} rounds of {found['steps_a_turn']} "
            "steps)."
        )
        + table(["student", "alone, µs a step", "fused, µs a step", "times", "goal"], rows)
    )


def growth(found: Evidence) -> str:
    """Time and memory as a study grows."""
    rows, before = [], 0.0
    for what, row in found["rows"].items():
        for point in row:
            sides = [(point["middle"][side], point["memory"][side]) for side in ("peers", "ours")]
            before = max(before, *(memory["mib_before"] for _, memory in sides))
            seconds = [f"{middle['median']:.1f}" for middle, _ in sides]
            mib = [f"{memory['mib_most']:.0f}" for _, memory in sides]
            rows.append([f"{point[what]} {what}", *seconds, times(point["ratio"]), *mib])
    return (
        "## Growth\n\n"
        + paragraph(
            f"{found['teacher']} → {found['student']} at 16×16, batch {found['batch']}, fp32, live "
            "teachers; two students of one teacher, one epoch, 10 classes, 1024 images, and one "
            f"of them growing. Each point in fresh processes, n = {found['rounds']}. Of the "
            f"memory, up to {before:.0f} MiB are there before anything is trained."
        )
        + "![Seconds as a study grows](speed-growth.svg)\n\n"
        + "![Memory as a study grows](speed-memory.svg)\n\n"
        + table(["point", "peers, s", "ours, s", "times", "peers, MiB", "ours, MiB"], rows)
    )


def study(found: Evidence) -> str:
    """One study end to end."""
    ours, peers, goal = found["ours"], found["peers"], end_to_end.GOALS.get(found["study"])
    if "wall_s" in ours:
        took = (f"Ours, really run: {ours['wall_s']:.0f} s of the clock with {ours['workers']} "
                f"workers; {ours['cpu_s']:.0f} s of the processor with everything, of which "
                f"{ours['spent_s']:.0f} s in training. `plan` had predicted "
                f"{ours['planned_s']:.0f} core-seconds, "
                f"{100 * (ours['planned_s'] / ours['cpu_s'] - 1):+.0f} % of what was used "
                "(goal: within 30 %).")  # fmt: skip
    else:
        took = (f"Ours, really run before: the records of its runs tell {ours['spent_s']:.0f} "
                "core-seconds of training.")  # fmt: skip
    names = {"wall_s": "workers × clock", "cpu_s": "processor", "spent_s": "training alone"}
    rows = [[names[key], f"{value:.2f}x", against(value, goal) if goal and key == "cpu_s" else ""]
            for key, value in found["ratios"].items()]  # fmt: skip
    kinds = [[kind["model"], "validation" if kind.get("validation") else kind["teacher"] or "none",
              f"{kind['steps']:,.0f}", span(kind["step"], 1e3, 2), f"{kind['seconds']:.0f}"]
             for kind in peers["kinds"]]  # fmt: skip
    return (
        f"## The study `{found['study']}`, end to end\n\n"
        + paragraph(
            f"{took} The peers' way: {peers['core_seconds']:.0f} core-seconds, **extrapolated**: "
            f"n = {peers['measured_steps']} measured steps of each kind of run, times the steps "
            f"that the {peers['runs']} runs of the plan have of it; {counted(peers)} and starts "
            "count as nothing. Like is compared with like by the processor's seconds: on their "
            "side nobody waits for another run, as workers sometimes do on ours."
        )
        + table(["ours measured by", "times the peers", "goal"], rows)
        + table(["run", "teacher", "steps", "ms a step, peers", "core-seconds"], kinds)
    )


def counted(peers: Evidence) -> str:
    """Which evaluations of the peers do not count."""
    counts = any(kind.get("validation") for kind in peers["kinds"])
    return (
        "each epoch ends with the validation images, as ours do; evaluations on others"
        if counts
        else "their evaluations"
    )


def precision(found: Evidence) -> str:
    """What bf16 does to the error of a student."""
    rows = [
        [name, f"{of['fp32']:.2f}", f"{of['bf16']:.2f}",
         f"{of['effect']:+.2f} ({of['low']:+.2f} to {of['high']:+.2f})", f"{of['n']}",
         "equivalent" if of["equivalent"] else "not shown"]
        for name, of in found["conditions"].items()
    ]  # fmt: skip
    return (
        "## What bf16 does to the error\n\n"
        + paragraph(
            f"{found['network']} on 1,000 images of CIFAR-10 at 16×16, ten epochs, from scratch "
            "and distilled from a teacher of its own kind; run in fp32 and again in bf16 with the "
            "same worlds, initial weights and batches. Test error in percent, bf16 minus fp32 "
            f"paired by replicate, with the {100 * found['level']:.0f} % t interval: equivalent "
            f"where it lies within ±{found['margin']} points, a quarter of one point, which was "
            "set before the first run (two one-sided tests at 5 %). A claim never compares two "
            "precisions: such a study is refused."
        )
        + table(["student", "fp32, %", "bf16, %", "difference, points", "n", "verdict"], rows)
    )


def headers(found: dict[str, Evidence]) -> str:
    """The evidence header of every result."""
    rows = []
    for name, of in found.items():
        machine, versions = of["machine"], of["versions"]
        rows.append([f"`{name}.json`", of["date"], f"{machine['cpu']}, {machine['cores']} cores",
                     f"Python {versions['python']}, torch {versions['torch']}, "
                     f"tutelage {versions['tutelage']}"])  # fmt: skip
    return (
        "## Evidence\n\n"
        + table(["result", "date", "machine", "versions"], rows).rstrip("\n")
        + "\n"
    )


OF: dict[str, Callable[[Evidence], str]] = {
    "steps": steps, "torchdistill": torchdistill, "parts": parts, "profile": profile,
    "fused": fused, "precision": precision, "growth": growth, "demo": study, "demo-clean": study,
    "cifar10-quick": study,
}  # fmt: skip
"""The sections in their order, by the name of the result that each is made of."""
