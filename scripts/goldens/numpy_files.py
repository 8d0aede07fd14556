"""NumPy files of all kinds that hold the same six events: tests/data/sources/numpy/.

    venv/bin/python numpy_files.py ../../tests/data/sources/numpy

`plain_*` are arrays without names; the order of their columns is in the file's name. All other files have names that are
recognised. The events are t = 10, 20, 30, 40, 50, 60; x = 0, 1, 2, 3, 4, 5; y = 5, 4, 3, 2, 1, 0; p = 1, 0, 1, 0, 0, 1.
"""
import pathlib
import sys
import warnings

import numpy as np

T = np.arange(10, 70, 10)
X = np.arange(6)
Y = X[::-1]
P = np.array([1, 0, 1, 0, 0, 1])
OFF = np.where(P == 1, 1, -1)


def records(dtype, names="txyp", shape=(6,), p=P, times=T):
    array = np.zeros(shape, dtype)
    flat = array.reshape(-1)
    for name, column in zip(names, (times, X, Y, p)):
        column = column.astype("i8").view(flat[name].dtype.newbyteorder("=")) if flat[name].dtype.kind in "mM" else column
        flat[name] = column.reshape(flat[name].shape)
    return array


def main(out):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    usual = [("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "i1")]
    files = {
        "usual": records(usual),
        "titled": records([(("time of the event", "t"), "<i8"), ("x", "<u2"), (("row", "y"), "<u2"), ("p", "?")]),
        "big_endian": records([("t", ">i8"), ("x", ">u2"), ("y", ">i4"), ("p", ">f4")]),
        "aligned": records(np.dtype([("x", "u2"), ("p", "i1"), ("t", "i8"), ("y", "u2")], align=True)),
        "void_padding": records({"names": ["x", "y", "p", "t"], "formats": ["<u2", "<u2", "i1", "<i8"],
                                 "offsets": [0, 2, 4, 8], "itemsize": 16}),
        "gaps_at_both_ends": records({"names": ["t", "x", "y", "p"], "formats": ["<f8", "<i2", "<i2", "u1"],
                                      "offsets": [4, 12, 14, 16], "itemsize": 33}),
        "other_fields": records(usual + [("name", "<U3"), ("tag", "S5"), ("box", "<f4", (2, 3)), ("c", "<c16"),
                                         ("long", "<f16"), ("raw", "V7")]),
        "nested_unused": records([("where", [("lat", "<f8"), ("lon", "<f8")])] + usual),
        "names_of_faery": records([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")], ("t", "x", "y", "on")),
        "names_in_capitals": records([("TimeStamp", "<f4"), ("X", "<f2"), ("Y", "u1"), ("Polarity", "<i2")],
                                     ("TimeStamp", "X", "Y", "Polarity")),
        "signed_polarity": records(usual, p=OFF),
        "all_ones_u1": records([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")], p=OFF.astype("u1")),
        "all_ones_u2": records([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "<u2")], p=OFF.astype("u2")),
        "all_ones_u4": records([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "<u4")], p=OFF.astype("u4")),
        "all_ones_u8": records([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "<u8")], p=OFF.astype("u8")),
        "datetime": records([("t", "<M8[us]"), ("x", "<u2"), ("y", "<u2"), ("p", "i1")]),
        "datetime_in_tens": records([("t", "<M8[10us]"), ("x", "<u2"), ("y", "<u2"), ("p", "i1")], times=T // 10),
        "duration_in_ns": records([("t", ">m8[ns]"), ("x", "<u2"), ("y", "<u2"), ("p", "i1")], times=T * 1000),
        "long_double": records([("t", "<f16"), ("x", "<f16"), ("y", "<f8"), ("p", "<f16")]),
        "arrays_of_one": records([("t", "<i8", (1,)), ("x", "<u2", (1, 1)), ("y", "<u2"), ("p", "i1", (1,))]),
        "box_of_records": records(usual, shape=(1, 1, 6)),
        "unicode": records(usual + [("größe", "<i4")]),
        "many_fields": records(usual + [(f"an_unused_field_with_a_long_name_{i}", "i1") for i in range(200)]),
        "column_of_records": records(usual, shape=(6, 1)),
        "row_of_records": records(usual, shape=(1, 6)),
        "plain_txyp": np.stack([T, X, Y, P], 1),
        "plain_xytp": np.stack([X, Y, T, OFF], 1).astype("f8"),
        "plain_fortran_txyp": np.asfortranarray(np.stack([T, X, Y, P], 1).astype(">i4")),
        "plain_planes_txyp": np.stack([T, X, Y, P], 0),
        "plain_fortran_planes_ptxy": np.asfortranarray(np.stack([P, T, X, Y], 0)),
        "plain_long_double_txyp": np.stack([T, X, Y, P], 1).astype("<f16"),
        "plain_batch_of_one_txyp": np.stack([T, X, Y, P], 1)[None],
        "plain_fortran_batch_txyp": np.asfortranarray(np.stack([T, X, Y, P], 1)[None]),
        "plain_planes_of_one_txyp": np.stack([T, X, Y, P], 0)[:, None, :],
        "plain_in_brackets_xytp": np.stack([X, Y, T, P], 1)[:, :, None],
        "plain_v2e_txyp": np.stack([T, X, Y, OFF], 1).astype("u4"),
    }
    for name, array in files.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of headers that need version 2 or 3.
            np.save(out / f"{name}.npy", array)
    for version in [(1, 0), (2, 0), (3, 0)]:
        with open(out / f"version_{version[0]}.npy", "wb") as file:
            np.lib.format.write_array(file, files["usual"], version)
    with open(out / "nothing_but_pickles.npy", "wb") as file:
        np.save(file, np.array([{"t": T}], dtype=object), allow_pickle=True)
    columns = {"ts": T / 1, "x": X.astype("u1").reshape(-1, 1), "y": Y.reshape(1, -1), "pol": P.astype(bool)}
    np.savez(out / "columns.npz", **columns)
    np.savez_compressed(out / "records_beside_others.npz", events=files["usual"], label=np.array(3),
                        names=np.array(["a", "b"]), notes=np.array([{}], dtype=object))
    np.savez(out / "plain_events_xytp.npz", events=files["plain_xytp"], label=np.array(3))


if __name__ == "__main__":
    main(sys.argv[1])
