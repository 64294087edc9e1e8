"""From a study's YAML to a StudyConfig: built-in names, scales, overrides, and readable errors."""

from __future__ import annotations

import copy
import functools
import importlib.resources
import json
import os
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError

from tutelage.config.paper import PaperNote, read_notes
from tutelage.config.schema import StudyConfig
from tutelage.errors import UserError, nearest, unknown

_MOST_PROBLEMS = 6
_MOST_BYTES = 1_000_000
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# What OmegaConf and PyYAML raise for values that are not what their tags or places ask for.
_MISFITS = (OmegaConfBaseException, RecursionError, ValueError, TypeError, LookupError,
            AttributeError, ArithmeticError)  # fmt: skip
_DEEPEST = 20  # levels of nesting; no key of a study lies half as deep


def builtin_studies() -> dict[str, Path]:
    """The studies that ship with the package, by name: `demo`, or `paper/c0-scratch` in a folder.

    A file whose name begins with _ is not one: it is what others extend.
    """
    folder = importlib.resources.files("tutelage") / "studies"
    files = (f for f in Path(str(folder)).rglob("*.yaml") if not f.name.startswith("_"))
    return {file.relative_to(str(folder)).with_suffix("").as_posix(): file for file in files}


def predicted_costs() -> dict[str, dict[str, float]]:
    """What the built-in studies cost, in core-minutes by study and scale; a study without scales
    has its own under an empty name. benchmarks/study_costs.py writes the file."""
    file = importlib.resources.files("tutelage") / "studies" / "costs.json"
    return json.loads(file.read_text(encoding="utf-8"))


def find_study(study: str) -> Path:
    """The file of a study given as a path or as a built-in name; UserError when there is none."""
    known = builtin_studies()
    if study in known:
        return known[study]
    path, is_folder = Path(study), os.path.isdir(study)
    if os.path.isfile(study):
        return path
    if path.suffix in {".yaml", ".yml"} or is_folder:
        problem = "is a folder, not a study file." if is_folder else "does not exist."
        raise UserError(problem, where=study, fix="Give a YAML file or a built-in study's name.")
    raise unknown("study", study, known)


def load_study(
    study: str, *, scale: str | None = None, overrides: Sequence[str] = (), data: str | None = None
) -> StudyConfig:
    """Read and validate a study.

    `study` is a YAML file or a built-in name; `scale` one of the file's `scales`; each override
    is `key.path=value`; `data` becomes `data.path`. Raises UserError with file, line and key.
    """
    raw, text, source = _read(study, above=())
    raw = _apply_scale(raw, scale, source)
    raw.pop("paper", None)  # what it is compared with, which is none of its settings
    raw = _apply_overrides(raw, overrides)
    if data is not None and isinstance(raw.get("data"), dict):
        raw["data"]["path"] = data
    return validate(raw, source=source, text=text, overrides=overrides)


def scales_of(study: str) -> list[str]:
    """The names of a study's scales, the default one first; empty for a study without any."""
    raw, _, source = _read(study, above=())
    scales = raw.get("scales") or {}
    if not isinstance(scales, dict):
        raise UserError("scales must map names to overrides.", where=f"{source}, scales")
    return list(scales)


def noted_studies() -> list[str]:
    """The built-in studies that say under `paper` what they are compared with, by name."""
    return [name for name in sorted(builtin_studies()) if _read(name, above=())[0].get("paper")]


def notes_of(study: str) -> dict[str, PaperNote]:
    """What a study file has of the paper that it is about, by the names of its claims."""
    raw, _, source = _read(study, above=())
    ranked = load_study(study).claims.ranked()
    claims = {name for of_rank in ranked.values() for name in of_rank}
    return read_notes(raw.get("paper"), claims, source)


def notes_by_name(name: str) -> dict[str, PaperNote]:
    """The notes of the built-in study that has a scale called so; none for any other study.

    A scale's own name begins with its study's, a / written as -, so that one file is read.
    """
    for study in builtin_studies():
        if name.startswith(study.replace("/", "-")):
            names = (load_study(study, scale=scale).name for scale in scales_of(study) or [None])
            if name in names:
                return notes_of(study)
    return {}


