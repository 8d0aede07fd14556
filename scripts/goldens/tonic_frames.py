"""Records Tonic's results for small event lists. Our transforms and framings are compared with them.

    python tonic_frames.py ../../tests/data/goldens/tonic_frames.json

A JSON list, one case per line:

    name      its group and number: table-* are the rows of the semantics table, the others are named after what they vary
    sensor    [W, H, P] of the recording
    events    columns t, x, y, p in order of arrival. No y: a one-dimensional sensor. No p: polarity 1 throughout, as
              Tonic's SHD and SSC have it. "repeat": N stands for the whole list N times over
    steps     Downsample and CropTime with Tonic's arguments, in order
    to_frame  ToFrame's arguments
    frames    shape [T, P, H, W] and entries [t, cell, count] for every count that is not 0; cell = (p*H + y)*W + x
    error     instead of frames: Tonic raised this
    tonic_differs   why our result differs on purpose; frames or error are Tonic's

Floating-point arguments are written so that they read back to the same bits: parse them exactly.
"""
import argparse
import copy
import json

import numpy as np
from tonic import transforms

LINE = (100, 1, 1)
GRID = (5, 4, 2)
COCHLEA = (700, 1, 1)
WINDOW = 4000
INCOMPLETE = {"include_incomplete": True}


def to_array(events):
    """Events as the structured array that Tonic's datasets give."""
    repeat = events.get("repeat", 1)
    names = [name for name in ("t", "x", "y", "p") if name in events or name == "p"]
    array = np.empty(len(events["t"]) * repeat, [(name, np.int64) for name in names])
    for name in names:
        array[name] = np.tile(events[name], repeat) if name in events else 1
    return array


def run_tonic(case):
    """Frames as (T, P, H, W), made by Tonic."""
    events = to_array(case["events"])
    for step in copy.deepcopy(case["steps"]):
        factor = step.get("spatial_factor")
        if isinstance(factor, list):  # JSON has no tuples
            step["spatial_factor"] = tuple(factor)
        events = getattr(transforms, step.pop("name"))(**step)(events)
    arguments = dict(case["to_frame"], sensor_size=tuple(case["to_frame"]["sensor_size"]))
    frames = transforms.ToFrame(**arguments)(events)
    # Without y, Tonic's frames have no H.
    return frames if frames.ndim == 4 else frames[:, :, None, :]


def case(name, events, to_frame, sensor=LINE, steps=(), target=None, differs=None):
    """One case, with Tonic's answer to it. `target` is the sensor after the steps."""
    result = {
        "name": name, "sensor": list(sensor), "events": events, "steps": list(steps),
        "to_frame": {"sensor_size": list(target or sensor), **to_frame},
    }
    try:
        frames = run_tonic(result)
        t, p, y, x = np.nonzero(frames)
        cells = (p * frames.shape[2] + y) * frames.shape[3] + x
        counts = frames[t, p, y, x].astype(int)
        result["frames"] = {"shape": list(frames.shape), "entries": np.stack([t, cells, counts], 1).tolist()}
    except Exception as error:  # any error of Tonic is recorded
        result["error"] = f"{type(error).__name__}: {error}"
    if differs:
        result["tonic_differs"] = differs
    return result


def at(*times, x=3):
    """Events in one cell of a one-dimensional sensor."""
    return {"t": list(times), "x": [x] * len(times)}


def downsample(target, sensor=700):
    return {"name": "Downsample", "spatial_factor": target / sensor}


