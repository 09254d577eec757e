"""A description is read whole or refused with the place of its first fault."""

from __future__ import annotations

import contextlib
import copy
import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.models import UNET, description, label

from gpukit.ai.model.description import Model, read_description
from gpukit.ai.registry.find import find_model
from gpukit.errors import GpukitError, InputNotFoundError, ModelError


def write(folder, content):
    (folder / "weights.safetensors").write_bytes(b"")
    file = folder / "model.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_everything_said_is_read(tmp_path):
    content = description(license="MIT", description="d", sha256="0" * 64)
    content["input"] |= {"size": [256, 256, 255], "axes": "patient", "fill": -1024, "orientation": "lia"}
    content["input"]["intensity"] = [{"_target_": "monai.transforms.ScaleIntensity", "minv": 0, "maxv": 1}]
    content["inference"] |= {"skip_background": {"below": 0.01}, "blend": "constant"}
    content["output"]["postprocess"] = [{"_target_": "KeepLargestConnectedComponent", "applied_labels": [1]}]
    model = read_description(write(tmp_path, content))
    assert (model.name, model.version, model.license, model.format) == ("tiny", "0.1", "MIT", "state-dict")
    assert model.input.orientation == "LIA"
    assert (model.input.size, model.input.axes, model.input.fill) == ((256, 256, 255), "patient", -1024.0)
    assert (model.input.intensity[0].name, dict(model.input.intensity[0].arguments)) == (
        "ScaleIntensity",
        {"minv": 0, "maxv": 1},
    )
    assert (model.inference.skip_below, model.inference.blend, model.inference.batch) == (0.01, "constant", 2)
    assert model.output.channels == 3
    assert model.output.labels[0].type == ("10200004", "SCT", "Liver")
    assert model.output.labels[1].color == (20, 20, 30)


def change(path, value):
    """The valid description with the value at a path replaced, or removed where it is `...`."""
    content = copy.deepcopy(description())
    *way, last = path
    place = content
    for key in way:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return content


FAULTS = [
    (("schema_version",), 2, "$.schema_version"),
    (("schema_version",), ..., "$.schema_version"),
    (("name",), ..., "$.name"),
    (("name",), "  ", "$.name"),
    (("format",), "pickle", "$.format"),
    (("task",), "dream", "$.task"),
    (("weights",), ..., "$.weights"),
    (("weights",), "gone.safetensors", "$.weights"),
    (("weights",), "../weights.safetensors", "$.weights"),
    (("weights",), "/etc/passwd", "$.weights"),
    (("sha256",), "12", "$.sha256"),
    (("network",), ..., "$"),
    (("surprise",), 1, "$.surprise"),
    (("input",), ..., "$.input"),
    (("input", "channels"), 0, "$.input.channels"),
    (("input", "channels"), True, "$.input.channels"),
    (("input", "orientation"), "RAL", "$.input.orientation"),
    (("input", "spacing"), [1, 1], "$.input.spacing"),
    (("input", "spacing"), [1, 1, 0], "$.input.spacing[2]"),
    (("input", "spacing"), [1, 1, "x"], "$.input.spacing[2]"),
    (("input", "spacings"), [1, 1, 1], "$.input.spacings"),
    (("input", "size"), [1, 1, 10**9], "$.input.size[2]"),
    (("input", "axes"), "scanner", "$.input.axes"),
    (("input", "intensity"), [{"_target_": "monai.transforms.Lambda", "func": "x"}], "$.input.intensity[0]._target_"),
    (("input", "intensity"), [{"_target_": "ScaleIntensity", "minv": "$1+1"}], "$.input.intensity[0].minv"),
    (("input", "intensity"), [{"minv": 1}], "$.input.intensity[0]._target_"),
    (("inference", "patch"), [96, 96], "$.inference.patch"),
    (("inference", "overlap"), 1, "$.inference.overlap"),
    (("inference", "blend"), "cosine", "$.inference.blend"),
    (("inference", "skip_background"), {"under": 1}, "$.inference.skip_background.below"),
    (("output", "activation"), "tanh", "$.output.activation"),
    (("output", "labels"), [], "$.output.labels"),
    (("output", "labels"), [label(1), label(1)], "$.output.labels"),
    (("output", "labels"), [label(1), label(3)], "$.output.labels"),
    (("output", "labels", 0, "value"), 0, "$.output.labels[0].value"),
    (("output", "labels", 0, "type"), ..., "$.output.labels[0].type"),
    (("output", "labels", 0, "type", "value"), "12345678901234567", "$.output.labels[0].type.value"),
    (("output", "labels", 0, "type", "meaning"), "a\\b", "$.output.labels[0].type.meaning"),
    (("output", "labels", 0, "category", "scheme"), ..., "$.output.labels[0].category.scheme"),
    (("output", "labels", 0, "color"), [0, 0, 256], "$.output.labels[0].color[2]"),
    (("output", "postprocess"), [{"_target_": "SaveImage"}], "$.output.postprocess[0]._target_"),
]


