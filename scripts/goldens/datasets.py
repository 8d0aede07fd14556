"""Stand-ins of the downloads of data sets, and what Tonic's own classes read of them.

    python datasets.py ../../tests/data/datasets [NAME ...]

Writes NAME.zip for each data set: a tiny seeded download in the layout of the original, and `tonic.json`. That file has,
for each split, a list of samples: `file` (below the folder of the split; null if a file has many samples), `target` as
Tonic returns it, and the columns t, x, y and p. Tonic's download is replaced: its class finds the stand-in where it
would have unpacked the original. `oracle` names the reader where it is not Tonic's class for the set, and `why`.
"""
import contextlib
import io
import json
import os
import shutil
import struct
import sys
import tempfile
import types
import zipfile

import h5py
import numpy as np
from tonic import datasets
from tonic import io as tonic_io

MAKERS = {}


def maker(function):
    MAKERS[function.__name__] = function
    return function


def write(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as out:
        out.write(content)


def events(rng, n, width, height, most=90_000, first=0):
    """n events in order of time."""
    t = first + np.sort(rng.integers(0, most, n))
    return t, rng.integers(0, width, n), rng.integers(0, height, n), rng.integers(0, 2, n)


def loaded(kind, root, **arguments):
    """Tonic's class on the stand-in, with its checks and its download replaced."""
    replaced = {"_check_exists": lambda self, *_: True, "download": lambda self: None}
    return type(kind.__name__, (kind,), replaced)(save_to=root, **arguments)


def sample(file, target, t, x, y, p):
    column = lambda values: np.asarray(values).astype(np.int64).ravel().tolist()
    y = np.zeros(len(np.ravel(t))) if y is None else y
    return {"file": file, "target": target, "t": column(t), "x": column(x), "y": column(y), "p": column(p)}


def unlabelled(file, read):
    return sample(file, None, read["t"], read["x"], read["y"], read["p"])


def samples(data, folder):
    """What a class of Tonic reads, with the name of each sample's file below `folder`."""
    found = []
    for i in range(len(data)):
        read, target = data[i]
        names = read.dtype.names
        file = os.path.relpath(data.data[i], folder) if isinstance(data.data[i], str) else None
        target = target.item() if isinstance(target, np.generic) else target
        found.append(sample(file, target, read["t"], read["x"], read["y"] if "y" in names else None, read["p"]))
    return sorted(found, key=lambda one: one["file"] or "")


def mnist_bin(t, x, y, p, overflows=()):
    """40-bit events. Before the events in `overflows`, the clock overflows by 2^13 us."""
    out, added = b"", 0
    for i in range(len(t)):
        if i in overflows:
            out += bytes([0, 240, 0, 0, 0])
            added += 1 << 13
        time = int(t[i]) - added
        out += bytes([int(x[i]), int(y[i]), int(p[i]) << 7 | time >> 16, time >> 8 & 255, time & 255])
    return out


@maker
def nmnist(root, rng):
    for part in ("Train", "Test"):
        for digit in range(10):
            for number in range(2 if part == "Train" else 1):
                t, x, y, p = events(rng, 12, 34, 34, first=9_000)
                path = f"{root}/NMNIST/{part}/{digit}/{number * 7 + digit:05}.bin"
                write(path, mnist_bin(t, x, y, p, [5] if digit % 3 == 0 else []))
    of = lambda train: loaded(datasets.NMNIST, root, train=train)
    parts = {"train": (True, "Train"), "test": (False, "Test")}
    return {split: samples(of(train), f"{root}/NMNIST/{part}") for split, (train, part) in parts.items()}


@maker
def dvsgesture(root, rng):
    for part, users in (("Train", ["user01_fluorescent", "user02_led"]), ("Test", ["user24_lab"])):
        for user in users:
            for gesture in range(11):
                t, x, y, p = events(rng, 10, 128, 128, most=6_000)
                table = np.stack([x, y, p, t], axis=1)
                path = f"{root}/DVSGesture/ibmGesture{part}/{user}/{gesture}.npy"
                os.makedirs(os.path.dirname(path), exist_ok=True)
                np.save(path, table)
    of = lambda train: loaded(datasets.DVSGesture, root, train=train)
    folder = lambda part: f"{root}/DVSGesture/ibmGesture{part}"
    return {"train": samples(of(True), folder("Train")), "test": samples(of(False), folder("Test"))}


def aedat3(t, x, y, p):
    head = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#Start-Time: 2016-01-01 00:00:00\r\n#!END-HEADER\r\n"
    packet = lambda n: struct.pack("<HHIIIIII", 1, 1, 8, 4, 0, n, n, n)
    out = head
    for start in range(0, len(t), 16):
        part = range(start, min(start + 16, len(t)))
        out += packet(len(part))
        for i in part:
            out += struct.pack("<II", int(x[i]) << 17 | int(y[i]) << 2 | int(p[i]) << 1 | 1, int(t[i]))
    return out


@maker
def dvsgesture_aedat(root, rng):
    """The original recordings. Tonic has no class for them, and its reader of AEDAT 3.1 fails on any header: it unpacks
    three values into two."""
    folder = f"{root}/DvsGesture"
    users = {"train": ["user01_fluorescent", "user02_led"], "test": ["user24_lab"]}
    found = {}
    for split, names in users.items():
        found[split] = []
        for name in names:
            t, x, y, p = events(rng, 60, 128, 128, most=110_000, first=1_000_000)
            path = f"{folder}/{name}.aedat"
            write(path, aedat3(t, x, y, p))
            rows = ["class,startTime_usec,endTime_usec"]
            for gesture in rng.permutation(11)[:5]:
                start = 1_000_000 + 20_000 * (len(rows) - 1)
                rows.append(f"{gesture + 1},{start},{start + 15_000}")
                try:
                    tonic_io.read_dvs_ibm(path)
                    raise SystemExit("read_dvs_ibm reads AEDAT 3.1 again: use it")
                except ValueError as error:
                    assert "too many values to unpack" in str(error)
                version, start_of_data, _ = tonic_io.read_aedat_header_from_file(path)
                read = tonic_io.get_aer_events_from_file(path, version, start_of_data)
                address, time = read["address"], read["timeStamp"].astype(np.int64)
                inside = (time >= start) & (time < start + 15_000)
                address, time = address[inside], time[inside]
                columns = address >> 17 & 0x1FFF, address >> 2 & 0x1FFF, address >> 1 & 1
                found[split].append(sample(f"{name}.aedat", int(gesture), time - start, *columns))
            write(f"{folder}/{name}_labels.csv", "\n".join(rows).encode() + b"\n")
        write(f"{folder}/trials_to_{split}.txt", "".join(f"{name}.aedat\n" for name in names).encode() + b"\n")
    found["oracle"] = "tonic.io.get_aer_events_from_file, and the shifts of tonic.io.read_dvs_ibm"
    found["why"] = "Tonic has no class for the original; read_dvs_ibm raises ValueError for every file"
    return found


def aedat4(path, t, x, y, p):
    import dv_processing as dv

    os.makedirs(os.path.dirname(path), exist_ok=True)
    config = dv.io.MonoCameraWriter.EventOnlyConfig("DVS128", (128, 128), dv.CompressionType.NONE)
    writer = dv.io.MonoCameraWriter(path, config)
    store = dv.EventStore()
    for i in range(len(t)):
        store.push_back(int(t[i]), int(x[i]), int(y[i]), bool(p[i]))
    writer.writeEvents(store)
    del writer


@maker
def cifar10dvs(root, rng):
    classes = list(datasets.CIFAR10DVS.classes)
    for name in classes:
        t, x, y, p = events(rng, 12, 128, 128, first=1_584_000_000_000_000)
        aedat4(f"{root}/CIFAR10DVS/{name}/cifar10_{name}_{len(name)}.aedat4", t, x, y, p)
    return {"all": samples(loaded(datasets.CIFAR10DVS, root), f"{root}/CIFAR10DVS")}


def aedat2(t, x, y, p):
    head = b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n# AEChip: ch.unizh.ini.jaer.chip.retina.DVS128\r\n"
    word = lambda i: int(y[i]) << 8 | (127 - int(x[i])) << 1 | (1 - int(p[i]))
    return head + b"".join(struct.pack(">II", word(i), int(t[i])) for i in range(len(t)))


@maker
def cifar10dvs_aedat(root, rng):
    """The first publication, in jAER's AEDAT 2. Tonic has no class for it, and its reader of AEDAT 2 fails as well."""
    found = []
    for i, name in enumerate(datasets.CIFAR10DVS.classes):
        t, x, y, p = events(rng, 10, 128, 128)
        file = f"{name}/cifar10_{name}_{i}.aedat"
        write(f"{root}/CIFAR10DVS/{file}", aedat2(t, x, y, p))
        try:
            tonic_io.read_dvs_128(f"{root}/CIFAR10DVS/{file}")
            raise SystemExit("read_dvs_128 reads AEDAT 2 again: use it")
        except ValueError as error:
            assert "too many values to unpack" in str(error)
        found.append(sample(file, i, t, x, 127 - y, p))
    why = "Tonic has no class for it; read_dvs_128 raises ValueError for every file, and would exchange x and y"
    return {"all": found, "oracle": "the generator, in the pixels that DV shows", "why": why}


@maker
def ncaltech101(root, rng):
    names = ["BACKGROUND_Google", "Faces", "Faces_easy", "Leopards", "Motorbikes"] + [f"class_{i:02}" for i in range(96)]
    for i, name in enumerate(names):
        t, x, y, p = events(rng, 6, 100 + i, 80 + i % 99)
        content = mnist_bin(t, x + 20, y + i % 2, p, [3] if i % 40 == 0 else [])
        write(f"{root}/NCALTECH101/Caltech101/{name}/image_0001.bin", content)
    return {"all": samples(loaded(datasets.NCALTECH101, root), f"{root}/NCALTECH101/Caltech101")}


def dat(t, x, y, p):
    head = b"% Data file containing TD events.\n% Version 2\n% Date 2018-03-27 14:47:42\n"
    word = lambda i: int(x[i]) | int(y[i]) << 14 | int(p[i]) << 28
    return head + bytes([0, 8]) + b"".join(struct.pack("<II", int(t[i]), word(i)) for i in range(len(t)))


@maker
def ncars(root, rng):
    """Tonic 1.7 has no class for N-CARS."""
    from expelliarmus import Wizard

    found = {}
    for split in ("train", "test"):
        found[split] = []
        for target, name in enumerate(("background", "cars")):
            for i in range(2):
                file = f"{name}/obj_{target * 50 + i:06}_td.dat"
                path = f"{root}/Prophesee_Dataset_n_cars/n-cars_{split}/{file}"
                write(path, dat(*events(rng, 12, 120, 100, most=100_000)))
                read = Wizard(encoding="dat").read(path)
                found[split].append(sample(file, target, read["t"], read["x"], read["y"], read["p"]))
    found["oracle"], found["why"] = "expelliarmus 1.1.12", "Tonic 1.7 has no class for N-CARS"
    return found


@maker
def dvslip(root, rng):
    dtype = np.dtype([("t", "<i4"), ("x", "i1"), ("y", "i1"), ("p", "i1")])
    for part in ("train", "test"):
        for word in datasets.DVSLip.classes:
            t, x, y, p = events(rng, 3, 127, 127)
            table = np.zeros(3, dtype)
            table["t"], table["x"], table["y"], table["p"] = t, x, y, p
            path = f"{root}/DVSLip/DVS-Lip/{part}/{word}/{len(word)}.npy"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            np.save(path, table)
    of = lambda train: loaded(datasets.DVSLip, root, train=train)
    folder = lambda part: f"{root}/DVSLip/DVS-Lip/{part}"
    return {"train": samples(of(True), folder("train")), "test": samples(of(False), folder("test"))}


def heidelberg(path, rng, keys, n):
    with h5py.File(path, "w") as file:
        times = file.create_dataset("spikes/times", (n,), h5py.vlen_dtype(np.float16))
        units = file.create_dataset("spikes/units", (n,), h5py.vlen_dtype(np.uint16))
        for i in range(n):
            events = int(rng.integers(5, 20))
            times[i] = np.sort(rng.random(events)).astype(np.float16)
            units[i] = rng.integers(0, 700, events).astype(np.uint16)
        file["labels"] = rng.integers(0, len(keys), n).astype(np.uint16)
        file["extra/speaker"] = rng.integers(0, 12, n).astype(np.uint16)
        file["extra/keys"] = np.array([key.encode() for key in keys])


def of_heidelberg(data):
    found = []
    for i in range(len(data)):
        read, target = data[i]
        found.append(sample(None, int(target), read["t"], read["x"], None, read["p"] - 1))
    return found


@maker
def shd(root, rng):
    os.makedirs(f"{root}/SHD")
    for split in ("train", "test"):
        heidelberg(f"{root}/SHD/shd_{split}.h5", rng, ["zero", "one", "null"], 4)
    return {split: of_heidelberg(loaded(datasets.SHD, root, train=split == "train")) for split in ("train", "test")}


@maker
def ssc(root, rng):
    os.makedirs(f"{root}/SSC")
    splits = ("train", "valid", "test")
    for split in splits:
        heidelberg(f"{root}/SSC/ssc_{split}.h5", rng, ["yes", "no"], 3)
    return {split: of_heidelberg(loaded(datasets.SSC, root, split=split)) for split in splits}


@maker
def ntidigits18(root, rng):
    os.makedirs(f"{root}/NTIDIGITS18")
    said = {"train": ["1", "o7z", "z", "34"], "test": ["4", "o", "77"]}
    with h5py.File(f"{root}/NTIDIGITS18/n-tidigits.hdf5", "w") as file:
        for part, digits in said.items():
            names = [f"man-ab-{i}-{d}" for i, d in enumerate(digits)]
            file[f"{part}_labels"] = np.array([name.encode() for name in names], dtype="S24")
            for name in names:
                file[f"{part}_addresses/{name}"] = rng.integers(0, 64, 7).astype(np.uint8)
                file[f"{part}_timestamps/{name}"] = np.sort(rng.random(7) * 1.5)
    found = {}
    for split in said:
        data = loaded(datasets.NTIDIGITS18, root, train=split == "train")
        read = [data[i] for i in range(len(data))]
        found[split] = [sample(None, target, one["t"], one["x"], None, one["p"] - 1) for one, target in read]
    return found


@maker
def pokerdvs(root, rng):
    for part in ("pips_train", "pips_test"):
        for suit in datasets.POKERDVS.classes:
            for i in range(2):
                t, x, y, p = events(rng, 9, 35, 35, most=12_000)
                path = f"{root}/POKERDVS/{part}/{suit}/{i:03}.npy"
                os.makedirs(os.path.dirname(path), exist_ok=True)
                np.save(path, np.stack([t, x, y, p], axis=1))
    found = {}
    for split, part in (("train", "pips_train"), ("test", "pips_test")):
        data = loaded(datasets.POKERDVS, root, train=split == "train")
        # This class keeps arrays, not names. It walks the folders in the order of the file system.
        folders = os.walk(f"{root}/POKERDVS/{part}")
        files = [os.path.join(path, file) for path, _, files in folders for file in sorted(files)]
        found[split] = []
        for i, path in enumerate(files):
            read, target = data[i]
            file = os.path.relpath(path, f"{root}/POKERDVS/{part}")
            found[split].append(sample(file, target, read["t"], read["x"], read["y"], read["p"]))
        found[split].sort(key=lambda one: one["file"])
    return found


@maker
def smnist(root, rng):
    """Images with edges, noise and white areas. Tonic's events are in order of time only after a stable sort."""
    found = {}
    for split, part, n in (("train", "train", 3), ("test", "t10k", 2)):
        images = rng.integers(0, 256, (n, 28, 28)).astype(np.uint8)
        images[0] = 0
        images[0, 9:19, 12:16], images[0, 10, 12:15] = 255, (1, 127, 254)
        if n > 2:
            images[2, :, :14] = 255 - images[2, :, :14] % 3
        labels = rng.integers(0, 10, n).astype(np.uint8)
        write(f"{root}/smnist/{part}-images-idx3-ubyte", struct.pack(">IIII", 2051, n, 28, 28) + images.tobytes())
        write(f"{root}/smnist/{part}-labels-idx1-ubyte", struct.pack(">II", 2049, n) + labels.tobytes())
        data = loaded(datasets.SMNIST, root, train=split == "train")
        found[split] = []
        for i in range(n):
            read, target = data[i]
            order = np.argsort(read["t"], kind="stable")
            found[split].append(sample(None, int(target), read["t"][order], read["x"][order], None, read["p"] - 1))
    return found


def dsec_file(path, rng, width, height, offset=True):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    t, x, y, p = events(rng, 15, width, height)
    with h5py.File(path, "w") as file:
        file["events/t"], file["events/x"] = t.astype(np.uint32), x.astype(np.uint16)
        file["events/y"], file["events/p"] = y.astype(np.uint16), p.astype(np.uint8)
        file["ms_to_idx"] = np.zeros(3, np.uint64)
        if offset:
            file["t_offset"] = np.int64(51_648_500_652)


@maker
def dsec(root, rng):
    """Tonic adds t_offset to the times; the file's times are compared."""
    sys.modules["imageio"] = type(sys)("imageio")
    sys.modules["imageio"].plugins = type("", (), {"freeimage": type("", (), {"download": staticmethod(lambda: None)})})
    names = {"train": ["thun_00_a", "interlaken_00_c"], "test": ["thun_01_b"]}
    found = {}
    for split, recordings in names.items():
        for name in recordings:
            for side in ("left", "right"):
                dsec_file(f"{root}/DSEC/{name}/events_{side}/events.h5", rng, 640, 480)
        data = loaded(datasets.DSEC, root, split=recordings, data_selection="events_left")
        found[split] = []
        for i, name in enumerate(recordings):
            read = data[i][0][0]["events_left"]
            t = read["t"] - 51_648_500_652
            found[split].append(sample(f"{name}/events_left/events.h5", None, t, read["x"], read["y"], read["p"]))
    return found


@maker
def tumvie(root, rng):
    """Tonic's class takes all recordings, whatever it is asked for, and needs their images and poses too."""
    from PIL import Image

    names = datasets.TUMVIE.recordings[:3]
    for name in names:
        folder = f"{root}/TUMVIE/{name}"
        for side in ("left", "right"):
            dsec_file(f"{folder}/{name}-events_{side}.h5", rng, 1280, 720, offset=False)
    found = []
    for name in names:
        with tempfile.TemporaryDirectory() as other:
            shutil.copytree(f"{root}/TUMVIE", f"{other}/TUMVIE")
            folder = f"{other}/TUMVIE/{name}"
            for file in ("imu_data.txt", "mocap_data.txt"):
                write(f"{folder}/{file}", b"# t x\n1 2\n")
            for side in ("left", "right"):
                os.makedirs(f"{folder}/{side}_images")
                Image.new("L", (2, 2)).save(f"{folder}/{side}_images/00000.jpg")
                write(f"{folder}/{side}_images/image_timestamps_{side}.txt", b"# us\n5\n")
            data = loaded(datasets.TUMVIE, other, recording=name)
            read = data[datasets.TUMVIE.recordings.index(name)][0]["events_left"]
            found.append(unlabelled(f"{name}/{name}-events_left.h5", read))
    return {"all": found}


@maker
def threeet_eyetracking(root, rng):
    folder = f"{root}/ThreeET_Eyetracking"
    names = {"train": ["1_1", "2_4"], "val": ["5_2"]}
    found = {}
    for split, recordings in names.items():
        for name in recordings:
            os.makedirs(f"{folder}/data", exist_ok=True)
            with h5py.File(f"{folder}/data/{name}.h5", "w") as file:
                file["events"] = np.stack(events(rng, 12, 240, 180), axis=1).astype(np.int64)
            write(f"{folder}/labels/{name}.txt", b"0.5 0.5 0 0\n")
        write(f"{folder}/{split}_files.txt", "".join(f"{name}\n" for name in recordings).encode())
        data = loaded(datasets.ThreeET_Eyetracking, root, split=split)
        found[split] = []
        for i, name in enumerate(recordings):
            read = data[i][0]
            found[split].append(unlabelled(f"data/{name}.h5", read))
    return found


@maker
def nerdd(root, rng):
    for archive, scene in (("archive_1", "3"), ("archive_1", "12"), ("archive_2", "1")):
        folder = f"{root}/DATA/{archive}/{scene}"
        t, x, y, p = events(rng, 12, 1280, 720)
        os.makedirs(f"{folder}/Event")
        np.savez_compressed(f"{folder}/Event/output_events.npz", data=np.stack([x, y, p, t], axis=1).astype(np.int32))
        write(f"{folder}/ev_rgb_coordinates.txt", b"0.1: 1, 2, 3, 4\n")
    kind = type("NERDD", (datasets.NERDD,), {"_check_extracted": lambda self: True})
    data, found = kind(root), []
    for i in range(len(data)):
        read = data[i][0]
        file = os.path.relpath(data.data[i][0], f"{root}/DATA")
        found.append(unlabelled(file, read))
    return {"all": sorted(found, key=lambda one: one["file"])}


@maker
def asldvs(root, rng):
    import scipy.io

    found = []
    for letter in "abcdefghiklmnopqrstuvwxy":
        t, x, y, p = events(rng, 6, 240, 180)
        columns = {"ts": t, "x": x, "y": y, "pol": p}
        os.makedirs(f"{root}/ASLDVS/{letter}")
        path = f"{root}/ASLDVS/{letter}/{letter}_0001.mat"
        columns = {name: values.reshape(-1, 1).astype(float) for name, values in columns.items()}
        scipy.io.savemat(path, columns, do_compression=True)
        undated(path)
    return {"all": samples(loaded(datasets.ASLDVS, root), f"{root}/ASLDVS")}


def undated(path):
    """Replaces the date in the header of a MATLAB file."""
    with open(path, "r+b") as file:
        file.write(b"MATLAB 5.0 MAT-file Platform: posix".ljust(116))


@maker
def stmnist(root, rng):
    """Tonic 1.7 has no class for ST-MNIST. Earlier versions had: spikes.nonzero(), x = i % 10, y = i // 10."""
    import scipy.io

    found = []
    for digit in range(10):
        n = 9 + digit
        spikes = rng.integers(-6, 7, (100, n)).clip(-1, 1) * (rng.random((100, n)) < 0.02)
        times = np.sort(rng.random(n)) * 2
        file = f"{digit}/{digit}_subject1_{digit}.mat"
        path = f"{root}/data_submission/{file}"
        os.makedirs(os.path.dirname(path))
        scipy.io.savemat(path, {"spiketrain": np.vstack([spikes, times[None]]).astype(float)}, do_compression=True)
        undated(path)
        train = scipy.io.loadmat(path)["spiketrain"].T
        spikes, times = train[:, :-1], train[:, -1]
        numbers, taxels = spikes.nonzero()
        t = (times[numbers] * 1e6).astype(int)
        found.append(sample(file, digit, t, taxels % 10, taxels // 10, np.maximum(spikes[numbers, taxels], 0)))
    write(f"{root}/data_submission/LUT.mat", b"a table of taxels")
    why = "Tonic 1.7 has no class for ST-MNIST"
    return {"all": found, "oracle": "scipy.io.loadmat, with the steps of the class of Tonic 1.0", "why": why}


@maker
def ebssa(root, rng):
    os.makedirs(f"{root}/EBSSA")
    with h5py.File(f"{root}/EBSSA/labelled_ebssa.h5", "w") as file:
        for name in ("20161006_HST_davis", "20161107_ISS"):
            t, x, y, p = events(rng, 12, 240, 180, first=77_000)
            for column, values in {"ts": t, "x": x + 1, "y": y + 1, "p": p}.items():
                file[f"{name}/TD/{column}"] = values.reshape(1, -1).astype(float)
            for column in ("ts", "x", "y", "id"):
                file[f"{name}/Obj/{column}"] = np.full((1, 2), 80_000.0)
    data = loaded(datasets.EBSSA, root)
    read = [data[i][0] for i in range(len(data))]
    return {"labelled": [sample(None, None, one["t"], one["x"], one["y"], one["p"]) for one in read]}


@maker
def davisdata(root, rng):
    """The texts, which Tonic doesn't read: its class takes the bags."""
    found = []
    for name in ("shapes_6dof", "slider_far"):
        t, x, y, p = events(rng, 20, 240, 180, first=3_000)
        lines = [f"{t[i] / 1e6:.9f} {x[i]} {y[i]} {p[i]}" for i in range(len(t))]
        write(f"{root}/{name}/events.txt", "\n".join(lines).encode() + b"\n")
        write(f"{root}/{name}/imu.txt", b"0.003 1 2 3 4 5 6\n")
        read = np.loadtxt(f"{root}/{name}/events.txt")
        found.append(sample(f"{name}/events.txt", None, np.rint(read[:, 0] * 1e6), *read[:, 1:].T))
    return {"all": found, "oracle": "numpy.loadtxt", "why": "Tonic's class takes the bags"}


def bag(path, rng, topics, others):
    """A bag with events in `topics`, of sensors of that size, and one small image or IMU message in `others`."""
    from rosbag_files import STORE, TYPES, header, time, imu
    from rosbags.rosbag1 import Writer

    os.makedirs(os.path.dirname(path), exist_ok=True)
    start = 1_506_117_889_000_000_000
    with Writer(path) as writer:
        for topic, (width, height) in topics.items():
            connection = writer.add_connection(topic, "dvs_msgs/msg/EventArray", typestore=STORE)
            t, x, y, p = events(rng, 16, width, height)
            for first in (0, 9):
                part = range(first, 9 if first == 0 else 16)
                stamp = lambda i: time(start + int(t[i]) * 1000)
                event = TYPES["dvs_msgs/msg/Event"]
                each = [event(x=int(x[i]), y=int(y[i]), ts=stamp(i), polarity=bool(p[i])) for i in part]
                array = TYPES["dvs_msgs/msg/EventArray"]
                array = array(header=header(first, start), height=height, width=width, events=each)
                writer.write(connection, start + first, STORE.serialize_ros1(array, "dvs_msgs/msg/EventArray"))
        for i, topic in enumerate(others):
            if topic.endswith("imu"):
                kind, _, message = next(imu([(start, 0, 0, 0)]))
            else:
                kind = "sensor_msgs/msg/Image"
                pixels = np.zeros(12, np.uint8)
                shape = {"height": 2, "width": 2, "encoding": "rgb8", "is_bigendian": 0, "step": 6}
                message = TYPES[kind](header=header(0, start), data=pixels, **shape)
            connection = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connection, start + i, STORE.serialize_ros1(message, kind))


def mended_bags():
    """importRosbag 1.0.4, Tonic's reader of bags, fails with NumPy 2: it multiplies uint8 by 256. Here it gets wider
    numbers, as with NumPy 1."""
    import importRosbag.messageTypes.dvs_msgs_EventArray as module

    wide = lambda *arguments, **options: np.frombuffer(*arguments, **options).astype(np.int64)
    module.np = types.SimpleNamespace(**{**vars(np), "frombuffer": wide})


@maker
def davisdata_bag(root, rng):
    """Tonic computes (seconds - first) * 1e6 in floats and cuts: a microsecond less now and then."""
    mended_bags()
    names = ["shapes_6dof", "slider_far"]
    for name in names:
        bag(f"{root}/DAVISDATA/{name}.bag", rng, {"/dvs/events": (240, 180)}, ["/dvs/imu", "/dvs/image_raw"])
    data = loaded(datasets.DAVISDATA, root, recording=names)
    read = [data[i][0][0] for i in range(2)]
    return {"all": [unlabelled(f"{name}.bag", one) for name, one in zip(names, read)]}


@maker
def mvsec_bag(root, rng):
    """Tonic's class reads images and ground truth too: those topics are replaced by nothing."""
    from tonic.datasets import mvsec as module

    mended_bags()
    whole, found = module.importRosbag, {}
    nothing = {"frames": [np.zeros((2, 2))]}
    of = lambda path: {} if "_gt" in path else whole(path, log="ERROR")
    module.importRosbag = lambda path, log: {**dict.fromkeys(OF_MVSEC, nothing), **of(path)}
    scenes = {"motorcycle": ["motorcycle_data"], "outdoor_day": ["outdoor_day1_data", "outdoor_day2_data"]}
    for scene, names in scenes.items():
        for name in names:
            sides = {f"/davis/{side}/events": (346, 260) for side in ("left", "right")}
            bag(f"{root}/MVSEC/{scene}/{name}.bag", rng, sides, ["/davis/left/imu"])
        data = loaded(datasets.MVSEC, root, scene=scene)
        read = [data[i][0][0] for i in range(len(data))]
        found[scene] = [unlabelled(f"{scene}/{name}.bag", one) for name, one in zip(names, read)]
    module.importRosbag = whole
    return found


OF_MVSEC = ["/davis/left/imu", "/davis/right/imu", "/davis/left/pose"] + [
    f"/davis/{side}/{topic}"
    for side in ("left", "right")
    for topic in ("image_raw", "depth_image_raw", "depth_image_rect")
]


@maker
def vpr(root, rng):
    mended_bags()
    for (name, _), (nmea, _) in datasets.VPR.recordings:
        bag(f"{root}/VPR/{name}", rng, {"/dvs/events": (346, 260)}, ["/dvs/imu", "/dvs/image_raw"])
        write(f"{root}/VPR/{nmea}", b"")
    kind = type("VPR", (datasets.VPR,), {"_check_exists": lambda self: True, "read_gps_file": lambda self, path: None})
    data, found = kind(root), []
    for i, ((name, _), _) in enumerate(datasets.VPR.recordings):
        read = data[i][0][0]
        found.append(unlabelled(name, read))
    return {"all": found}


@maker
def mvsec(root, rng):
    """The HDF5 files, which Tonic doesn't read: its class takes the bags."""
    found = {}
    for scene, name in (("indoor_flying", "indoor_flying2_data"), ("outdoor_day", "outdoor_day1_data")):
        path = f"{root}/{scene}/{name}.hdf5"
        os.makedirs(os.path.dirname(path))
        t, x, y, p = events(rng, 15, 346, 260, first=1_506_117_889_000_000)
        with h5py.File(path, "w") as file:
            for side in ("left", "right"):
                columns = np.stack([x, y, t / 1e6, 2 * p - 1], axis=1) if side == "left" else np.zeros((3, 4))
                file[f"davis/{side}/events"] = columns
            read = file["davis/left/events"][()]
        x, y, t, p = read.T
        found[scene] = [sample(f"{scene}/{name}.hdf5", None, np.trunc(t * 1e6), x, y, p > 0)]
    return found | {"oracle": "h5py", "why": "Tonic's class takes the bags"}


def main():
    out, wanted = sys.argv[1], sys.argv[2:] or MAKERS
    os.makedirs(out, exist_ok=True)
    for name in wanted:
        with tempfile.TemporaryDirectory() as root, contextlib.redirect_stdout(io.StringIO()):
            found = MAKERS[name](root, np.random.default_rng(16))
            with zipfile.ZipFile(f"{out}/{name}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
                paths = [os.path.join(path, file) for path, _, files in os.walk(root) for file in files]
                contents = {os.path.relpath(path, root): open(path, "rb").read() for path in paths}
                contents["tonic.json"] = json.dumps(found, separators=(",", ":")).encode()
                for file in sorted(contents):
                    archive.writestr(zipfile.ZipInfo(file), contents[file], zipfile.ZIP_DEFLATED)
        print(f"{name}: {os.path.getsize(f'{out}/{name}.zip')} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