def table():
    """The rows of the semantics table."""
    window = {"time_window": WINDOW}
    full = {**window, **INCOMPLETE}
    row1 = at(1000, 4999, 5000, 9000)
    yield case("table-1", row1, full)
    yield case("table-2a", at(0, 4000), full)
    yield case("table-2b", at(0, 4001), full)
    yield case("table-2c", at(777), full)
    yield case("table-3", at(0, 8000, 8000, 8000), full)
    yield case("table-4a", at(0, 7999), window)
    yield case("table-4b", at(10, 20, 3999), window)
    yield case("table-5a", row1, {**full, "start_time": 0})
    yield case("table-5b", row1, {**full, "start_time": 0, "end_time": 20000})

    wraps = "counts are int16 there and wrap; ours are exact"
    yield case("table-6", {"repeat": 40000, **at(0)}, full, differs=wraps)

    empty = "no events: float64, W and H swapped, or an error there; one empty frame and a ledger entry here"
    nothing = {"t": [], "x": []}
    nowhere = {"t": [], "x": [], "y": [], "p": []}
    yield case("table-7a", nothing, full, differs=empty)
    yield case("table-7b", nowhere, full, GRID, differs=empty)
    yield case("table-7c", nothing, {"event_count": 3}, differs=empty)
    yield case("table-7d", nothing, {"n_time_bins": 3}, differs=empty)
    yield case("table-7e", nowhere, {"n_event_bins": 3}, GRID, differs=empty)
    yield case("table-7f", at(5, 6), full, steps=[{"name": "CropTime", "min": 10, "max": 20}], differs=empty)
    yield case("table-7g", nothing, full, steps=[{"name": "CropTime", "min": 0}], differs=empty)

    recipe = [downsample(100), {"name": "CropTime", "max": 1_000_000}]
    yield case("table-8a", at(0, 1_000_000, x=420), full, COCHLEA, recipe, LINE)
    yield case("table-8b", at(1, 1_000_000, x=420), full, COCHLEA, recipe, LINE)

    yield case("table-9a", at(*range(11)), {"n_time_bins": 3})
    yield case("table-9b", at(0, 1, 2), {"n_time_bins": 4})

    outside = "outside the sensor: a negative index wraps, a large one raises there; refused or counted here"
    yield case("table-10a", {"t": [0, 1], "x": [-1, 2]}, full, differs=outside)
    yield case("table-10b", {"t": [0, 1], "x": [100, 2]}, full, differs=outside)
    yield case("table-10c", {"t": [0, 1], "x": [-101, 2]}, full, differs=outside)
    yield case("table-10d", {"t": [0, 1], "x": [1, 2], "y": [-1, 0], "p": [0, 1]}, full, GRID, differs=outside)
    yield case("table-10e", {"t": [0, 1], "x": [1, 2], "y": [4, 0], "p": [0, 1]}, full, GRID, differs=outside)
    yield case("table-10f", {"t": [0, 1], "x": [1, 2], "y": [1, 0], "p": [-1, 1]}, full, GRID, differs=outside)
    yield case("table-10g", {"t": [0, 1], "x": [1, 2], "y": [1, 0], "p": [2, 1]}, full, GRID, differs=outside)

    unsorted = "unsorted times give wrong frames there; sorted stably here"
    yield case("table-11a", {"t": [9000, 100, 5000, 200, 13000], "x": [1, 2, 3, 4, 5]}, full, differs=unsorted)
    yield case("table-11b", {"t": [5000, 0, 100], "x": [1, 2, 3]}, full, differs=unsorted)
    yield case("table-11c", {"t": [3, 1, 2, 0], "x": [1, 2, 3, 4]}, {"event_count": 2}, differs=unsorted)


def refused():
    """Arguments that Tonic raises on."""
    events = at(0, 5, 9)
    for i, arguments in enumerate([
        {}, {"time_window": 4, "event_count": 2}, {"time_window": 0}, {"event_count": 0},
        {"time_window": 4, "overlap": 4}, {"time_window": 4, "overlap": 5},
        {"event_count": 2, "overlap": 2}, {"n_time_bins": 2, "overlap": 1},
    ]):
        yield case(f"refused-{i}", events, arguments)
    both = {"t": [0, 1], "x": [1, 2], "p": [0, 1]}
    yield case("refused-polarity", both, {"time_window": 4})


