"""``gpukit demo``: the whole way on a real head, from a DICOM series to a segmentation and a picture."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpukit.extras import missing_package
from gpukit_cli.params import Device, Force
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.volume import Volume

app = typer.Typer(add_completion=False, rich_markup_mode=None)

#: The T1 template MNI ICBM152 2009a, as it lies inside nilearn's wheel.
_TEMPLATE = "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for everything.")] = Path(
        "demo"
    ),
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="MODEL", help="The model, as in `gpukit ai segment`.")
    ] = "brain-tissue",
    device: Device = None,
    force: Force = False,
) -> int:
    """Write a real T1 volume as a DICOM series, segment it, and show volumes, the DICOM SEG and a picture.

    The volume is the MNI152 template from the package nilearn; nothing is fetched.
    """
    from gpukit.dicom.derived.mr_series import write_mr_series
    from gpukit.documents.atomic import check_output
    from gpukit_cli.main import main

    series, seg, picture = output / "t1", output / "seg.dcm", output / "montage.png"
    if output.is_dir():
        for target in (seg, picture):
            check_output(target, force=force)
    with Progress() as progress:
        write_mr_series(
            template(),
            series,
            patient_name="MNI152^Template",
            patient_id="MNI152",
            description="T1 template, ICBM152 2009a",
            body_part="BRAIN",
            force=force,
            progress=lambda done, total: progress("DICOM", done, total),
        )
    words = ["ai", "segment", f"{series}/", "--model", model, "--output", str(seg), "--overlay", str(picture)]
    words += ["--device", device] if device else []
    words += ["--force"] if force else []
    sys.stderr.write(f"$ gpukit {' '.join(words)}\n")
    return main(words)


def template() -> Volume:
    """The T1 template as an axial volume, from the installed package nilearn (which is not imported)."""
    from dataclasses import replace
    from importlib.util import find_spec

    from gpukit.files.nifti import read_nifti

    spec = find_spec("nilearn")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = [Path(place) / _TEMPLATE for place in places if (Path(place) / _TEMPLATE).is_file()]
    if not found:
        raise missing_package("the demo needs the T1 template inside nilearn", "demo")
    volume = read_nifti(found[0])
    grid, axes, flips = volume.grid.reoriented("LPS")
    turned = volume.array.transpose(axes)[tuple(slice(None, None, -1 if flip else None) for flip in flips)]
    return replace(volume, array=turned.round().astype("u2"), grid=grid)
