"""Sets from events that Python has."""

from __future__ import annotations

import operator
import os
from typing import Any, Literal, Mapping, Optional, Sequence, Union

import numpy as np
from numpy.typing import NDArray

from . import _native
from ._native import ShardSet
from .convert import native_options
from .recipe import Recipe


class Writer:
    """Makes a set from arrays of events, sample by sample.

        with ts.Writer("shards/mine", sensor_size=(128, 128, 2), recipe=recipe) as out:
            for events, label in dataset:
                out.add(events, label)
        train = ts.ShardSet("shards/mine")

    Events are checked when they are added, and refused as those of a recording are: a clock that starts again, an event
    outside the sensor, polarities that are neither 0 nor 1. They are kept in a temporary file, in $TMPDIR, about 13
    bytes each. When the `with` block ends, the set is made, as from a recording with these events: the same frames,
    ledger, chunks and shards, and the same bytes each time. If the block raises, or the process is killed, there is no
    set. The set lists one source: the hash of all events, in a form that doesn't depend on the types of the arrays.
    README.md describes this form.

    Parameters:
        path: directory of the new set.
        sensor_size: (W, H, P), as in Tonic: width, height and polarities; or the channels of a cochlea.
        recipe, recipe_of, channels, crop_time, time_window: which frames, as in convert().
        classes: names of the classes, in their order. None: labels are numbers; or they are names, which are sorted.
        columns: names of the columns of two-dimensional arrays, "x,y,t,p"; "_" is a column that isn't used.
        origin, time_unit, unwrap, allow_clock_trouble, lenient, max_loss: as in convert(). Without time_unit, times are
            microseconds, and a sample that would be too long or too short in this unit is refused.
        level, chunk_samples, shard_size, threads, overwrite, quiet: as in convert().

    Raises:
        FileExistsError: if there is a set already.
        ValueError: for an argument, or a recipe that doesn't fit the sensor.
    """

    def __init__(
        self,
        path: Union[str, "os.PathLike[str]"],
        sensor_size: Union[int, Sequence[int], str],
        *,
        recipe: Optional[Recipe] = None,
        recipe_of: Union[str, "os.PathLike[str]", None] = None,
        channels: Optional[int] = None,
        crop_time: Optional[int] = None,
        time_window: Optional[int] = None,
        classes: Optional[Sequence[str]] = None,
        columns: Union[str, Sequence[str], None] = None,
        origin: int = 0,
        time_unit: Optional[Literal["s", "ms", "us", "ns"]] = None,
        unwrap: bool = False,
        allow_clock_trouble: bool = False,
        level: Optional[int] = None,
        chunk_samples: Optional[int] = None,
        shard_size: Union[int, str, None] = None,
        threads: Optional[int] = None,
        overwrite: bool = False,
        lenient: bool = False,
        max_loss: Optional[float] = None,
        quiet: bool = False,
    ) -> None:
        given = {
            name: value for name, value in locals().items() if name not in ("self", "path", "sensor_size", "columns")
        }
        given |= {"sensor": sensor_size, "limit": None, "resume": False}
        if isinstance(classes, (str, os.PathLike)):
            raise ValueError(f"classes: expected a list of names, got {classes!r}")
        self.path = path
        self._time_unit = time_unit
        self._columns = columns.split(",") if isinstance(columns, str) else columns
        self._added = _native.AddedSet(path, native_options(given))
        self._finished = False

    def add(self, events: Any, label: Union[int, str, None] = None, **extras: int) -> None:
        """Adds a sample. After an error, the Writer is as it was, so that a bad sample can be left out.

        Parameters:
            events: a structured array with the fields t, x, y and p, as Tonic's; a dict of arrays with these names; or
                an array of shape (N, 4), whose columns `columns` names. y is needed if the sensor has several rows, and
                p if it has several polarities. p is 1 for on, and 0 or -1 for off.
            label: number or name of the class. None: no class.
            extras: numbers to keep with the sample, such as speaker=3. All samples must have the same names of extras.

        Raises:
            ValueError: for events that are refused, with the sample, the event, what was expected and found.
        """
        if label is not None and not isinstance(label, str):
            label = operator.index(label)
        numbers = [(name, operator.index(value)) for name, value in extras.items()]
        for name, value in numbers:
            if not -(1 << 63) <= value < 1 << 63:
                raise ValueError(f"{name}: expected a number from -2^63 to 2^63 - 1, got {value}")
        self._added.add([self._numbers(*column) for column in self._named(events)], label, numbers)

    def finish(self) -> ShardSet:
        """Makes the set and opens it. The `with` statement calls this, unless it was called before."""
        self._added.finish()
        self._finished = True
        return ShardSet(self.path)

    def __len__(self) -> int:
        return len(self._added)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None:
            self._added.give_up()
        elif not self._finished:
            self.finish()

    def __repr__(self) -> str:
        return f"<Writer of {os.fspath(self.path)}: {len(self)} samples>"

    def _named(self, events: Any) -> list[tuple[str, Any]]:
        if isinstance(events, Mapping):
            return [(str(name), column) for name, column in events.items()]
        events = np.asarray(events)
        if events.dtype.names is not None:
            return [(name, events[name]) for name in events.dtype.names]
        if self._columns is None:
            raise ValueError("events: expected fields t, x, y and p, or columns= of the Writer to name them, got none")
        if events.ndim != 2 or events.shape[1] != len(self._columns):
            raise ValueError(f"events: expected shape (N, {len(self._columns)}), got {events.shape}")
        return [(name, events[:, i]) for i, name in enumerate(self._columns) if name != "_"]

    def _numbers(self, name: str, column: Any) -> tuple[str, NDArray[Any]]:
        column = np.asarray(column)
        if column.ndim != 1:
            raise ValueError(f"{name}: expected one dimension, got shape {column.shape}")
        kind, size = column.dtype.kind, column.dtype.itemsize
        if kind in "mM":
            if self._time_unit not in (None, "us"):
                raise ValueError(f"{name}: expected numbers next to time_unit, got {column.dtype}")
            # NaT becomes -2^63, which stands for an event without a time.
            column = column.astype(f"{kind}8[us]").view(np.int64)
        elif kind == "b":
            column = column.view(np.uint8)
        elif kind == "i":
            column = column.astype(np.int8 if size == 1 else np.int64, copy=False)
        elif kind == "f":
            column = column.astype(np.float64, copy=False)
        elif kind == "u":
            column = column.astype(column.dtype.newbyteorder("="), copy=False)
        else:
            raise ValueError(f"{name}: expected integers or floats, got {column.dtype}")
        return name, np.require(column, requirements=["C", "A"])  # fields of structured arrays may be neither
