"""Records the results of Tonic's transforms for generated events. Ours are compared with them.

    python tonic_transforms.py ../../tests/data/goldens/tonic_transforms.json      # the frozen sample
    python tonic_transforms.py many.json --each 3000 --most 400              # many more, for one comparison:
    TONIC_GOLDENS_EXTRA=$PWD/many.json cargo test --test prep transforms

A JSON list, one case per line:

    name      its group and number
    sensor    [W, H, P] of the recording
    events    columns t, x, y, p, times ascending; "repeat": N stands for every event N times over, "dtype" for what
              Tonic was given instead of int64; without y where Tonic was given none
    steps     transforms with Tonic's arguments, in order, as Tonic's Compose runs them: up to the first that leaves nothing
    frames    the framing and its arguments, or null
    result    Tonic's result: columns t, x, y, p of events; or the frames' shape [T, P, H, W] and entries [t, cell,
              value] for every value that is not 0 in float32, cell = (p*H + y)*W + x
    error     instead of a result: Tonic raised this
    differs, ours   why we do something else on purpose, and what: a result, or "refused"

Events that EventDownsampling emits are int32 in Tonic; they are handed to the next step as int64.
"""
import argparse
import copy
import json

import numpy as np
from tonic import functional, transforms

SENSORS = [(5, 4, 2), (9, 7, 2), (20, 1, 2), (1, 1, 2), (13, 3, 1), (6, 5, 4), (34, 34, 2)]
SENSORS_OF_TWO = [sensor for sensor in SENSORS if sensor[2] == 2]
COLUMNS = ("t", "x", "y", "p")


def to_array(events):
    """Events as the structured array that Tonic's datasets give."""
    dtypes = events.get("dtype", {})
    names = [name for name in COLUMNS if name in events]
    array = np.empty(len(events["t"]) * events.get("repeat", 1), [(name, dtypes.get(name, np.int64)) for name in names])
    for name in names:
        array[name] = np.repeat(events[name], events.get("repeat", 1))
    return array


def to_columns(events):
    """Events as lists; none at all where Tonic gives an empty array of another type."""
    if len(events) == 0:
        return {name: [] for name in COLUMNS}
    return {name: events[name].astype(np.int64).tolist() for name in COLUMNS if name in events.dtype.names}


def to_entries(frames):
    """Values that are not 0, rounded to float32."""
    frames = frames.astype(np.float32)
    if not np.isfinite(frames).all():
        raise ValueError("values that are not finite")
    t, p, y, x = np.nonzero(frames)
    cells = (p * frames.shape[2] + y) * frames.shape[3] + x
    values = [float(str(value)) for value in frames[t, p, y, x]]  # float32's own digits: they read back to the same bits
    return {"shape": list(frames.shape), "entries": [list(e) for e in zip(t.tolist(), cells.tolist(), values)]}


def made(step):
    """A transform of Tonic. JSON has no tuples."""
    arguments = {key: tuple(v) if isinstance(v, list) and key != "coordinates" else v for key, v in step.items()}
    return getattr(transforms, arguments.pop("name"))(**arguments)


def framed(events, frames, sensor):
    """Frames as (T, P, H, W), made by Tonic."""
    arguments = {key: value for key, value in frames.items() if key != "name"}
    if frames["name"] == "ToBinaRep":
        bits = arguments.get("n_frames", 1) * arguments.get("n_bits", 8)
        counts = transforms.ToFrame(sensor_size=sensor, n_time_bins=bits)(events)
        return transforms.ToBinaRep(**arguments)(counts)
    if frames["name"] == "ToTimesurface" and ("overlap" in arguments or "include_incomplete" in arguments):
        return functional.to_timesurface_numpy(events, sensor_size=sensor, **arguments)  # the class lacks these two
    result = getattr(transforms, frames["name"])(sensor_size=sensor, **arguments)(events)
    return result[None] if frames["name"] == "ToImage" else result


def sensor_after(step, sensor):
    """The sensor that a step leaves, which Tonic's users keep in mind themselves."""
    width, height, polarities = sensor
    name = step["name"]
    if name == "CenterCrop":
        size = step["size"]
        return (*(size if isinstance(size, list) else (size, size)), polarities)
    if "target_size" in step:
        return (*step["target_size"], polarities)
    if name == "Downsample":
        factor = step.get("spatial_factor", 1)
        fx, fy = factor if isinstance(factor, list) else (factor, factor)
        return int((width - 1) * fx) + 1, int((height - 1) * fy) + 1, polarities
    return (width, height, 1) if name == "MergePolarities" else sensor


