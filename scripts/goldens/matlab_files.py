"""MATLAB files of version 5 with the same six events, written by SciPy: tests/data/sources/matlab/.

    venv/bin/python matlab_files.py ../../tests/data/sources/matlab

`scipy.json` has for each file what it takes to read it (a map, an order of columns) and the t, x, y and p that
`scipy.io.loadmat` reads. SciPy writes no big-endian files and stores no number in a smaller type than its own, as MATLAB
does: the tests write such files themselves.
"""
import json
import pathlib
import sys

import numpy as np
from scipy.io import loadmat, savemat

T = np.arange(10.0, 70, 10)
X = np.arange(6.0)
Y = X[::-1]
P = np.array([1.0, 0, 1, 0, 0, 1])
NAMES = {"t": "ts", "x": "x", "y": "y", "p": "pol"}


def columns(kinds="dddd", p=P):
    return {name: column.astype(kind) for name, column, kind in zip(("ts", "x", "y", "pol"), (T, X, Y, p), kinds)}


def struct(p="p", ts="ts", kinds="dddd", shift=0):
    c = columns(kinds)
    return {"x": c["x"] + shift, "y": c["y"] + shift, p: c["pol"], ts: c["ts"]}


def cell(*items):
    array = np.empty((1, len(items)), object)
    for i, item in enumerate(items):
        array[0, i] = item
    return array


def at(data, path):
    """The numbers at a path such as TD/ts, events[2] or c{2}/t."""
    path, _, column = path.partition("[")
    for name in path.split("/"):
        name, _, index = name.partition("{")
        data = data[name]
        if index:
            data = data[int(index[:-1]) - 1]
    data = np.asarray(data)
    if column:
        table = data if data.shape[1] == 4 else data.T
        data = table[:, int(column[:-1])]
    return data.astype(int).reshape(-1).tolist()


def main(out):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    table = np.stack([T, X, Y, P], 1)
    rows = {"oned_as": "row"}
    packed = {"do_compression": True}
    td = {name: f"TD/{name}" for name in "xyp"} | {"t": "TD/ts"}
    inner = {role: f"data/left/{field}" for role, field in td.items()}
    files = {
        # name: (variables, options of savemat, fields, what is needed to find them)
        "variables": (columns(), {}, NAMES, None),
        "variables_packed": (columns(), packed, NAMES, None),
        "variables_in_rows": (columns("IHBb", np.where(P == 1, 1, -1)), rows, NAMES, None),
        "variables_i4_i2_i1_logical": (columns("ihb?"), packed, NAMES, None),
        "variables_u8_f4_f4_f4": (columns("Qfff"), {}, NAMES, None),
        "variables_i8_u4_u4_u1": (columns("qIIB"), packed, NAMES, None),
        "struct": ({"TD": struct()}, {}, td, None),
        "struct_packed": ({"TD": struct(kinds="IHHB")}, packed | rows, td, None),
        "struct_from_1": ({"TD": struct(shift=1)}, packed, td, "origin 1"),
        "struct_in_struct": ({"data": {"left": {"TD": struct()}, "sensor": "DVS"}}, packed, inner, None),
        "struct_in_cell": ({"TD": cell(struct())}, {}, td, None),
        "structs_in_cell": ({"TD": cell(struct(), {"n": 3.0})}, packed,
                            {"t": "TD{1}/ts", "x": "TD{1}/x", "y": "TD{1}/y", "p": "TD{1}/p"}, None),
        "two_structs": ({"TD": struct(), "Obj": struct("id")}, {}, td, None),
        "label_text": (columns() | {"class": "wave"}, packed, NAMES, "label=class"),
        "label_number": (columns() | {"class": 3.0}, {}, NAMES, "label=class"),
        "unit": ({"TD": struct() | {"unit": "us"}, "n": 6.0, "note": "of a DVS"}, packed, td, None),
        "other_kinds": (columns() | {"z": X + 1j, "e": np.zeros((0, 0)), "many": cell("a", "bc"), "s": struct("q")["x"]},
                        {}, NAMES, None),
        "table_rows": ({"events": table}, {}, {role: f"events[{i}]" for i, role in enumerate("txyp")}, "t,x,y,p"),
        "table_rows_packed": ({"events": table.astype("I")}, packed,
                              {role: f"events[{i}]" for i, role in enumerate("txyp")}, "t,x,y,p"),
        "table_columns": ({"events": table.T}, {}, {role: f"events[{i}]" for i, role in enumerate("txyp")}, "t,x,y,p"),
    }
    found = {}
    for name, (variables, options, fields, needs) in files.items():
        path = out / f"{name}.mat"
        savemat(path, variables, **options)
        # The header has the date.
        text = b"MATLAB 5.0 MAT-file, written by scipy.io.savemat".ljust(116)
        path.write_bytes(text + path.read_bytes()[116:])
        data = loadmat(path, simplify_cells=True)
        found[f"{name}.mat"] = {"needs": needs, **{role: at(data, field) for role, field in fields.items()}}
    (out / "scipy.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