@pytest.mark.parametrize(("path", "value", "where"), FAULTS, ids=[f"{f[2]}={f[1]!r}"[:60] for f in FAULTS])
def test_each_fault_is_named_with_file_and_place(tmp_path, path, value, where):
    with pytest.raises(ModelError) as caught:
        read_description(write(tmp_path, change(path, value)))
    assert caught.value.attribute == where
    assert caught.value.file == str(tmp_path / "model.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '"x"', "[" * 100_000, '{"schema_version": NaN}', "\ud83d".encode("utf-8", "replace")],
)
def test_what_is_no_json_object_is_refused(tmp_path, content):
    file = tmp_path / "model.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ModelError):
        read_description(file)


def test_a_huge_file_is_refused_unread(tmp_path):
    file = tmp_path / "model.json"
    with file.open("wb") as stream:
        stream.truncate(1 << 40)  # sparse
    with pytest.raises(ModelError, match="larger than"):
        read_description(file)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from([f[0] for f in FAULTS]), JSON)
def test_no_value_anywhere_makes_anything_but_a_model_or_a_model_error(tmp_path_factory, path, value):
    file = write(tmp_path_factory.mktemp("m"), change(path, value))
    with contextlib.suppress(GpukitError):
        assert isinstance(read_description(file), Model)


# --- finding ---------------------------------------------------------------------------------------------------------


def test_a_model_is_found_by_folder_file_and_weights(tmp_path):
    write(tmp_path, description())
    for name in (tmp_path, tmp_path / "model.json", tmp_path / "weights.safetensors"):
        assert find_model(name).name == "tiny"
    (tmp_path / "weights.json").write_text(json.dumps(description(name="its own")))
    assert find_model(tmp_path / "weights.safetensors").name == "its own"


def test_what_is_not_found_is_said(tmp_path):
    with pytest.raises(InputNotFoundError, match="come with gpukit"):
        find_model("no-such-model")
    with pytest.raises(ModelError, match=r"neither model\.json nor a MONAI bundle"):
        find_model(tmp_path)
    (tmp_path / "net.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match=r"neither net\.json nor model\.json"):
        find_model(tmp_path / "net.onnx")
    (tmp_path / "net.caffemodel").write_bytes(b"")
    with pytest.raises(ModelError, match=r"no weights that gpukit reads"):
        find_model(tmp_path / "net.caffemodel")


def test_other_weights_than_described_are_refused(tmp_path):
    model = read_description(write(tmp_path, description(sha256="0" * 64)))
    with pytest.raises(ModelError, match="their sha256 is e3b0c442"):  # of no bytes at all
        assert model.digest


def test_the_json_schema_agrees_with_the_reader(tmp_path):
    """Every key that the reader knows is in the schema, and the other way round."""
    from pathlib import Path

    import gpukit.ai.model.description as module

    schema = json.loads((Path(module.__file__).parent / "model.schema.json").read_text())
    kinds = schema["$defs"]
    picture = {"channels": 1, "dimensions": 2}
    classes = ["a", "b"]
    cases = [
        ("", schema, {}),
        ("input", kinds["volume"], {}),
        ("input", kinds["picture"], {"input": dict(picture)}),
        ("inference", schema["properties"]["inference"], {}),
        ("output", kinds["segment"], {}),
        ("output", kinds["classify"], {"task": "classify", "output": {"activation": "softmax", "classes": classes}}),
        ("output", kinds["detect"], {"task": "detect", "output": {"classes": classes}}),
        ("output", kinds["enhance"], {"task": "enhance", "output": {}}),
    ]
    for part, place, changes in cases:
        content = {**description(), **changes}
        (content[part] if part else content)["zzz"] = 1
        with pytest.raises(ModelError) as caught:
            read_description(write(tmp_path, content))
        known = set(caught.value.fix.removeprefix("use only: ").split(", "))
        assert known == set(place["properties"]), part
        assert place["additionalProperties"] is False
    assert set(schema["properties"]["task"]["enum"]) == set(module.TASKS)
    assert UNET["_target_"]


def test_importing_the_tool_imports_nothing_heavy():
    code = "import sys, gpukit.ai; print([m for m in ('torch', 'monai', 'scipy', 'onnxruntime') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
