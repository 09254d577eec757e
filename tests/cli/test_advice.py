"""What an error advises can be done: every ``--option`` that a message names exists in the command that prints it."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from support.dicom_files import write_series
from typer.main import get_command

import gpukit
from gpukit_cli.main import DEBUG_OPTION, EXTERNAL_OPTION, TOOLS, main

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")
ROOT = Path(gpukit.__file__).parent


def command_options() -> dict[str, set[str]]:
    """Options of every command, by its words."""
    found: dict[str, set[str]] = {}

    def walk(name: str, command: Any) -> None:
        inner = getattr(command, "commands", None)
        if inner:
            for word, one in inner.items():
                walk(f"{name} {word}", one)
        else:
            found[name] = {word for one in command.params for word in (*one.opts, *one.secondary_opts)}

    for tool in TOOLS:
        walk(tool.name, get_command(import_module(tool.module).app))
    return found


COMMANDS = command_options()


def named(*patterns: str) -> set[str]:
    """Commands whose words match one of the patterns from the start."""
    return {name for name in COMMANDS if any(re.match(f"{pattern}(?: |$)", name) for pattern in patterns)}


VOLUMES_OF_3D = named("3d")
REGIONS = named("measure (roi|hu|suv|volume)")
LINES = named("measure (distance|polyline|angle|cobb-angle|area|bidirectional)")
#: Commands that read a series as a volume, so that any of its errors can come up.
SERIES = VOLUMES_OF_3D | REGIONS | named("measure (bidirectional|pixel)") | named(
    "ai (segment|classify|detect|enhance|report)"
)  # fmt: skip
RESULTS = named("measure") - named("measure compare")
#: Which commands print the messages of a module, or of all modules of a room; the longest name counts. Where a message
#: is of fewer commands than its module, the option stands beside the name.
PRINTED_BY: dict[str, set[str]] = {
    "ai/model/monai_bundle.py": named("ai (segment|classify|detect|enhance|report|batch|convert)"),
    "ai/tasks/label_summary.py": named("ai (segment|batch)"),
    "ai/inference": named("ai (segment|classify|detect|enhance|report|batch)"),
    "ai/registry/compare.py": named("ai convert"),
    "ai/registry/savedmodel.py": named("ai convert"),
    "ai/registry/convert.py": named("ai convert"),
    "ai/registry/packages.py": named("ai models (add|import)"),
    "ai/registry/store.py": named("ai models add"),
    "ai/registry/store.py --force": named("ai models (add|import)"),
    "ai/registry/variants.py": named("ai models add"),
    "ai/registry/manifest.py": named("ai models add"),
    "ai/batch": named("ai batch"),
    "ai/batch/channels.py": named("ai (segment|batch)"),
    "ai/results/write.py": named("ai (segment|batch)"),
    "rendering/scene/interactive.py": named("3d show"),
    "rendering/scene/surface.py": named("3d surface"),
    "rendering/scene/surface.py --phase": named("3d (surface|show|export)"),
    "display/frames.py": named("viewer"),
    "viewer": named("viewer"),
    "report": named("report document"),
    "report/measurement_sr.py": named("report create"),
    "dicom/series": SERIES,
    "dicom/image/frame.py": LINES | named("measure (roi|hu|pixel)"),
    "dicom/segmentation/seg_stream.py": named("ai segment"),
    "dicom/segmentation/seg_write.py": named("ai segment"),
    "dicom/derived": named("3d (mpr|mip|minip|average|export)", "ai enhance"),
    "files/data_files.py": SERIES,
    "findings/recist.py": named("measure compare"),
    "findings/dicom_objects.py": RESULTS,
    "findings/segment.py": REGIONS,
    "findings/segment.py --threshold": named("measure volume"),
    "findings/write.py": named("measure"),
    "measure/spatial/series_space.py": REGIONS,
    "measure/spatial/calibration.py": LINES | named("measure (roi|hu)"),
    "measure/spatial/ultrasound_regions.py": LINES | named("measure (roi|hu)"),
    "measure/intensity/volumes.py": named("measure volume"),
    "measure/intensity/statistics.py": REGIONS | named("measure pixel"),
    "measure/pet": named("measure suv"),
    "measure/region/regions.py": REGIONS,
    "measure/region/shapes.py": named("measure (area|roi|hu)"),
    "documents/atomic.py": {name for name in COMMANDS if "--output" in COMMANDS[name]},
}
#: Options that may stand anywhere on the line.
EVERYWHERE = {DEBUG_OPTION, EXTERNAL_OPTION}
#: Words that name another program's options, or that are no advice.
NOT_OURS = {
    "ai/registry/tensorflow_worker.py",
    "ai/samples/brain_tissue/evaluate.py",
    "ai/samples/brain_tissue/train.py",
}


def messages() -> list[tuple[str, int, str]]:
    """(module, line, text) of every string in gpukit that names an option, docstrings aside."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documented = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) and id(node) not in documented else None
            if isinstance(text, str) and OPTION.search(text):
                found.append((path.relative_to(ROOT).as_posix(), node.lineno, text))
    return found