def case(name, sensor, events, steps=(), frames=None, differs=None, ours=None, before=None, later=0):
    """One case, with Tonic's answer. `before` are events that the same transforms saw first; EventDownsampling sees all
    times `later`, which changes nothing but its assertion of a last time beyond dt."""
    result = {"name": name, "sensor": list(sensor), "events": events, "steps": list(steps), "frames": frames}
    try:
        array = to_array(events)
        for step in copy.deepcopy(result["steps"]):
            transform = made(step)
            if before:
                transform(to_array(before))
            if later and step["name"] == "EventDownsampling":
                array = array.copy()
                array["t"] += later
            array = transform(array)
            sensor = sensor_after(step, sensor)
            if len(array) == 0:
                break
            if step["name"] == "EventDownsampling":
                array = array.astype([(column, np.int64) for column in array.dtype.names])
        result["result"] = to_columns(array)
        if frames and len(array):
            with np.errstate(all="ignore"):
                result["result"] = to_entries(framed(array, frames, sensor))
    except Exception as error:  # any error of Tonic is recorded
        result.pop("result", None)
        result["error"] = f"{type(error).__name__}: {error}"
    if differs:
        result |= {"differs": differs, "ours": ours}
    return result


def some_events(rng, sensor, most):
    """Few pixels, many ties: windows, periods and thresholds end exactly on events."""
    n = int(rng.choice([1, 2, 3, 5, 8, 13, 21, most]))
    gaps = rng.choice([[0, 0, 0, 1, 1, 2, 5], [0, 1, 3, 10, 100, 250], [0, 0, 500, 1000, 1001, 4000], [1, 7, 7, 33, 90, 1]][rng.integers(4)], n)
    gaps[0] = rng.choice([0, 0, 1, 5, 1000, 77_777, -50, -3000])
    width, height, polarities = sensor
    spread = rng.choice([1, 2, 3, 40])
    near = lambda size: ((rng.integers(0, size) + rng.integers(0, spread, n)) % size).tolist()
    return {"t": np.cumsum(gaps).tolist(), "x": near(width), "y": near(height), "p": rng.integers(0, polarities, n).tolist()}


def late(rng, events):
    """Now and then, microseconds since 1970."""
    if rng.random() < 0.1:
        events["t"] = [t + 1_600_000_000_000_000 for t in events["t"]]
    return events


def pick(rng, *values):
    value = values[rng.integers(len(values))]
    return value.item() if isinstance(value, np.generic) else value


def size_of(rng, sensor, smaller):
    """A size about that of a sensor."""
    return [int(rng.integers(1, size + 1 if smaller else size + 6)) for size in sensor[:2]]


def step_of(rng, name, sensor, events):
    """A transform with some arguments."""
    t = events["t"]
    if name == "CenterCrop":
        size = pick(rng, size_of(rng, sensor, False), int(rng.integers(1, 12)))
        return {"name": name, "sensor_size": list(sensor), "size": size}
    if name == "CropTime":
        step = {"name": name, "max": t[-1] + pick(rng, -5, -1, 0, 1, -100)}
        step |= {"min": t[0] + pick(rng, -1, 0, 1, 3, 50)} if rng.random() < 0.7 else {}
        return step | {"max": max(step["max"], step.get("min", 0))}
    if name == "Denoise":
        return {"name": name, "filter_time": pick(rng, 0, 1, 2, 5, 10, 100, 1000, 10_000, 2.5, 0.5)}
    if name == "Decimation":
        return {"name": name, "n": pick(rng, 1, 2, 3, 5)}
    if name == "DropPixel":
        if rng.random() < 0.5:
            width, height, _ = sensor
            pixels = [[int(rng.integers(width)), int(rng.integers(height))] for _ in range(rng.integers(0, 6))]
            return {"name": name, "coordinates": pixels}
        return {"name": name, "hot_pixel_frequency": pick(rng, 1, 60, 1000, 10_000, 50_000, 200_000, 0.5, 333.3)}
    if name == "Downsample":
        step = {"name": name} | ({"time_factor": pick(rng, 0.001, 0.5, 0.1, 1 / 3, 2, 2.5, 7)} if rng.random() < 0.5 else {})
        if rng.random() < 0.5:
            return step | {"sensor_size": list(sensor), "target_size": size_of(rng, sensor, True)}
        return step | {"spatial_factor": pick(rng, 0.5, 0.25, 1 / 3, [0.7, 1.0], [1, 0.3], [0.1, 0.9], 1)}
    if name == "EventDownsampling":
        step = {"name": name, "sensor_size": list(sensor), "target_size": size_of(rng, sensor, True)}
        step |= {"dt": pick(rng, 0.001, 0.005, 0.1, 0.25, 1, 0.0035, 2), "noise_threshold": pick(rng, 0, 1, 1, 1, 2, 3)}
        if (t[-1] - t[0]) / step["dt"] > 40_000:
            step["dt"] = 1
        if rng.random() < 0.5:
            return step | {"downsampling_method": "integrator"}
        return step | {"downsampling_method": "differentiator", "differentiator_time_bins": pick(rng, 1, 2, 2, 3, 5)}
    if name == "RefractoryPeriod":
        return {"name": name, "delta": pick(rng, 0, 1, 2, 5, 100, 1000, 4000)}
    if name == "TimeSkew":
        offset = {"offset": pick(rng, 5, -5, 1000, 0.5, -2.75, 100)} if rng.random() < 0.6 else {}
        return {"name": name, "coefficient": pick(rng, 2, 1, 0.5, 1.3, 1 / 3, 0, 1e-3, 10, 2.0)} | offset
    return {"name": name}


