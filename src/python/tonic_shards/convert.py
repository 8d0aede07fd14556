"""Conversion of recordings into sets."""

from __future__ import annotations

import os
from typing import Any, Iterable, Literal, Mapping, Optional, Sequence, Union

from . import _native
from ._native import ShardSet
from .recipe import Recipe, read

_Path = Union[str, "os.PathLike[str]"]
_Sensor = Union[int, Sequence[int], str]

# Options of which only one of a pair can be given.
EXCLUSIVE = [
    *[("recipe", other) for other in ("recipe_of", "channels", "crop_time", "time_window")],
    *[("recipe_of", other) for other in ("channels", "crop_time", "time_window")],
    ("map", "columns"),
    ("sample_duration", "sample_events"),
    ("label", "labels"),
    ("classes", "classes_of"),
    ("class_level", "label"),
    ("class_level", "labels"),
    ("resume", "overwrite"),
]


def convert(
    source: Union[_Path, Iterable[_Path]],
    out: _Path,
    *,
    recipe: Optional[Recipe] = None,
    recipe_of: Optional[_Path] = None,
    channels: Optional[int] = None,
    crop_time: Optional[int] = None,
    time_window: Optional[int] = None,
    dataset: Optional[str] = None,
    split: Optional[str] = None,
    layout: Optional[str] = None,
    map: Union[str, Mapping[str, str], None] = None,
    columns: Optional[str] = None,
    topic: Optional[str] = None,
    origin: int = 0,
    flip_y: bool = False,
    to_zero: bool = False,
    time_unit: Optional[Literal["s", "ms", "us", "ns"]] = None,
    events: Union[str, tuple[int, int], None] = None,
    unwrap: bool = False,
    allow_clock_trouble: bool = False,
    sensor: Optional[_Sensor] = None,
    sample_duration: Union[int, str, None] = None,
    sample_events: Optional[int] = None,
    sample_overlap: Union[int, str, None] = None,
    label: Optional[str] = None,
    labels: Optional[_Path] = None,
    classes: Union[_Path, Sequence[str], None] = None,
    classes_of: Optional[_Path] = None,
    class_level: Optional[int] = None,
    digits: Literal["train", "test"] = "train",
    single_digits: bool = False,
    limit: Optional[int] = None,
    level: Optional[int] = None,
    chunk_samples: Optional[int] = None,
    shard_size: Union[int, str, None] = None,
    threads: Optional[int] = None,
    resume: Union[bool, Literal["auto"]] = False,
    overwrite: bool = False,
    lenient: bool = False,
    max_loss: Optional[float] = None,
    quiet: bool = False,
) -> ShardSet:
    """Converts recordings into a set, and opens it.

    Does what `tonic-prep convert` does, and gives the same bytes. An option is the program's flag of the same name.
    Progress is drawn on a terminal and in a notebook. Other Python threads continue to run. Ctrl-C ends the conversion;
    resume=True continues it. Likely mistakes, such as many events lost, are UserWarnings.

    Parameters:
        source: a recording, a folder with a sub-folder for each class, or a list of either.
        out: directory of the new set.
        recipe: which frames to make: the path of a TOML file, TOML as text, a dict of the same structure, or a Compose
            of Tonic. None: the frames that the next four parameters describe.
        recipe_of: a set, whose recipe is used again.
        channels, crop_time, time_window: channels to downsample a cochlea to, 100 by default; the last microsecond
            that is kept, 1,000,000 by default for a cochlea; microseconds per frame, 4,000 by default for a cochlea and
            10,000 for a camera.
        dataset, split: name of the data set, such as "nmnist", if source is its download; and the part to convert.
            split=None: train, or all if the data set has no parts.
        layout: layout of the recordings. None: recognised by their content.
        map: the fields that are the columns of events, {"t": "events/t", "x": ...} or "t=events/t,x=...".
        columns: the order of the columns of a table, "t,x,y,p"; "_" is a column that isn't used.
        topic: the topic of a ROS bag to read events from. None: the first topic with events.
        origin: coordinate of the first pixel, 0 or 1. flip_y: counts rows from below. to_zero: moves each sample so
            that its lowest x and its lowest y are 0.
        time_unit: of the times in the files: "s", "ms", "us" or "ns". None: the unit that the file states. If it states
            none: s for floats in HDF5, and for fractions in texts and in files of MATLAB; us for all other times.
        events: only these events of each recording: (A, B) or "A..B", B excluded.
        unwrap: undoes wraps of a clock. allow_clock_trouble: takes times as they are, sorted.
        sensor: channels of a cochlea, or (W, H, P): width, height, polarities. None: what the file says.
        sample_duration, sample_events, sample_overlap: cuts recordings into samples of a duration (microseconds, or
            "100ms") or of a number of events, with an overlap in the same unit.
        label: name of the class of all samples. labels: a CSV file with the classes of files or of intervals.
        classes: names of all classes in their order, or a file with a name per line. classes_of: a set, whose classes
            are used.
        class_level: level of the sub-folders that are the classes, 1 or more.
        digits, single_digits: which part of N-TIDIGITS18, and whether only single digits.
        limit: only the first samples. level: of zstd, 1 by default. chunk_samples: per chunk; None: 64, or fewer if
            samples are large. shard_size: bytes, or a text such as "64M". threads: None: all cores.
        resume: True continues an interrupted conversion, "auto" also starts one. overwrite: deletes what is there.
        lenient: leaves out events outside the sensor, instead of refusing them.
        max_loss: largest share of the events, 0 to 1, that may be lost.
        quiet: shows no progress and no notes.

    Raises:
        ValueError: for a recording or a recipe that is refused: file, place, what was expected and found.
        OSError: if a file cannot be read or written; FileExistsError if there is a set already.
        CorruptError, IncompatibleError: for an unfinished set that cannot be continued.
        KeyboardInterrupt: after Ctrl-C. Complete shards are kept.
    """
    given = dict(locals())
    del given["source"], given["out"]
    sources = [source] if isinstance(source, (str, os.PathLike)) else list(source)
    _native.convert(sources, out, native_options(given))
    return ShardSet(out)


def native_options(given: dict[str, Any]) -> dict[str, Any]:
    """Options in the form that the native module takes."""
    for name, other in EXCLUSIVE:
        if all(given.get(option) is not None and given.get(option) is not False for option in (name, other)):
            raise ValueError(f"{name}: expected none next to {other}, got both")
    options = dict(given)
    classes = options.pop("classes")
    is_file = isinstance(classes, (str, os.PathLike))
    options["classes_file"] = classes if is_file else None
    options["class_names"] = None if classes is None or is_file else list(classes)
    recipe = options["recipe"]
    options["recipe"] = None if recipe is None else read(recipe)
    sensor = options["sensor"]
    if sensor is not None:
        options["sensor"] = sensor if isinstance(sensor, str) else ",".join(str(int(n)) for n in _sequence(sensor))
    if isinstance(options.get("map"), Mapping):
        options["map"] = ",".join(f"{role}={field}" for role, field in options["map"].items())
    if isinstance(options.get("events"), tuple):
        options["events"] = "{}..{}".format(*options["events"])
    for name in ("sample_duration", "sample_overlap", "shard_size"):
        value = options.get(name)
        options[name] = None if value is None else str(value)
    options["resume"] = {True: "unfinished", False: None}.get(options["resume"], options["resume"])
    return options


def _sequence(sensor: Any) -> Sequence[int]:
    return sensor if hasattr(sensor, "__len__") else (sensor,)