def printed_by(module: str, option: str) -> set[str] | None:
    for name in (f"{module} {option}", module, *(str(p) for p in Path(module).parents)):
        if name in PRINTED_BY:
            return PRINTED_BY[name]
    return None


def test_every_option_that_a_message_names_exists_where_it_is_printed() -> None:
    found = messages()
    assert len(found) > 60  # the search has not gone blind
    wrong = []
    for module, line, text in found:
        if module in NOT_OURS:
            continue
        whole = re.search(r"gpukit ((?:ai|measure|3d|series)(?: [a-z]+)*)", text)
        for option in OPTION.findall(text):
            if whole is not None:  # it names the command itself
                near = named(whole[1].strip()) or named(" ".join(whole[1].split()[:2]))
                commands: set[str] | None = near
            else:
                commands = printed_by(module, option)
            if commands is None:
                wrong.append(f"{module}:{line}: say in PRINTED_BY which commands print {option}")
                continue
            lacking = sorted(name for name in commands if option not in COMMANDS[name] | EVERYWHERE)
            if lacking:
                wrong.append(f"{module}:{line}: {option} is not an option of {', '.join(lacking)}")
    assert not wrong, "\n".join(wrong)


# ---- the same of messages that come out


def uneven(folder: Path) -> list[Path]:
    array = np.random.default_rng(0).integers(0, 100, (8, 24, 24)).astype(np.int16)
    places = [0, 2, 4, 6, 10, 12, 14, 16]
    return write_series(folder, array, np.eye(4), positions=[np.array([0, 0, z]) for z in places])


def two_phases(folder: Path) -> None:
    for n in (1, 2):

        def timed(dataset: pydicom.Dataset, k: int, n: int = n) -> None:
            dataset.SeriesInstanceUID = "1.2.826.0.1.3680043.10.1234.55"
            dataset.TemporalPositionIdentifier, dataset.NumberOfTemporalPositions = n, 2

        write_series(folder, np.zeros((4, 24, 24), np.int16), np.eye(4), modality="MR", series=str(n), change=timed)


def two_series(folder: Path) -> None:
    for n in (1, 2):
        write_series(folder, np.zeros((4, 24, 24), np.int16), np.eye(4), series=str(n))


LINES_OF = {
    "3d mpr": ["--output", "out"], "3d mip": ["--output", "out.png"], "3d volume": ["--output", "out.png"],
    "3d surface": ["--threshold", "50", "--output", "out.stl"], "3d export": ["--output", "out", "--formats", "nifti"],
    "3d animate": ["--output", "out"], "measure volume": ["--threshold", "1,50"],
    "measure roi": ["--sphere", "5,5,2,2mm"], "measure hu": ["--sphere", "5,5,2,2mm"],
    "measure suv": ["--sphere", "5,5,2,2mm"], "measure pixel": ["--point", "5,5,2"],
    "measure bidirectional": ["--mask", "mask.nii"], "measure distance": ["--p1", "1,1,1", "--p2", "9,9,2"],
}  # fmt: skip


@pytest.mark.parametrize("words", LINES_OF)
@pytest.mark.parametrize("build", [uneven, two_phases, two_series])
def test_what_an_error_advises_is_possible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str, build: Any
) -> None:
    build(tmp_path / "series")
    monkeypatch.chdir(tmp_path)
    main([*words.split(), "series", *LINES_OF[words], "--device", "cpu"] if "--device" in COMMANDS[words] else
         [*words.split(), "series", *LINES_OF[words]])  # fmt: skip
    told = capsys.readouterr().err
    assert "unexpected" not in told
    assert not [option for option in OPTION.findall(told) if option not in COMMANDS[words] | EVERYWHERE], told
