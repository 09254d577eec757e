"""What a check reads and what a library loads is one and the same: archives, programs and graphs with two meanings.

Archives are built byte by byte after PKWARE's APPNOTE.TXT (4.3.6 to 4.3.16), since no program writes them.
"""

from __future__ import annotations

import io
import json
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import pytest

from gpukit.documents.zip_structure import check_zip
from gpukit.errors import FormatError, ModelError

Files = list[tuple[str, bytes]]


def local(name: str, data: bytes, **changes: int) -> bytes:
    """A stored file with its header."""
    fields = {"flags": 0, "method": 0, "crc": zlib.crc32(data), "packed": len(data), "size": len(data), **changes}
    head = struct.pack("<I3H2H3I2H", 0x04034B50, 20, fields["flags"], fields["method"], 0, 33, fields["crc"],
                       fields["packed"], fields["size"], len(name), 0)  # fmt: skip
    return head + name.encode() + data


def entry(name: str, data: bytes, offset: int, **changes: int) -> bytes:
    fields = {"flags": 0, "method": 0, "packed": len(data), "size": len(data), **changes}
    head = struct.pack("<I4H2H3I5H2I", 0x02014B50, 20, 20, fields["flags"], fields["method"], 0, 33, zlib.crc32(data),
                       fields["packed"], fields["size"], len(name), 0, 0, 0, 0, 0, offset)  # fmt: skip
    return head + name.encode()


def end(count: int, size: int, start: int, comment: bytes = b"") -> bytes:
    return struct.pack("<I4H2IH", 0x06054B50, 0, 0, count, count, size, start, len(comment)) + comment


def end64(count: int, size: int, start: int, at: int) -> bytes:
    record = struct.pack("<IQ2H2I4Q", 0x06064B50, 44, 45, 45, 0, 0, count, count, size, start)
    return record + struct.pack("<2IQI", 0x07064B50, 0, at, 1)


def packed(files: Iterable[tuple[str, bytes]]) -> tuple[bytes, bytes]:
    """Bodies and directory."""
    bodies, directory = b"", b""
    for name, data in files:
        directory += entry(name, data, len(bodies))
        bodies += local(name, data)
    return bodies, directory


def archive(files: Iterable[tuple[str, bytes]]) -> bytes:
    listed = list(files)
    bodies, directory = packed(listed)
    return bodies + directory + end(len(listed), len(directory), len(bodies))


def check(content: bytes) -> list[str]:
    return [member.name for member in check_zip(io.BytesIO(content), "x.zip")]


GOOD: Files = [("a/one", b"first"), ("a/two", b"second")]


def test_a_plain_archive_passes() -> None:
    assert check(archive(GOOD)) == ["a/one", "a/two"]


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_archives_of_python_pass(compression: int) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as written:
        written.writestr("a", b"x" * 1000)
        with written.open("é", "w", force_zip64=True) as member:
            member.write(b"y" * 10)
    assert check(stream.getvalue()) == ["a", "é"]