STEPS = ["CenterCrop", "CropTime", "Denoise", "Decimation", "DropPixel", "Downsample", "EventDownsampling",
         "MergePolarities", "RefractoryPeriod", "TimeAlignment", "TimeSkew"]


def sensors_for(name):
    return SENSORS_OF_TWO if name in ("EventDownsampling", "ToVoxelGrid") else SENSORS


def lenient(name, sensor, events, steps, frames=None):
    """A case, where Tonic's EventDownsampling may raise."""
    made = case(name, sensor, events, steps, frames)
    if made.get("error", "").startswith("AssertionError"):
        again = case(name, sensor, events, steps, frames, later=10**10)
        ours = again.get("result", {name: [] for name in COLUMNS})
        return made | {"differs": "EventDownsampling raises where dt exceeds the last time; times are counted from the first here", "ours": ours}
    if "error" in made:
        ours = {name: [] for name in COLUMNS}
        return made | {"differs": "EventDownsampling raises where no pixel fires; no events here", "ours": ours}
    return made


def single(each, most):
    """Each transform alone."""
    for number, name in enumerate(STEPS):
        rng = np.random.default_rng([21, number])
        for i in range(each):
            sensor = pick(rng, *sensors_for(name))
            events = late(rng, some_events(rng, sensor, most))
            if name == "TimeSkew" and i % 10 == 0:
                events["t"] = [t + 2**53 + 1 for t in events["t"]]  # whole numbers are exact beyond float64
                yield case(f"{name}-{i}", sensor, events, [{"name": name, "coefficient": pick(rng, 1, 2, 3), "offset": 7}])
                continue
            yield lenient(f"{name}-{i}", sensor, events, [step_of(rng, name, sensor, events)])


def chained(each, most):
    """Several in a row, and frames of what is left."""
    rng = np.random.default_rng(22)
    for i in range(3 * each):
        sensor = first = pick(rng, *SENSORS)
        events = late(rng, some_events(rng, sensor, most))
        steps = []
        for _ in range(rng.integers(2, 5)):
            name = pick(rng, *STEPS)
            while name == "EventDownsampling" and sensor[2] != 2:
                name = pick(rng, *STEPS)
            steps.append(step_of(rng, name, sensor, events))
            sensor = sensor_after(steps[-1], sensor)
        yield lenient(f"chain-{i}", first, events, steps, pick(rng, None, {"name": "ToFrame", "n_event_bins": 2}))