def random_events(rng, sensor):
    """Sorted times with many ties, some gaps, in a range small enough that windows end exactly on events."""
    n = int(rng.choice([1, 1, 2, 2, 3, 4, 5, 7, 10, 16]))
    gaps = rng.choice([0, 0, 0, 1, 1, 2, 3, 4, 5, 8, 12], n)
    if rng.random() < 0.1:
        gaps[:] = 0
    gaps[0] = rng.choice([0, 0, 1, 3, 7, 20, 1_600_000_000_000_000], p=[0.25, 0.2, 0.15, 0.15, 0.1, 0.1, 0.05])
    width, height, polarities = sensor
    events = {"t": np.cumsum(gaps).tolist(), "x": rng.integers(0, width, n).tolist()}
    if sensor != LINE:
        events |= {"y": rng.integers(0, height, n).tolist(), "p": rng.integers(0, polarities, n).tolist()}
    return events


def random_arguments(rng, slicing, t):
    """ToFrame arguments for one slicing; optional ones are often left out."""
    maybe = lambda p=0.5: rng.random() < p
    size = int(rng.choice([1, 2, 3, 4, 5, 8, 11]))
    arguments = {slicing: size}
    if slicing in ("time_window", "event_count"):
        if maybe():
            arguments["overlap"] = int(rng.integers(0, size))
        if maybe(0.6):
            arguments["include_incomplete"] = bool(maybe(0.8))
    elif maybe():
        arguments["overlap"] = float(rng.choice([0.0, 0.1, 0.25, 0.3, 0.5, 0.9]))
    # Tonic heeds the bounds for time windows and ignores them elsewhere.
    chance = 0.35 if slicing == "time_window" else 0.05
    if maybe(chance):
        arguments["start_time"] = t[0] + int(rng.choice([-20, -3, -1, 0, 1, 2, 6]))
    if maybe(chance):
        arguments["end_time"] = t[-1] + int(rng.choice([-30, -2, -1, 0, 1, 4, 15]))
    return arguments


def generated(rng):
    """All four slicings over random events."""
    for slicing, count in (("time_window", 180), ("event_count", 80), ("n_time_bins", 90), ("n_event_bins", 60)):
        for i in range(count):
            sensor = GRID if i % 3 == 0 else LINE
            events = random_events(rng, sensor)
            yield case(f"{slicing}-{i}", events, random_arguments(rng, slicing, events["t"]), sensor)


def fractions(rng):
    """Time windows, overlaps and bounds that are not whole microseconds."""
    for i in range(20):
        events = random_events(rng, LINE)
        arguments = {"time_window": float(rng.choice([2.5, 1 / 3, 10 / 3, 0.7])), **INCOMPLETE}
        if i % 2:
            arguments["overlap"] = arguments["time_window"] * 0.3
        if i % 5 == 0:
            arguments["start_time"] = events["t"][0] - 0.5
        yield case(f"fraction-{i}", events, arguments)


