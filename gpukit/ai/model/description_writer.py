"""A description written: the one that a model came with, or one made of what is known of it, for another format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpukit.ai.model.description import Model
from gpukit.ai.model.volume_spec import OutputSpec, TransformSpec
from gpukit.documents.json_reader import read_json
from gpukit.errors import ModelError

__all__ = ["described"]


def described(model: Model, *, form: str, weights: str, size: Sequence[int] | None = None) -> dict[str, Any]:
    """The content of the description of the same network in another format.

    Parameters
    ----------
    model : Model
        The original.
    form, weights : str
        Format and file name of the other.
    size : sequence of int, optional
        What the other's graph is fixed to, along x, y and z, or width and height.

    Raises
    ------
    ModelError
        The original has no description of its own and is not for segmentation.
    """
    own: dict[str, Any] = {}
    if model.file.suffix.lower() == ".json" and model.file.parent.name != "configs":
        own = dict(read_json(model.file).value)
    if not own.get("schema_version"):
        own = _of_parts(model)
    content = {key: value for key, value in own.items() if key not in ("$schema", "sha256", "network")}
    content |= {"name": model.name, "version": model.version, "format": form, "weights": weights}
    if size is not None and model.dimensions == 2:
        content["input"] = {**content["input"], "size": list(size)}
    elif size is not None:
        content["inference"] = {**content.get("inference", {}), "patch": list(size), "batch": 1}
    return content


def _of_parts(model: Model) -> dict[str, Any]:
    """A description of a segmentation in three dimensions, such as of a bundle that came without one."""
    spec, run, output = model.volume_input, model.inference, model.output
    if not isinstance(output, OutputSpec):
        raise ModelError("the model has no description to be written", file=model.file, fix="add model.json")
    seen: dict[str, Any] = {"channels": spec.channels, "axes": spec.axes, "fill": spec.fill}
    seen |= {"channel_names": list(spec.channel_names)} if spec.channel_names else {}
    seen |= {"modality": list(spec.modality)} if spec.modality else {}
    seen |= {"orientation": spec.orientation} if spec.orientation else {}
    seen |= {key: list(value) for key in ("spacing", "size") if (value := getattr(spec, key)) is not None}
    seen["intensity"] = [_transform(one) for one in spec.intensity]
    moved: dict[str, Any] = {"overlap": run.overlap, "blend": run.blend, "batch": run.batch}
    moved |= {"patch": list(run.patch)} if run.patch else {}
    moved |= {"skip_background": {"below": run.skip_below}} if run.skip_below is not None else {}
    labels = []
    for label in output.labels:
        codes = {
            key: dict(zip(("value", "scheme", "meaning"), getattr(label, key), strict=True))
            for key in ("category", "type")
        }
        color = {"color": list(label.color)} if label.color is not None else {}
        labels.append({"value": label.value, "name": label.name, **codes, **color})
    return {
        "schema_version": 1, "name": model.name, "version": model.version, "task": model.task,
        "description": model.description, "license": model.license, "input": seen, "inference": moved,
        "output": {
            "activation": output.activation, "labels": labels,
            "postprocess": [_transform(one) for one in output.postprocess],
        },
    }  # fmt: skip


def _transform(spec: TransformSpec) -> dict[str, Any]:
    return {"_target_": f"monai.transforms.{spec.name}", **spec.arguments}