def validate(
    raw: dict[str, Any], *, source: str = "study", text: str = "", overrides: Sequence[str] = ()
) -> StudyConfig:
    """A StudyConfig from plain data. Raises UserError naming keys and lines of `text`.

    A key that one of `overrides` has set is blamed on that.
    """
    try:
        return StudyConfig.model_validate(raw)
    except ValidationError as error:
        places = {override.partition("=")[0]: f"--set {override}" for override in overrides}
        raise UserError(_explain(error, raw, source, text, places)) from None


def _read(study: str, above: tuple[Path, ...]) -> tuple[dict[str, Any], str, str]:
    """A study's values over those of the study that it `extends`; its own text and its name."""
    path = find_study(study)
    source = study if path == Path(study) else f"study '{study}'"
    if path.stat().st_size > _MOST_BYTES:
        raise UserError("is larger than a study file can be (1 MB).", where=source)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot be read: {error}.", where=source) from None
    raw = copy.deepcopy(_parse(text, source))
    parent = raw.pop("extends", None)
    if parent is None:
        return raw, text, source
    if not isinstance(parent, str) or not parent:
        raise UserError(f"{parent!r} is no study's name.", where=f"{source}, extends")
    if parent not in builtin_studies():
        parent = str(path.parent / parent)
    above = (*above, path.resolve())
    try:
        file = find_study(parent)
    except UserError as error:
        what = f"{error.where}: {error.what}" if error.where else error.what
        raise UserError(what, where=f"{source}, extends", fix=error.fix) from None
    if file.resolve() in above:
        raise UserError("studies extend each other in a circle.", where=f"{source}, extends")
    base, _, _ = _read(parent, above)
    return _merge(base, raw, source), text, source


@functools.lru_cache(maxsize=64)  # a list of studies reads each once for each of its scales
def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        _check_depth(text)
        raw = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}, line {mark.line + 1}" if mark else source
        problem = getattr(error, "problem", None) or str(error)
        raise UserError(f"is not a plain YAML file: {problem}.", where=where) from None
    except _MISFITS as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"is not a study: a value does not fit: {reason}", where=source) from None
    except AssertionError:  # how OmegaConf refuses a file that is one number
        raw = None
    if not isinstance(raw, dict) or not raw:
        raise UserError("is not a study: it holds no keys.", where=source)
    if list(raw.values()) == [None] and "\n" not in text.strip() and ":" not in text:
        raise UserError("is not a study: it holds one word.", where=source)
    return typing.cast("dict[str, Any]", raw)