def hostile() -> dict[str, bytes]:
    """Archives that two readers see in two ways, or that no reader should be given."""
    bodies, directory = packed(GOOD)
    whole = archive(GOOD)
    one, two = local("a", b"1"), local("b", b"2")
    lied = entry("a", b"1", 0) + entry("b", b"2", len(one))
    nested = local("a", local("b", b"2"))
    return {
        "a prefix before the first file": b"#!" * 40 + whole,
        "a directory that the end does not point at": bodies + directory + directory
        + end(2, len(directory), len(bodies)),
        "bytes behind the end": whole + b"x",
        "a comment with a second end": bodies + directory + end(2, len(directory), len(bodies), end(0, 0, 0)),
        "one name twice": archive([*GOOD, ("a/one", b"other")]),
        "a name in two cases": archive([*GOOD, ("A/ONE", b"other")]),
        "a name with the other slash": archive([*GOOD, ("a\\one", b"other")]),
        "a name with a zero in it": archive([("a/one\0.txt", b"x")]),
        "fewer entries than files": bodies + directory + end(1, len(directory), len(bodies)),
        "another name before the file": local("x", b"1") + entry("a", b"1", 0) + end(1, len(entry("a", b"", 0)), 32),
        "another size before the file": local("a", b"1", size=9, packed=9) + entry("a", b"1", 0)
        + end(1, len(entry("a", b"", 0)), len(one)),
        "files that overlap": nested + entry("a", local("b", b"2"), 0) + entry("b", b"2", 31)
        + end(2, 2 * len(entry("a", b"", 0)), len(nested)),
        "one file for two names": one + entry("a", b"1", 0) + entry("b", b"1", 0)
        + end(2, 2 * len(entry("a", b"", 0)), len(one)),
        "an encrypted file": local("a", b"1", flags=1) + entry("a", b"1", 0, flags=1)
        + end(1, len(entry("a", b"", 0)), len(one)),
        "a stored file of two sizes": local("a", b"1", size=1 << 20) + entry("a", b"1", 0, size=1 << 20)
        + end(1, len(entry("a", b"", 0)), len(one)),
        "an unknown compression": local("a", b"1", method=93) + entry("a", b"1", 0, method=93)
        + end(1, len(entry("a", b"", 0)), len(one)),
        "two end records that differ": one + two + lied
        + end64(1, len(lied) // 2, len(one + two), len(one + two + lied)) + end(2, len(lied), len(one + two)),
        "one disk of several": bodies + directory + end(2, len(directory), len(bodies)).replace(
            struct.pack("<2H", 0, 0), struct.pack("<2H", 1, 1), 1),
        "nothing": b"",
        "an end alone that claims files": end(3, 0, 0),
        "a file beyond the directory": entry("a", b"1", 7) + end(1, len(entry("a", b"", 0)), 0),
    }  # fmt: skip


@pytest.mark.parametrize("what", hostile())
def test_archives_with_two_meanings_are_refused(what: str) -> None:
    with pytest.raises(FormatError):
        check(hostile()[what])


def test_a_zip64_archive_passes() -> None:
    bodies, directory = packed(GOOD)
    tail = end64(2, len(directory), len(bodies), len(bodies) + len(directory))
    assert check(bodies + directory + tail + end(2, 0xFFFFFFFF, 0xFFFFFFFF)) == ["a/one", "a/two"]


# --- torch ------------------------------------------------------------------------------------------------------------

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("monai", reason="monai is not installed")

from support.models import external, made_volume, save, write_model

import gpukit as gk
from gpukit.ai.registry.packages import add
from gpukit.ai.registry.store import Store


class Trap:
    """A pickle that makes a file where it is loaded."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.file,)


class Constant(torch.nn.Module):
    """With a buffer that is kept as a constant, whose record says whether it is a pickle."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv3d(1, 3, 1)
        self.register_buffer("scale", torch.ones(1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) * self.scale


@pytest.fixture(scope="module")
def exported() -> Files:
    stream = io.BytesIO()
    torch.export.save(torch.export.export(Constant().eval(), (torch.zeros(1, 1, 16, 16, 16),)), stream)
    with zipfile.ZipFile(stream) as content:
        return [(name, content.read(name)) for name in content.namelist()]


def pickled(good: Files, trap: Path) -> tuple[str, Files]:
    """The same program whose constant is a pickle, and the name of the record that says so."""
    record = next(name for name, _ in good if name.endswith("model_constants_config.json"))
    content = json.loads(dict(good)[record])
    constant = next(iter(content["config"].values()))
    constant["use_pickle"] = True
    stream = io.BytesIO()
    torch.save(Trap(trap), stream)
    changed = {record: json.dumps(content).encode(), f"{record.rpartition('/')[0]}/{constant['path_name']}":
               stream.getvalue()}  # fmt: skip
    return record, [(name, changed.get(name, data)) for name, data in good]


@pytest.mark.parametrize("way", ["twice", "twice, turned", "another case", "prefix"])
def test_an_exported_program_with_two_meanings_runs_nothing(way: str, exported: Files, tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    record, bad = pickled(exported, trap)
    bodies = [(name, data) for name, data in bad if name != record]
    good, evil = (record, dict(exported)[record]), (record, dict(bad)[record])
    if way == "prefix":
        content = archive(bad) + archive(exported)
    else:
        other = record.partition("/")[0] + "/" + record.partition("/")[2].upper()
        pair = {"twice": [good, evil], "twice, turned": [evil, good], "another case": [(other, evil[1]), good]}[way]
        content = archive([*bodies[:1], *pair, *bodies[1:]])
    folder = write_model(tmp_path / "m", format="torch-export", weights="w.pt2", network=None)
    (folder / "w.pt2").write_bytes(content)
    with pytest.raises(ModelError, match="the zip"):
        gk.segment(made_volume(), folder)
    with pytest.raises(ModelError, match="the zip"):
        add(Store(tmp_path / "store"), str(folder))
    assert not trap.exists()


def test_the_pickle_of_the_test_is_one(exported: Files, tmp_path: Path) -> None:
    """Else the test above would prove nothing: torch itself runs it."""
    trap = tmp_path / "ran"
    (tmp_path / "w.pt2").write_bytes(archive(pickled(exported, trap)[1]))
    try:
        torch.export.load(tmp_path / "w.pt2")
    except Exception as error:
        assert error is not None
    assert trap.exists()


SPELLINGS = {
    "a continued line": "torch.\\\n    save(x, {})",
    "a comment": "(torch. # a\n    save)(x, {})",
    "an operator": "ops.aten.save(x, {})",
    "brackets": "(torch.\n    save)(x, {})",
    "a method": "torch.mul(x, 1).save({})",
    "by its name": 'getattr(torch, "save")(x, {})',
    "a mapped file": "y = torch.from_file({}, True, 3)",
}


def scripted(folder: Path, line: str) -> Path:
    """A TorchScript network one line of whose program is replaced."""
    write_model(folder, format="torchscript", weights="weights.ts", network=None)
    torch.jit.save(torch.jit.script(Constant()), folder / "weights.ts")
    with zipfile.ZipFile(folder / "weights.ts") as given:
        files = [(name, given.read(name)) for name in given.namelist() if not name.endswith("debug_pkl")]
    changed = []
    for name, data in files:
        if b"class Constant" in data:
            data = data.replace(b"    return ", f"    {line}\n    return ".encode(), 1)
        changed.append((name, data))
    assert changed != files
    (folder / "weights.ts").write_bytes(archive(changed))
    return folder


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("way", ["run", "add"])
def test_torchscript_that_reaches_files_is_refused_in_every_spelling(spelling: str, way: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = scripted(tmp_path / "m", SPELLINGS[spelling].format(json.dumps(str(victim))))
    with pytest.raises(ModelError, match=r"reach files|does not write|not as torch writes"):
        if way == "run":
            gk.segment(made_volume(), folder, runtime="torch")
        else:
            add(Store(tmp_path / "store"), str(folder))
    assert victim.read_text() == "mine"
    assert not list(tmp_path.glob("store/blobs/*/*"))


def test_a_compiled_graph_is_walked_before_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the reading of its program were to miss it."""
    from gpukit_backends.runtimes import torch_loading

    monkeypatch.setattr(torch_loading, "check_script", lambda file: None)
    folder = scripted(tmp_path / "m", "torch.\\\n    save(x, 'victim')")
    with pytest.raises(ModelError, match="calls aten::save"):
        gk.segment(made_volume(), folder, runtime="torch")


@pytest.mark.parametrize("content", [b"", b"PK", b"TFL3" * 50, b"\x00" * 100])
def test_what_is_not_an_archive_is_not_given_to_torchscript(content: bytes, tmp_path: Path) -> None:
    folder = save(tmp_path / "m", "torchscript")
    (folder / "weights.ts").write_bytes(content)
    with pytest.raises(ModelError, match="the zip"):
        gk.segment(made_volume(), folder, runtime="torch")


def test_programs_of_other_networks_still_run(tmp_path: Path) -> None:
    """Lists, dictionaries, forks, contexts, errors: nothing that networks are written with is refused."""
    from gpukit.ai.model.torch_script import check_script
    from gpukit_backends.runtimes.torch_loading import _torchscript

    class Odd(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)])
            self.text = "a # b \\ \n 'c'"

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            for layer in self.layers:
                x = layer(x)
            if bool(x.isnan().any()):
                raise RuntimeError("not a number # " + self.text)
            with torch.no_grad():
                y = x * 2
            later = torch.jit.fork(torch.sin, y)
            return {"out": torch.jit.wait(later)}

    torch.jit.save(torch.jit.script(Odd()), tmp_path / "odd.ts")
    check_script(tmp_path / "odd.ts")
    assert _torchscript(tmp_path / "odd.ts", torch.device("cpu"))(torch.zeros(1, 2))["out"].shape == (1, 2)


# --- ONNX -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prefix",
    [
        bytes([0xA3, 0x06, 0xA4, 0x06]),  # an empty group of the unknown field 100
        bytes([0xBA, 0x80, 0x80, 0x80, 0x10, 0x00]),  # a number whose lower 32 bits are those of the graph
        bytes([0x07]),  # a kind that there is none of
        bytes([0x02, 0x00]),  # field 0
    ],
)
def test_a_graph_that_cannot_be_read_to_its_end_is_refused(prefix: bytes, tmp_path: Path) -> None:
    from gpukit.ai import find_model

    folder = external(tmp_path / "m", "numbers", bytes(12))
    graph = folder / "w.onnx"
    graph.write_bytes(prefix + graph.read_bytes())
    with pytest.raises(ModelError, match="cannot be read to its end"):
        _ = find_model(folder).digest
    with pytest.raises(ModelError, match="cannot be read to its end"):
        gk.segment(made_volume(), folder)


def test_numbers_of_a_functions_default_belong_to_the_digest(tmp_path: Path) -> None:
    """onnx.proto: FunctionProto.attribute_proto holds attributes with tensors, as nodes do."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    from gpukit.ai.model.onnx_external_data import external_files

    tensor = onnx.helper.make_tensor("t", onnx.TensorProto.FLOAT, [1], [1.0])
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="numbers")
    function = onnx.FunctionProto(name="f", domain="d")
    function.attribute_proto.append(onnx.helper.make_attribute("value", tensor))
    (tmp_path / "w.onnx").write_bytes(onnx.ModelProto(functions=[function]).SerializeToString())
    (tmp_path / "numbers").write_bytes(bytes(4))
    assert [f.name for f in external_files(tmp_path / "w.onnx")] == ["numbers"]
    shutil.rmtree(tmp_path, ignore_errors=True)


# --- zips of images ---------------------------------------------------------------------------------------------------


def test_a_zip_of_images_has_one_file_for_each_name(tmp_path: Path) -> None:
    """Else the image that one reader takes is not the one that another takes, and one of the two is lost."""
    from gpukit.dicom.reader.zip_members import members

    (tmp_path / "twice.zip").write_bytes(archive([("a.dcm", b"one"), ("a.dcm", b"two")]))
    with pytest.raises(FormatError, match="two files of one name"):
        members(str(tmp_path / "twice.zip"))
    (tmp_path / "two.zip").write_bytes(archive([("a.dcm", b"1")]) + archive([("b.dcm", b"2")]))
    with pytest.raises(FormatError, match="directory that is not where"):
        members(str(tmp_path / "two.zip"))


def test_bytes_that_a_server_added_do_not_matter_to_images(tmp_path: Path) -> None:
    from gpukit.dicom.reader.zip_members import members

    (tmp_path / "x.zip").write_bytes(archive([("a.dcm", b"one"), ("A.DCM", b"two")]) + b"\r\n")
    assert members(str(tmp_path / "x.zip")) == ["a.dcm", "A.DCM"]
