"""Files that somebody else put where a model is stored: none runs code, reads or writes a file, or fills the memory."""

import builtins
import functools
import gzip
import importlib
import io
import json
import operator
import os
import pickle
import socket
import struct
import subprocess
import tarfile
import zipfile

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import skops.io
from sklearn.impute import SimpleImputer

from networksecurity.data.model_files import load_model
from networksecurity.exceptions import DataSourceError

COMMAND = "touch planted"


class Planted:
    def __reduce__(self):
        return os.system, (COMMAND,)


def node(kind, of, content=None, **more):
    """Return what skops' description of a file says of one object."""
    module, _, name = of.rpartition(".")
    return {"__module__": module, "__class__": name, "__loader__": kind, "content": content, **more}


def text(value):
    return node("JsonNode", "builtins.str", json.dumps(value))


def listed(*nodes, of="builtins.list"):
    return node("ListNode", of, list(nodes))


def estimator(**attributes):
    """Return a trusted estimator with these attributes."""
    names = listed(*[node("TypeNode", "builtins.str")] * len(attributes))
    content = node("DictNode", "builtins.dict", attributes, key_types=names)
    return node("ObjectNode", "sklearn.impute._base.SimpleImputer", content)


def file_of(described, *, compression=zipfile.ZIP_STORED, protocol=skops.io._protocol.PROTOCOL, **members):
    """Return a file in skops' format."""
    schema = json.dumps(described | {"protocol": protocol, "_skops_version": skops.__version__})
    return archive(
        {"schema.json": schema, **{name.replace("__", "."): data for name, data in members.items()}}, compression
    )


def archive(members, compression=zipfile.ZIP_STORED):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as opened:
        for name, data in members.items():
            opened.writestr(name, data)
    return made.getvalue()


def array(header, data=b""):
    """Return a file of numpy's format whose head is given as text."""
    head = header.encode().ljust(118)[:-1] + b"\n" if len(header) < 118 else header.encode() + b"\n"
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(head)) + head + data


def saved(save, *arguments, **options):
    made = io.BytesIO()
    save(made, *arguments, **options)
    return made.getvalue()


def tar():
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as opened:
        opened.addfile(tarfile.TarInfo("../planted"))
    return made.getvalue()


def changed(content, old, new):
    assert old in content
    return content.replace(old, new)


def flagged(content):
    """Return an archive whose members say that they are encrypted."""
    made = bytearray(content)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        made[made.index(signature) + offset] |= 1
    return bytes(made)


def of_other_kind(content):
    """Return an archive whose members say that they are packed in a way that nobody knows."""
    made = bytearray(content)
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        place = made.index(signature) + offset
        made[place : place + 2] = struct.pack("<H", 77)
    return bytes(made)


def with_numbers(npy):
    return file_of(node("NdArrayNode", "numpy.ndarray", type="numpy", file="a.npy"), a__npy=npy)