def downsampled(rng):
    """Spatial and temporal factors. Integer arithmetic is wrong for 35 of the 700 targets; all of those are here."""
    x = np.arange(700)
    wrong = {n: x[(x * (n / 700)).astype(int) != x * n // 700] for n in range(1, 701)}
    hard = [n for n in wrong if len(wrong[n])]
    assert len(hard) == 35
    one_frame = {"time_window": WINDOW}
    for n in sorted({*hard, 1, 2, 7, 50, 64, 70, 99, 100, 101, 128, 256, 333, 350, 512, 699, 700}):
        channels = np.concatenate([wrong[n][:3], [0, 699], rng.integers(0, 700, 3)]).tolist()
        events = {"t": list(range(len(channels))), "x": channels}
        yield case(f"downsample-{n}", events, one_frame, COCHLEA, [downsample(n)], (n, 1, 1))
    every = {"t": [0] * 700, "x": x.tolist()}
    yield case("downsample-every-channel", every, one_frame, COCHLEA, [downsample(100)], LINE)

    camera = (346, 260, 2)
    for i, (factor, size) in enumerate([(0.25, (87, 65)), ([0.1, 0.5], (35, 130)), ([1, 0.3], (346, 78)), (1 / 3, (116, 87))]):
        events = {"t": list(range(8)), **{k: rng.integers(0, m, 8).tolist() for k, m in zip("xyp", camera)}}
        steps = [{"name": "Downsample", "spatial_factor": factor}]
        yield case(f"downsample-camera-{i}", events, one_frame, camera, steps, (*size, 2))

    # Times are multiplied in float64 and truncated, as x and y are.
    for i, (factor, window) in enumerate([(0.001, 7), (0.5, 700), (0.1, 70), (1 / 3, 700), (2, 1500), (1.0, 1500), (2.5, 1500)]):
        events = {"t": [*np.sort(rng.integers(0, 12_000, 7)).tolist(), 12_000], "x": list(range(8))}
        steps = [{"name": "Downsample", "time_factor": factor}]
        yield case(f"time-factor-{i}", events, {"time_window": window, **INCOMPLETE}, steps=steps)
    every = {"t": [*range(0, 3_000, 3)], "x": [3] * 1_000}
    yield case("time-factor-every", every, {"time_window": 1}, steps=[{"name": "Downsample", "time_factor": 1 / 30}])
    both = {"name": "Downsample", "spatial_factor": 100 / 700, "time_factor": 0.001}
    events = {"t": [999, 1_000, 7_999, 8_000, 9_999], "x": [420, 6, 7, 699, 0]}
    yield case("downsample-both", events, {"time_window": 4, **INCOMPLETE}, COCHLEA, [both], LINE)


def cropped(rng):
    """Both bounds keep their own microsecond; without a maximum only the minimum, 0 by default, crops."""
    for i in range(20):
        events = random_events(rng, LINE)
        t = events["t"]
        step = {"name": "CropTime", "min": t[0] + int(rng.choice([-1, 0, 1])), "max": t[-1] + int(rng.choice([-2, -1, 0, 1]))}
        if i % 4 == 0:
            del step["min"]
        made = case(f"crop-{i}", events, {"time_window": 3, **INCOMPLETE}, steps=[step])
        if any(step.get("min", 0) <= time <= step["max"] for time in t):
            yield made
    early = {"t": [-5, -1, 0, 1, 9], "x": [1, 2, 3, 4, 5]}
    yield case("crop-negative", early, {"time_window": 3, **INCOMPLETE}, steps=[{"name": "CropTime", "max": 9}])
    yield case("crop-open", early, {"time_window": 3, **INCOMPLETE}, steps=[{"name": "CropTime", "min": 0}])
    yield case("negative-times", early, {"time_window": 3, **INCOMPLETE})
    yield case("negative-times-scaled", early, {"time_window": 1, **INCOMPLETE}, steps=[{"name": "Downsample", "time_factor": 0.5}])


def recipes(rng):
    """The reference recipe end to end, with events on the crop's and the windows' bounds."""
    for i in range(12):
        n = 30
        times = np.sort(rng.choice([*range(0, 1_040_001, 20_000), *range(3_999, 1_003_999, 80_000), 1_000_001], n))
        events = {"t": times.tolist(), "x": rng.integers(0, 700, n).tolist()}
        steps = [downsample(100), {"name": "CropTime", "max": 1_000_000}]
        yield case(f"recipe-{i}", events, {"time_window": WINDOW, **INCOMPLETE}, COCHLEA, steps, LINE)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    args = parser.parse_args()
    rng = np.random.default_rng(20)
    cases = [c for group in (table(), refused(), generated(rng), fractions(rng), downsampled(rng), cropped(rng), recipes(rng)) for c in group]
    assert len({c["name"] for c in cases}) == len(cases)
    with open(args.out, "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")
    print(f"{len(cases)} cases, {sum('error' in c for c in cases)} of them errors")


if __name__ == "__main__":
    main()
