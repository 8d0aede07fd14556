"""Bags of ROS 1 with events, written by rosbags: tests/data/sources/rosbag/.

    venv/bin/python rosbag_files.py ../../tests/data/sources/rosbag

`rosbags.json` has, for each bag and topic, the sensor and the t, x, y and p that rosbags reads in its messages: times in
microseconds, nanoseconds cut off. Packets of event_camera_msgs are decoded as its documentation says: `mono` below, and
for `evt3` the events that went into the words.
"""
import json
import pathlib
import sys

import numpy as np
from rosbags.rosbag1 import Reader, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

EVENT = "uint16 x\nuint16 y\ntime ts\nbool polarity\n"
ARRAY = "std_msgs/Header header\nuint32 height\nuint32 width\n{}/Event[] events\n"
PACKET = ("std_msgs/Header header\nuint32 height\nuint32 width\nuint64 seq\nuint64 time_base\nstring encoding\n"
          "bool is_bigendian\nuint8[] events\n")
START = 1_500_000_000_123_456_789


def typestore():
    store = get_typestore(Stores.ROS1_NOETIC)
    for package in ("dvs_msgs", "prophesee_event_msgs"):
        store.register(get_types_from_msg(EVENT, f"{package}/msg/Event"))
        store.register(get_types_from_msg(ARRAY.format(package), f"{package}/msg/EventArray"))
    store.register(get_types_from_msg(PACKET, "event_camera_msgs/msg/EventPacket"))
    return store


STORE = typestore()
TYPES = STORE.types


def time(ns):
    return TYPES["builtin_interfaces/msg/Time"](sec=ns // 10**9, nanosec=ns % 10**9)


def header(i, ns):
    return TYPES["std_msgs/msg/Header"](seq=i, stamp=time(ns), frame_id="camera")


def events(seed, n):
    rng = np.random.default_rng(seed)
    t = START + np.cumsum(rng.integers(0, 400_000, n))
    return [(int(t[i]), int(rng.integers(0, 40)), int(rng.integers(0, 30)), bool(rng.integers(0, 2))) for i in range(n)]


def arrays(package, found, length=50):
    for i in range(0, len(found), length):
        part = found[i:i + length]
        each = [TYPES[f"{package}/msg/Event"](x=x, y=y, ts=time(t), polarity=p) for t, x, y, p in part]
        array = TYPES[f"{package}/msg/EventArray"](header=header(i, part[-1][0]), height=30, width=40, events=each)
        yield f"{package}/msg/EventArray", part[-1][0], array


def packets(encoding, found, length=50):
    high = None
    for i in range(0, len(found), length):
        part = found[i:i + length]
        base = part[0][0]
        if encoding == "mono":
            words = np.array([(t - base) | x << 32 | y << 48 | int(p) << 63 for t, x, y, p in part], "<u8")
        else:
            words = []
            for t, x, y, p in part:
                us = t // 1000 - START // 1000
                if high != us >> 12:
                    high = us >> 12
                    words.append(0x8000 | high & 0xfff)
                words += [0x6000 | us & 0xfff, y, 0x2000 | int(p) << 11 | x]
            words = np.array(words, "<u2")
        packet = TYPES["event_camera_msgs/msg/EventPacket"](
            header=header(i, base), height=30, width=40, seq=i, time_base=base if encoding == "mono" else 0,
            encoding=encoding, is_bigendian=False, events=words.view("u1"))
        yield "event_camera_msgs/msg/EventPacket", part[-1][0], packet


def imu(found):
    vector = TYPES["geometry_msgs/msg/Vector3"](x=0.0, y=0.0, z=9.8)
    turn = TYPES["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=0.0, w=1.0)
    none = np.zeros(9)
    for i, (t, *_) in enumerate(found[::100]):
        yield "sensor_msgs/msg/Imu", t, TYPES["sensor_msgs/msg/Imu"](
            header=header(i, t), orientation=turn, orientation_covariance=none, angular_velocity=vector,
            angular_velocity_covariance=none, linear_acceleration=vector, linear_acceleration_covariance=none)


def write(path, topics, compression=None):
    """Writes messages of several topics in the order of their times."""
    path.unlink(missing_ok=True)
    writer = Writer(path)
    if compression:
        writer.set_compression(compression)
    with writer:
        connections = {}
        everything = [(ns, topic, kind, message) for topic, all_ in topics.items() for kind, ns, message in all_]
        for ns, topic, kind, message in sorted(everything, key=lambda entry: entry[:2]):
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connections[topic], ns, STORE.serialize_ros1(message, kind))


def decoded(path):
    """What rosbags reads: for each topic of events the sensor and the events."""
    found = {}
    with Reader(path) as reader:
        for connection, _, raw in reader.messages():
            if "event" not in connection.msgtype.lower():
                continue
            message = STORE.deserialize_ros1(raw, connection.msgtype)
            topic = found.setdefault(connection.topic, {"sensor": [message.width, message.height], "events": []})
            if connection.msgtype.endswith("EventArray"):
                topic["events"] += [(e.ts.sec * 10**6 + e.ts.nanosec // 1000, e.x, e.y, int(e.polarity))
                                    for e in message.events]
            elif message.encoding == "mono":
                for word in message.events.view("<u8").tolist():
                    t = message.time_base + (word & 0xffffffff)
                    topic["events"].append((t // 1000, word >> 32 & 0xffff, word >> 48 & 0x7fff, word >> 63))
    return found


def main(out):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    left, right = events(1, 300), events(2, 200)
    bags = {
        "dvs": {"/dvs/events": arrays("dvs_msgs", left), "/dvs/imu": imu(left)},
        "two_cameras_bz2": {"/left/events": arrays("dvs_msgs", left), "/right/events": arrays("dvs_msgs", right, 20),
                            "/imu": imu(left)},
        "prophesee_lz4": {"/cd_events_buffer": arrays("prophesee_event_msgs", left)},
        "packets_mono": {"/event_camera/events": packets("mono", left)},
        "packets_evt3": {"/event_camera/events": packets("evt3", left)},
    }
    found = {}
    for name, topics in bags.items():
        path = out / f"{name}.bag"
        ending = name.rsplit("_", 1)[-1]
        write(path, topics, {"bz2": Writer.CompressionFormat.BZ2, "lz4": Writer.CompressionFormat.LZ4}.get(ending))
        found[path.name] = decoded(path)
    went_in = [(t // 1000 - START // 1000, x, y, int(p)) for t, x, y, p in left]
    found["packets_evt3.bag"]["/event_camera/events"]["events"] = went_in
    (out / "rosbags.json").write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
