"""What a model is and expects: the declared file beside the weights, as frozen values.

The file is JSON; ``docs/models.md`` describes it for people and ``model.schema.json`` beside this module for editors.
Everything is checked when it is read, so that the rest of `gpukit.ai` can rely on it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import Any

from gpukit.ai.model.image_spec import (
    ClassifySpec,
    DetectSpec,
    EnhanceSpec,
    PictureSpec,
    read_classify,
    read_detect,
    read_enhance,
    read_picture,
)
from gpukit.ai.model.volume_spec import InferenceSpec, InputSpec, OutputSpec, read_inference, read_input, read_output
from gpukit.ai.model.weight_files import digest_of_weights, weight_files
from gpukit.documents.json_reader import Node, read_json
from gpukit.errors import ModelError

__all__ = ["FORMATS", "TASKS", "Answer", "Model", "read_description"]

#: What a model may be for.
TASKS = ("segment", "classify", "detect", "enhance")
Answer = OutputSpec | ClassifySpec | DetectSpec | EnhanceSpec

#: Formats of weights and the suffixes that their files have.
FORMATS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "state-dict": (".safetensors", ".pt", ".pth", ".ckpt"),
        "torchscript": (".ts", ".pt", ".pth"),
        "torch-export": (".pt2",),
        "onnx": (".onnx",),
        "openvino": (".xml",),
        "coreml": (".mlpackage", ".mlmodel"),
        "monai-bundle": (".pt", ".pth", ".ts"),
        "nnunet": (".pth",),
    }
)


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model description: everything but the weights themselves.

    Parameters
    ----------
    name, version, task, description, license : str
        For people, for the DICOM objects that are written, and to choose the task.
    format : str
        A key of `FORMATS`.
    weights : Path
        The file with the weights; of ``.mlpackage`` the folder.
    sha256 : str or None
        What the weights' digest must be; checked before they are loaded.
    network : mapping
        For a state dict: the class and its arguments, or a list of layers.
    input : InputSpec or PictureSpec
        What a network of three or of two dimensions wants to see.
    inference : InferenceSpec
        How a network of three dimensions is moved over a volume; of one of two dimensions only the batch counts.
    output : OutputSpec, ClassifySpec, DetectSpec or EnhanceSpec
        What its answer means, by task.
    file : Path
        The description's file, for messages.
    folds : tuple of Path
        More files of weights for the same network, whose logits are averaged with the first's.
    previous : Model or None
        The first stage of a cascade, whose labels this network sees beside the images.
    """

    name: str
    version: str
    task: str
    description: str
    license: str
    format: str
    weights: Path
    network: Mapping[str, Any]
    input: InputSpec | PictureSpec
    inference: InferenceSpec
    output: Answer
    file: Path
    sha256: str | None = None
    folds: tuple[Path, ...] = ()
    notes: tuple[str, ...] = field(default=())
    previous: Model | None = None

    @property
    def dimensions(self) -> int:
        """2 for a network over pictures, 3 for one over volumes."""
        return 2 if isinstance(self.input, PictureSpec) else 3

    @property
    def volume_input(self) -> InputSpec:
        """What a network of three dimensions wants to see; ModelError for one of two."""
        if isinstance(self.input, PictureSpec):
            raise ModelError(f"the model {self.name} is for pictures", file=self.file, attribute="$.input.dimensions")
        return self.input

    @property
    def picture_input(self) -> PictureSpec:
        """What a network of two dimensions wants to see; ModelError for one of three."""
        if isinstance(self.input, InputSpec):
            raise ModelError(f"the model {self.name} is for volumes", file=self.file, attribute="$.input.dimensions")
        return self.input

    def for_task(self, task: str) -> Model:
        """The model itself, if it is for the task.

        Raises
        ------
        ModelError
            It is for another one.
        """
        if self.task != task:
            raise ModelError(
                f"the model {self.name} is made to {self.task}, not to {task}", file=self.file, attribute="$.task",
                fix=f"use `gpukit ai {self.task}`, or another model",
            )  # fmt: skip
        return self

    @property
    def segments(self) -> OutputSpec:
        """What the labels of a segmentation mean; ModelError for another task."""
        self.for_task("segment")
        assert isinstance(self.output, OutputSpec)
        return self.output

    @property
    def weight_files(self) -> tuple[Path, ...]:
        """Every file that the weights are made of; most formats have one."""
        return (*weight_files(self.weights), *self.more_weights)

    @property
    def more_weights(self) -> tuple[Path, ...]:
        """Files beside the first: of other folds, and of the first stage of a cascade."""
        return (*self.folds, *(() if self.previous is None else self.previous.weight_files))

    @cached_property
    def digest(self) -> str:
        """sha256 of the weights, in hexadecimal; verified against `sha256` where that is declared.

        Of weights in several files it is the sha256 of their sorted list (see `gpukit.ai.model.weight_files`).
        """
        try:
            found = digest_of_weights(self.weights, self.more_weights)
        except OSError as error:
            raise ModelError(f"the weights cannot be read: {error.strerror}", file=self.weights) from error
        if self.sha256 is not None and found != self.sha256.lower():
            raise ModelError(
                f"the weights {self.weights.name} are not those described: their sha256 is {found}",
                file=self.file,
                attribute="$.sha256",
                fix="get the weights again, or correct the description",
            )
        return found