def _check_depth(text: str) -> None:
    """Raises YAMLError for YAML nested so deeply that reading it could exhaust the stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            problem = f"it is nested more than {_DEEPEST} levels deep"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


def _apply_scale(raw: dict[str, Any], scale: str | None, source: str) -> dict[str, Any]:
    scales = raw.pop("scales", None) or {}
    if not isinstance(scales, dict):
        raise UserError("scales must map names to overrides.", where=f"{source}, scales")
    if scale is None:
        scale = next(iter(scales), None)
    if scale is None:
        return raw
    if scale not in scales:
        if scales:
            raise unknown("scale", scale, scales, where=source)
        raise UserError(f"has no scales, so there is no '{scale}'.", where=source)
    return _merge(raw, scales[scale] or {}, f"{source}, scales.{scale}")


def _apply_overrides(raw: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    for override in overrides:
        key, sign, value = override.partition("=")
        if not sign or not key.strip(".") or key.count(".") + key.count("[") > _DEEPEST:
            raise UserError(f"--set {override} is not of the form key.path=value.")
        try:
            _check_depth(value)
            values = OmegaConf.to_container(OmegaConf.from_dotlist([override]), resolve=False)
        except (yaml.YAMLError, *_MISFITS) as error:
            raise UserError(f"--set {override} cannot be read: {error}.") from None
        raw = _merge(raw, values, f"--set {override}")
    return raw


def _merge(base: dict[str, Any], over: Any, where: str) -> dict[str, Any]:
    """`over` laid over `base`: mappings key by key, whatever else is replaced."""
    if not isinstance(over, dict):
        raise UserError("is not a mapping of keys to values.", where=where)
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value, where) if both else value
    return merged


def _explain(
    error: ValidationError, raw: Any, source: str, text: str, places: Mapping[str, str]
) -> str:
    """One message: for each wrong key its line in the file and the nearest right key.

    `places` are those of keys that were not set by the file.
    """
    problems: dict[tuple[str | int, ...], list[str]] = {}
    for item in error.errors(include_url=False):
        path = _path_in(raw, item["loc"], missing=item["type"] == "missing")
        problems.setdefault(path, []).append(_sentence(item, path))
    lines, root = [], _composed(text)
    for path, sentences in problems.items():
        key = ".".join(map(str, path)) or "the study"
        above = [".".join(map(str, path[:length])) for length in range(len(path), 0, -1)]
        place = next((places[part] for part in above if part in places), None)
        if place is None:
            line = _line_of(root, path)
            place = f"{source}, line {line}" if line else source
        lines.append(f"{place}: {key}: {' or '.join(dict.fromkeys(sentences))}")
    if len(lines) > _MOST_PROBLEMS:
        lines[_MOST_PROBLEMS:] = [f"... and {len(lines) - _MOST_PROBLEMS} more"]
    return "\n".join(lines)


def _sentence(item: Any, path: tuple[str | int, ...]) -> str:
    if item["type"] == "extra_forbidden":
        known = _known_keys(path[:-1])
        if path[-1] in known:
            return "unknown key here; it belongs into the file, not into a scale or an override"
        guess = nearest(str(path[-1]), known)
        hint = f"did you mean '{guess}'?" if guess else f"known: {', '.join(known)}"
        return f"unknown key; {hint}"
    if item["type"] == "missing":
        return "is missing"
    message = item["msg"].removeprefix("Value error, ")
    shown = repr(item["input"])
    return f"{message[0].lower()}{message[1:]} (found {shown[:60]})"


def _path_in(raw: Any, loc: Sequence[str | int], *, missing: bool) -> tuple[str | int, ...]:
    """The part of a pydantic location that names keys, without the names of union members."""
    path: list[str | int] = []
    here: Any = raw
    for number, part in enumerate(loc):
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            if not (missing and number == len(loc) - 1):
                continue
        path.append(part)
    return tuple(path)


def _known_keys(path: Sequence[str | int]) -> list[str]:
    """The keys that a study may have at a path."""
    kinds: list[type[BaseModel]] = [StudyConfig]
    inside_mapping = False
    for part in path:
        if inside_mapping:  # this part is a name that the user chose
            inside_mapping = False
            continue
        found = [kind.model_fields[part].annotation for kind in kinds
                 if isinstance(part, str) and part in kind.model_fields]  # fmt: skip
        if not found:
            continue
        kinds = [kind for annotation in found for kind in _models_in(annotation)] or kinds
        inside_mapping = any(_is_mapping(annotation) for annotation in found)
    keys = {key for kind in kinds for key in kind.model_fields}
    return sorted(keys if path else keys | {"extends", "scales", "paper"})


def _is_mapping(annotation: Any) -> bool:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _is_mapping(typing.get_args(annotation)[0])
    return origin is dict


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for part in typing.get_args(annotation):
        yield from _models_in(part)


def _composed(text: str) -> yaml.Node | None:
    """The nodes of a YAML text with their lines; None when there is no text to look at."""
    try:
        return yaml.compose(text, Loader=_LOADER) if text else None
    except yaml.YAMLError:
        return None


def _line_of(node: yaml.Node | None, path: Sequence[str | int]) -> int | None:
    """The line (from 1) below `node` of the key at `path`, or of the nearest parent that is there.

    None when no part of the path is there.
    """
    mark = None
    for part in path:
        if isinstance(node, yaml.MappingNode):
            match = next((pair for pair in node.value if pair[0].value == str(part)), None)
            if match is None:
                break
            mark, node = match[0].start_mark, match[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            if part >= len(node.value):
                break
            item: yaml.Node = node.value[part]
            mark, node = item.start_mark, item
        else:
            break
    return mark.line + 1 if mark else None