def frames_of(rng, name, events):
    """A framing with some arguments."""
    duration = events["t"][-1] - events["t"][0]
    if name == "ToBinaRep":
        return {"name": name} | {key: pick(rng, *values) for key, values in (("n_frames", (1, 2, 3)), ("n_bits", (2, 3, 8, 24))) if rng.random() < 0.8}
    if name == "ToTimesurface":
        dt = pick(rng, max(1, duration // 5), max(1, duration // 3), max(0.5, duration / 7), duration + 1)
        frames = {"name": name, "dt": dt, "tau": pick(rng, 1, 10, 100.0, 5000, 33.3)}
        if rng.random() < 0.5:
            frames |= {"overlap": pick(rng, 0, dt / 2, dt / 3), "include_incomplete": bool(rng.random() < 0.7)}
        return frames
    if name == "ToAveragedTimesurface":
        cell = pick(rng, 1, 3, 5, 10, 40)
        frames = {"name": name, "cell_size": cell, "surface_size": pick(rng, *[s for s in (1, 3, 5, 7) if s <= cell])}
        options = {"time_window": (1e3, 5, 100, 1e6), "tau": (100, 1.5, 3000), "decay": ("lin", "exp")}
        return frames | {key: pick(rng, *values) for key, values in options.items() if rng.random() < 0.7}
    if name == "ToVoxelGrid":
        return {"name": name, "n_time_bins": pick(rng, 1, 2, 3, 5, 10)}
    if name == "ToFrame":
        way = pick(rng, "time_window", "event_count", "n_time_bins", "n_event_bins")
        size = pick(rng, 1, 2, 3, 7) if way != "time_window" else max(1, pick(rng, duration // 7, duration // 3, duration + 1, 5, 100))
        if way == "time_window" and duration / size > 200:
            size = duration // 50
        largest = size if way in ("time_window", "event_count") else 1
        frames = {"name": name, way: size, "overlap": pick(rng, 0, 0, largest / 2, largest / 3), "include_incomplete": bool(rng.random() < 0.5)}
        if way == "time_window" and rng.random() < 0.4:
            frames |= {"start_time": events["t"][0] + pick(rng, 0, -3, 5), "end_time": events["t"][-1] + pick(rng, 0, -1, 50)}
        return frames
    return {"name": name}


def framings(each, most):
    """Each framing alone."""
    for number, name in enumerate(["ToImage", "ToBinaRep", "ToTimesurface", "ToAveragedTimesurface", "ToVoxelGrid", "ToFrame"]):
        rng = np.random.default_rng([23, number])
        for i in range(each):
            sensor = pick(rng, *sensors_for(name)[:-1])
            events = some_events(rng, sensor, most)
            if name == "ToVoxelGrid" and events["t"][0] == events["t"][-1]:
                events["t"].append(events["t"][-1] + 9)
                for column, value in (("x", 0), ("y", 0), ("p", 1)):
                    events[column].append(value)
            # float32 times, as ToAveragedTimesurface has them, are exact up to 16 s.
            events = events if name == "ToAveragedTimesurface" else late(rng, events)
            yield case(f"{name}-{i}", sensor, events, (), frames_of(rng, name, events))


def different():
    """Where we differ on purpose."""
    three = {"t": [10, 20, 30], "x": [1, 2, 2], "y": [1, 1, 1], "p": [1, 0, 1]}
    nothing = {name: [] for name in COLUMNS}
    sensor = (5, 4, 2)
    crop = {"name": "CropTime", "min": 15}
    yield case("state", sensor, three, [crop], None, "CropTime without max keeps the first recording's last time for all that follow",
               {"t": [20, 30], "x": [2, 2], "y": [1, 1], "p": [0, 1]}, before={"t": [16, 20], "x": [0, 0], "y": [0, 0], "p": [0, 0]})
    yield case("crossed", sensor, three, [{"name": "CropTime", "min": 25, "max": 15}], None, "bounds that nothing can be between are a slip", "refused")
    unsigned = three | {"dtype": {"x": "uint16", "y": "uint16"}}
    yield case("unsigned-crop", sensor, unsigned, [{"name": "CenterCrop", "sensor_size": [5, 4, 2], "size": 8}], None,
               "unsigned coordinates overflow where CenterCrop adds a margin", {"t": [10, 20, 30], "x": [3, 4, 4], "y": [3, 3, 3], "p": [1, 0, 1]})
    down = {"name": "EventDownsampling", "sensor_size": [5, 4, 2], "target_size": [1, 1], "dt": 0.01}
    fires = {"t": [0, 10], "x": [0, 0], "y": [0, 0], "p": [1, 0]}
    yield case("default-threshold", sensor, three, [down | {"downsampling_method": "integrator"}], None,
               "noise_threshold is 0 by default as documented; Tonic's None raises", fires)
    yield case("default-bins", sensor, three | {"t": [0, 10, 20]}, [down | {"downsampling_method": "differentiator", "noise_threshold": 1}], None,
               "differentiator_time_bins is 2 by default as documented; Tonic's None raises", {"t": [0], "x": [0], "y": [0], "p": [0]})
    yield case("naive", sensor, three, [down | {"downsampling_method": "naive"}], None, "Tonic documents this method and lacks it", "refused")
    many = {"t": [0, 40_000], "x": [0, 0], "y": [0, 0], "p": [1, 1], "repeat": 33_000}
    yield case("wrap-counts", sensor, many, [down | {"dt": 1, "downsampling_method": "integrator", "noise_threshold": 40}], None,
               "int16 counts wrap", {"t": [0], "x": [0], "y": [0], "p": [1]})
    long = {"t": [0, 3_000_000_000, 6_500_000_000], "x": [0] * 3, "y": [0] * 3, "p": [1] * 3}
    yield case("wrap-times", sensor, long, [down | {"dt": 1_500_000, "downsampling_method": "integrator", "noise_threshold": 1}], None,
               "times emitted after 35 minutes overflow int32", {"t": [0, 3_000_000_000], "x": [0, 0], "y": [0, 0], "p": [1, 1]})
    yield case("reversed", sensor, three, [{"name": "TimeSkew", "coefficient": -1, "offset": 100}], None,
               "a negative coefficient leaves times descending, which slicing cannot cut; sorted here",
               {"t": [70, 80, 90], "x": [2, 2, 1], "y": [1, 1, 1], "p": [1, 0, 1]})
    yield case("overflow", sensor, three, [{"name": "TimeSkew", "coefficient": 4e17}], None,
               "times beyond 64 bits wrap; such events are left out and counted here",
               {"t": [4 * 10**18, 8 * 10**18], "x": [1, 2], "y": [1, 1], "p": [1, 0]})
    both = {"name": "DropPixel", "coordinates": [[2, 1]], "hot_pixel_frequency": 1e9}
    yield case("both-drops", sensor, three, [both], None, "coordinates are ignored beside hot_pixel_frequency; refused here", "refused")
    yield case("no-pixel", sensor, three, [{"name": "DropPixel", "coordinates": [[5, 1]]}], None, "a pixel outside the sensor is a slip", "refused")
    yield case("enlarged", sensor, three, [{"name": "Downsample", "spatial_factor": 2}], None, "a factor above 1 does not downsample", "refused")
    line = {"t": [10, 20, 30], "x": [1, 2, 2], "p": [0, 0, 0]}
    yield case("no-y", (5, 1, 1), line, [{"name": "Denoise", "filter_time": 15}], None, "recordings without y raise; one row here",
               {"t": [10, 20], "x": [1, 2], "y": [0, 0], "p": [0, 0]})
    yield case("no-duration", sensor, three | {"t": [7, 7, 7]}, (), {"name": "ToVoxelGrid", "n_time_bins": 2},
               "a sample of no duration divides by zero; all of it is in the first bin here",
               {"shape": [2, 1, 4, 5], "entries": [[0, 6, 1.0]]})
    yield case("bool-polarity", sensor, three | {"t": [0, 5, 10], "dtype": {"p": "bool"}}, (), {"name": "ToVoxelGrid", "n_time_bins": 1},
               "boolean polarities are all +1 in ToVoxelGrid", {"shape": [1, 1, 4, 5], "entries": [[0, 6, 1.0], [0, 7, -0.5]]})
    averaged = {"name": "ToAveragedTimesurface", "cell_size": 5, "surface_size": 3, "decay": "lin"}
    same = {"t": [10, 20], "x": [1, 2], "y": [1, 1], "p": [1, 1]}
    seen = lambda value: {"shape": [1, 2, 3, 3], "entries": [[0, 12, value], [0, 13, 1.0]]}
    yield case("unsigned-surface", sensor, same | {"dtype": {"x": "uint16", "y": "uint16"}}, (), averaged,
               "unsigned coordinates wrap in ToAveragedTimesurface: half of what an event sees is lost", seen(0.48333332))
    yield case("late-surface", sensor, same | {"t": [2**30 + 1, 2**30 + 31]}, (), averaged,
               "ToAveragedTimesurface has float32 times, which are off by up to 64 us after a quarter of an hour", seen(0.45))
    yield case("nothing", sensor, nothing, (), {"name": "ToImage"}, "no events: an empty frame", {"shape": [1, 2, 4, 5], "entries": []})
    yield case("no-surface", sensor, nothing, (), {"name": "ToTimesurface", "dt": 10, "tau": 5}, "no events: an empty frame", {"shape": [1, 2, 4, 5], "entries": []})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--each", type=int, default=24, help="cases of each transform and framing (default 24)")
    parser.add_argument("--most", type=int, default=40, help="events of the largest samples (default 40)")
    args = parser.parse_args()
    groups = (group(args.each, args.most) for group in (single, chained, framings))
    cases = [c for group in (*groups, different()) for c in group]
    assert len({c["name"] for c in cases}) == len(cases)
    with open(args.out, "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")
    print(f"{len(cases)} cases, {sum('differs' in c for c in cases)} of which differ on purpose")
    for c in cases:
        if "error" in c and "differs" not in c:
            print(c["name"], c["error"], c["steps"], c["frames"])


if __name__ == "__main__":
    main()