def read_description(
    file: Path, *, weights: Path | None = None, form: str | None = None, content: Node | None = None
) -> Model:
    """Read and check a description.

    Parameters
    ----------
    file : Path
        The JSON file.
    weights : Path, optional
        The weights that the user named; where None, the description names them, relative to itself.
    form : str, optional
        The format of `weights` where the description is that of another format of the same network: its ``format``,
        ``weights``, ``sha256`` and ``network`` are then left out of account.
    content : Node, optional
        What the file says, where it was read already.

    Raises
    ------
    ModelError
        Something is missing, wrong or unknown: names the file and the place in it.
    """
    root = (read_json(file) if content is None else content).object(
        ("schema_version", "name", "version", "task", "format", "input", "output"),
        ("$schema", "description", "license", "weights", "sha256", "network", "inference"),
    )
    if root["schema_version"].value != 1:
        raise root["schema_version"].error(
            f"is {root['schema_version'].value!r}, and this gpukit reads 1", fix="update gpukit, or the file"
        )
    if form is not None and form != root["format"].value:
        if form == "state-dict":
            raise root["format"].error("must be state-dict, with a network, for such weights", fix="describe it so")
        apart = ("format", "weights", "sha256", "network")
        own = {key: value for key, value in root.value.items() if key not in apart}
        root = Node({**own, "format": form}, root.file, root.path)
    form = root["format"].choice(*FORMATS)
    if form == "nnunet":
        raise root["format"].error(
            "is nnunet, and an nnU-Net folder is described by its own plans.json and dataset.json",
            fix="rename this file, so that the plans are read",
        )
    task = root["task"].choice(*TASKS)
    seen = root["input"].object((), None)
    dimensions = seen["dimensions"].integer(2, 3) if seen.has("dimensions") else 3
    sha256 = root["sha256"].text() if root.has("sha256") else None
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise root["sha256"].error("must be 64 hexadecimal digits")
    network: Mapping[str, Any] = {}
    if form == "state-dict":
        if not root.has("network"):
            raise root.error("a state dict needs 'network', the class and its arguments", fix="add it")
        network = root["network"].object((), None).value
    elif root.has("network"):
        raise root["network"].error(f"is for the format state-dict; {form} holds its own network", fix="remove it")
    answer = _answer(root["output"], task, dimensions)
    return Model(
        name=root["name"].text(),
        version=root["version"].text(),
        task=task,
        description=root["description"].text() if root.has("description") else "",
        license=root["license"].text() if root.has("license") else "",
        format=form,
        weights=_weights(root, form, weights),
        sha256=sha256,
        network=MappingProxyType(dict(network)),
        input=read_picture(root["input"]) if dimensions == 2 else read_input(root["input"]),
        inference=read_inference(root["inference"], task, dimensions) if root.has("inference") else InferenceSpec(),
        output=answer,
        file=file,
    )


def _answer(node: Node, task: str, dimensions: int) -> Answer:
    if task == "classify":
        return read_classify(node)
    if task == "detect":
        return read_detect(node)
    return read_enhance(node, dimensions) if task == "enhance" else read_output(node)


def _weights(root: Node, form: str, named: Path | None) -> Path:
    found = named
    if root.has("weights"):
        text = root["weights"].text()
        parts = PurePosixPath(text).parts
        if PurePosixPath(text).is_absolute() or PureWindowsPath(text).drive or "\\" in text or ".." in parts:
            raise root["weights"].error("must be the name of a file below the description's folder")
        declared = root.file.parent / text
        if named is not None and named.resolve() != declared.resolve() and declared.exists():
            raise root["weights"].error(f"is {text}, and {named.name} was asked for", fix=f"name {text}")
        found = found or declared
    if found is None:
        raise ModelError("'weights' is missing", file=root.file, attribute="$.weights", fix="add it")
    if not (found.is_dir() if found.suffix.lower() == ".mlpackage" else found.is_file()):
        raise ModelError(
            f"the weights {found.name} are not there", file=root.file, attribute="$.weights", fix="put the file there"
        )
    if found.suffix.lower() not in FORMATS[form]:
        raise root["format"].error(
            f"is {form}, whose files end in {', '.join(FORMATS[form])}, and the weights are {found.name}"
        )
    return found
