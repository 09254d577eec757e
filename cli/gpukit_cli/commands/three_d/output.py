"""Where planes and projections go: one file, or files in a folder, by format, phase and slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from gpukit.volume import Voi, Volume

__all__ = ["ENDINGS", "KINDS", "Target", "aim", "write"]

#: Format -> suffix of its files.
KINDS = {"png": ".png", "nifti": ".nii.gz", "metaimage": ".mha", "nrrd": ".nrrd", "dicom": ".dcm"}
#: Endings of a name that say that it is a file.
ENDINGS = (".png", ".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr", ".dcm")
#: Formats whose files hold one slice: a stack is a folder of them.
_BY_SLICE = ("png", "dicom")


@dataclass(frozen=True)
class Target:
    """Where one result goes.

    Parameters
    ----------
    path : Path
        A file, or the folder of a stack in a format of single slices.
    kind : str
        One of `KINDS`, or empty for what the file's ending says.
    """

    path: Path
    kind: str

    @property
    def is_folder(self) -> bool:
        """Whether it becomes a folder."""
        return self.kind in _BY_SLICE and not self.path.name.lower().endswith(ENDINGS)


def aim(
    output: Path, planes: Sequence[str], kind: str | None, *, stacked: bool, apart: bool, force: bool
) -> list[Target]:
    """One target a result: the output itself where it is a file's name, else files or folders in a folder.

    Parameters
    ----------
    output : Path
        As the user gave it.
    wanted : sequence of str
        Names of the results.
    kind : str or None
        What ``--format`` said.
    stacked : bool
        Whether each result is a stack of slices.
    apart : bool
        Whether a folder gets a file or folder for each name; otherwise a single stack fills the folder itself.
    force : bool
        Whether existing files may be overwritten.
    """
    from gpukit.documents.atomic import check_output
    from gpukit.errors import OutputError

    if output.name.lower().endswith(ENDINGS) and not output.is_dir():
        if len(planes) > 1:
            raise typer.BadParameter(f"{output} is one file and there are {len(planes)} planes: name a folder")
        if kind is not None and not _suits(output, kind):
            raise typer.BadParameter(f"the name {output} does not suit --format {kind}")
        if stacked and output.name.lower().endswith((".png", ".dcm")):
            raise typer.BadParameter(f"{output} is one file and a stack has many slices: name a folder, or .nii.gz")
        return [Target(check_output(output, force=force), "dicom" if output.suffix.lower() == ".dcm" else "")]
    kind = kind or "png"
    if output.exists() and not output.is_dir():
        raise OutputError("the output is not a folder", file=output, fix="name a folder, or a file that ends in .png")
    if not output.is_dir() and not output.parent.is_dir():
        raise OutputError("the folder of the output does not exist", file=output, fix="create it first")
    if not apart and kind in _BY_SLICE and (stacked or kind == "dicom"):
        targets = [Target(output, kind)]
    elif kind == "dicom" or (stacked and kind in _BY_SLICE):
        targets = [Target(output / name, kind) for name in planes]
    else:
        targets = [Target(output / f"{name}{KINDS[kind]}", kind) for name in planes]
    for target in targets:
        if target.is_folder:
            _check_folder(target.path, kind, force=force)
        elif output.is_dir():
            check_output(target.path, force=force)
    return targets


def _suits(output: Path, kind: str) -> bool:
    endings = {"nifti": (".nii", ".nii.gz"), "metaimage": (".mha", ".mhd"), "nrrd": (".nrrd", ".nhdr")}
    return output.name.lower().endswith(endings.get(kind, (KINDS[kind],)))


def _check_folder(folder: Path, kind: str, *, force: bool) -> None:
    """It may be filled: it is not there, is empty, or holds nothing but files of this kind and `force`."""
    from gpukit.errors import OutputError, OutputExistsError

    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError("the output is not a folder", file=folder, fix="name a folder")
    others = [path for path in folder.iterdir() if not (path.is_file() and path.suffix == KINDS[kind])]
    if others:
        raise OutputExistsError(
            f"holds something else than {KINDS[kind]} files: {others[0].name}", file=folder, fix="choose another folder"
        )
    if not force and any(folder.iterdir()):
        raise OutputExistsError("the folder exists", file=folder, fix="choose another, or say --force")


def write(
    volume: Volume,
    target: Target,
    *,
    interpolation: str,
    window: Voi | None,
    header_window: Voi | None = None,
    force: bool,
    rulers: bool = False,
    squares: bool = True,
    number: int = 0,
) -> list[Path]:
    """Write one result; the files or folders that were made.

    Parameters
    ----------
    volume : Volume
        One slice or several, of one phase or several.
    target : Target
        From `aim`.
    interpolation : str
        Between the pixels of a PNG that are not square.
    window : Voi or None
        How a PNG is shown where its image does not name a window, or where the user chose one.
    header_window : Voi or None
        How all images are shown, where the user chose it.
    force : bool
        Overwrite.
    rulers : bool
        Rulers in mm beside a PNG.
    squares : bool
        Give a PNG square pixels.
    number : int
        Of this result among those of one run: derived series get series numbers of their own.
    """
    import gpukit
    from gpukit.display.picture import write_picture
    from gpukit.rendering.mpr.components import phase_of
    from gpukit.rendering.mpr.planes import squared

    path = target.path
    is_png, is_dicom = path.name.lower().endswith(".png") or target.kind == "png", target.kind == "dicom"
    if is_png:
        window = _shared_window(volume, target, window, header_window)
    if volume.axes.startswith("t") and (is_png or is_dicom):
        stem, suffix = (path, "") if target.is_folder else (path.with_suffix(""), path.suffix)
        files = []
        for t in range(volume.array.shape[0]):
            phase = Target(stem.with_name(f"{stem.name}_phase_{t:03d}{suffix}"), target.kind)
            files += write(
                phase_of(volume, t), phase, interpolation=interpolation, window=window, header_window=header_window,
                force=force, rulers=rulers, squares=squares, number=number + 10 * t,
            )  # fmt: skip
        return files
    path.parent.mkdir(exist_ok=True)
    if target.is_folder and is_dicom:
        from gpukit.dicom.derived.derivation import Derivation
        from gpukit.dicom.derived.write import write_derived

        derivation = replace(Derivation.of(volume), series_offset=number)
        write_derived(volume, path, derivation, window=header_window, force=force)
        return [path]
    if is_dicom:
        return [gpukit.save(volume, path, format="dicom", window=header_window, force=force)]
    if not is_png:
        return [gpukit.save(volume, path, force=force)]
    flat = squared(volume, interpolation=interpolation) if squares else volume
    if target.is_folder:
        _write_pictures(flat, path, window, force=force)
    else:
        write_picture(flat, path, window=window, rulers=rulers, force=force)
    return [path]


def _shared_window(volume: Volume, target: Target, window: Voi | None, header_window: Voi | None) -> Voi | None:
    """The window of all pictures of a result; None where each has that of its image."""
    from gpukit.display.window import as_voi, own_voi, value_range

    if volume.axes.endswith("c"):
        return window
    if header_window is not None or own_voi(volume) is not None:
        return header_window
    if window is None and (target.is_folder or volume.phases):
        # pictures of one series are compared: all of them in one window
        return as_voi(value_range(volume.array, volume.padding) or (0.0, 1.0))
    return window


def _write_pictures(volume: Volume, folder: Path, window: Voi | None, *, force: bool) -> None:
    """One picture a slice; the folder appears whole or not at all."""
    from gpukit.display.picture import write_picture
    from gpukit.documents.atomic import new_folder

    _check_folder(folder, "png", force=force)
    with new_folder(folder) as temporary:
        for k in range(volume.grid.shape[0]):
            write_picture(volume, temporary / f"{k:04d}.png", window=window, slice=k)