FUNCTIONS = {
    "a program": os.system,
    "an expression": builtins.eval,
    "statements": builtins.exec,
    "an import": builtins.__import__,
    "a file to open": builtins.open,
    "a module": importlib.import_module,
    "a pickle to load": pickle.loads,
    "a pickle of joblib's": joblib.load,
    "a pickle of pandas'": pd.read_pickle,
    "an array of numpy's with a pickle": np.load,
    "a process": subprocess.Popen,
    "a connection": socket.create_connection,
    "a program with its arguments": functools.partial(os.system, COMMAND),
    "a method by its name": operator.methodcaller("system", COMMAND),
    "an attribute by its name": operator.attrgetter("__class__.__subclasses__"),
    "an item": operator.itemgetter("os"),
    "a method of an object": SimpleImputer(strategy=os.system).transform,
}
OBJECTS = {
    "an object of another type": node("ObjectNode", "subprocess.Popen"),
    "an object that is made by a call": node("ConstructorFromReduceNode", "os.system", listed(text(COMMAND))),
    "a list that is a call": listed(text(COMMAND), of="os.system"),
    "a set that is a call": node("SetNode", "os.system", [text(COMMAND)]),
    "a tuple that is a call": node("TupleNode", "os.system", [text(COMMAND)]),
    "a dictionary that is a call": node("DictNode", "os.getcwd", {}, key_types=listed()),
    "keys that are calls": node(
        "DictNode", "builtins.dict", {COMMAND: text("")}, key_types=listed(node("TypeNode", "os.system"))
    ),
    "a tree that is a call": node(
        "TreeNode", "os.system", listed(), __reduce__={"args": node("TupleNode", "builtins.tuple", [text(COMMAND)])}
    ),
    "a loss that is a call": node(
        "LossNode", "os.system", listed(), __reduce__={"args": node("TupleNode", "builtins.tuple", [text(COMMAND)])}
    ),
    "an operator of another module": node("OperatorFuncNode", "os.system", attrs=listed(text(COMMAND))),
    "a method of a trusted object": node(
        "MethodNode", estimator()["__module__"] + ".SimpleImputer", {"func": "transform", "obj": estimator()}
    ),
    "a method of an object that is none": node("MethodNode", "os.system", {"func": "x", "obj": estimator()}),
    "a generator that is a call": node(
        "RandomGeneratorNode",
        "numpy.random._generator.Generator",
        {
            "bit_generator": node("DictNode", "builtins.dict", {"bit_generator": text("seed")}, key_types=listed()),
            "seed_seq": text({}),
        },
    ),
    "a trusted name, divided elsewhere": node("TypeNode", "sklearn.tree._tree.Tree")
    | {"__module__": "sklearn", "__class__": "tree._tree.Tree"},
    "a name with dots": node("TypeNode", "sklearn.base.BaseEstimator.__init__.__globals__"),
    "a module that runs when it is imported": node("TypeNode", "planted_module.Model"),
    "an attribute that is a program": estimator(transform=node("TypeNode", "os.system")),
    "an object that holds itself": estimator(strategy=node("CachedNode", "builtins.list", __id__=7)) | {"__id__": 7},
    "an object nobody has described": node("CachedNode", "builtins.list", __id__=8),
    "a kind of object that nobody knows": node("PlantedNode", "builtins.list"),
    "no model": text("a text"),
    "a number of many digits": node("JsonNode", "builtins.str", "1" * 5_000),
    "a file outside of the archive": node("BytesNode", "builtins.bytes", file="../../../etc/passwd"),
    "a file of the machine": node("BytesNode", "builtins.bytes", file="/etc/passwd"),
    "an array elsewhere": node("NdArrayNode", "numpy.ndarray", type="numpy", file="/etc/passwd"),
    "an array that is mapped": node("NdArrayNode", "numpy.memmap", [], type="json", shape=listed()),
}
FILES = {
    "a pickle": pickle.dumps(Planted()),
    "a packed pickle": gzip.compress(pickle.dumps(Planted())),
    "a pickle of joblib": saved(lambda file, value: joblib.dump(value, file), Planted()),
    "a tape archive that leads out of its folder": tar(),
    "an archive without a description": archive({"model.pkl": pickle.dumps(Planted())}),
    "a description that is no JSON": archive({"schema.json": "{"}),
    "a description that is a pickle": archive({"schema.json": pickle.dumps(Planted())}),
    "a description that is nested too deeply": archive({"schema.json": "[" * 200_000}),
    "a description that is a list": archive({"schema.json": "[]"}),
    "a later format": file_of(text(""), protocol=999),
    "a format that is no number": file_of(text(""), protocol=True),
    "a pickle in an array": with_numbers(saved(np.save, np.array([Planted()], dtype=object), allow_pickle=True)),
    "a head of an array that is code": with_numbers(
        array(f"{{'descr': __import__('os').system('{COMMAND}'), 'fortran_order': False, 'shape': (1,)}}")
    ),
    "a head of an array that never ends": with_numbers(array("(" * 1_000_000)),
    "an array larger than the memory": with_numbers(
        array("{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }")
    ),
    "an array of more than there are numbers": with_numbers(
        array("{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296), }")
    ),
    "an array of fewer than none": with_numbers(array("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }")),
    "a pickle in a sparse array": file_of(
        node("SparseMatrixNode", "scipy.sparse._matrix.spmatrix", type="scipy", file="a.npz"),
        a__npz=saved(np.savez, format=np.array([Planted()], dtype=object)),
    ),
    "an archive that unpacks to one that fills a machine": file_of(
        text(""), compression=zipfile.ZIP_DEFLATED, a__npy=bytes(100_000_000)
    ),
    "members that are encrypted": flagged(file_of(text(""))),
    "members packed in a way nobody knows": of_other_kind(file_of(text(""))),
    "members of another content than was stored": changed(file_of(text("abc")), b"abc", b"abd"),
    "half an archive": file_of(text(""))[40:],
    "no byte": b"",
}


def refused(content, folder):
    with pytest.raises(DataSourceError, match="the model file cannot be loaded: ") as caught:
        load_model(content)
    assert "\n" not in str(caught.value)
    assert list(folder.iterdir()) == []


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "planted_module.py").write_text("open('planted', 'w')\nclass Model: pass")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "here"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_function_that_was_planted_is_loaded(function, here):
    refused(skops.io.dumps(SimpleImputer(strategy=FUNCTIONS[function])), here)


@pytest.mark.parametrize("planted", OBJECTS)
def test_no_object_that_was_planted_is_loaded(planted, here):
    refused(file_of(OBJECTS[planted]), here)


@pytest.mark.parametrize("planted", FILES)
def test_no_file_of_another_kind_is_loaded(planted, here):
    refused(FILES[planted], here)


def test_a_sound_file_that_was_made_in_the_same_way_is_loaded():
    of_this_version = {"strategy": text("median"), "_sklearn_version": text(sklearn.__version__)}
    assert load_model(file_of(estimator(**of_this_version))).strategy == "median"
