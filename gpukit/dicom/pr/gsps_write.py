"""Presentation states, written (PS3.3 A.33): what was measured, drawn on the image that it was measured on."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from fractions import Fraction
from os import PathLike
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from gpukit.dicom.image.functional_groups import functional_group
from gpukit.dicom.modules.graphics import TO_CORNER, Annotation, Figure, check_inside, image_size
from gpukit.dicom.modules.source_header import (
    REQUIRED,
    fit_character_set,
    introduce_source_classes,
    is_valid,
    new_series_number,
    short_text,
)
from gpukit.dicom.pr.grayscale_pipeline import VALUES, show_values
from gpukit.errors import InputError
from gpukit.extras import missing_package

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["build_gsps", "write_gsps"]

#: Name of the one graphic layer.
LAYER = "MEASUREMENTS"
_TYPES = {"POINT": "POINT", "POLYLINE": "POLYLINE", "CIRCLE": "CIRCLE", "ELLIPSE": "ELLIPSE"}
_WHITE = 0xFFFF
_LEFT_OUT = VALUES | {"SpecificCharacterSet"}
#: Sides of the polygon that stands for a round figure in the raster.
_SIDES = 128


def write_gsps(
    annotations: Sequence[Annotation],
    headers: Mapping[str, Dataset],
    target: str | PathLike[str] | BinaryIO,
    **options: Any,
) -> None:
    """Write a presentation state; parameters and errors as `build_gsps`. Not atomic."""
    build_gsps(annotations, headers, **options).save_as(target, enforce_file_format=True)


def build_gsps(
    annotations: Sequence[Annotation],
    headers: Mapping[str, Dataset],
    *,
    description: str = "Measurements",
    creator: str = "gpukit^",
    raster: bool = True,
    software: Sequence[str] = (),
) -> Dataset:
    """Presentation state with graphics and texts on the images of one study.

    The window, modality transformation and orientation shown are the images' own.

    Parameters
    ----------
    annotations : sequence of Annotation
        One or more; figures in pixels.
    headers : mapping of str to Dataset
        Header of each annotated image by its SOPInstanceUID, from `gpukit.dicom.modules.source_header.source_header`.
    description : str
        Content description.
    creator : str
        Name of who made it, as DICOM writes persons.
    software : sequence of str
        What took part beside gpukit, such as a network's name and the digest of its weights; 64 characters each.
    raster : bool
        Where one single-frame image is annotated, draw the figures a second time, one pixel wide, as a bitmap display
        shutter (PS3.3 C.7.6.15). Vector graphics are optional for a viewer (DCMTK's ``dcmp2pgm`` has none), shutters
        are part of every rendering.

    Returns
    -------
    Dataset
        Grayscale, or for colour images Color, Softcopy Presentation State Storage.

    Raises
    ------
    InputError
        Nothing to draw, a point outside its image, or images of several studies.
    DependencyError
        highdicom is missing.
    """
    try:
        import highdicom
    except ImportError as error:
        raise missing_package("writing a presentation state needs highdicom", "dicom") from error
    from pydicom.uid import generate_uid

    introduce_source_classes(headers.values())

    from gpukit.version import __version__

    if not annotations or not any(annotation.figures or annotation.text for annotation in annotations):
        raise InputError("there is nothing to draw", fix="measure with points, a polygon, a box or another figure")
    used = list(dict.fromkeys(annotation.image.sop_instance_uid for annotation in annotations))
    images = [_with_groups(_clean(headers[uid])) for uid in used]
    if len({str(image.get("StudyInstanceUID")) for image in images}) > 1:
        raise InputError("the annotated images belong to several studies", fix="write one presentation state a study")
    for annotation in annotations:
        check_inside(annotation.figures, headers[annotation.image.sop_instance_uid])
    layer = highdicom.pr.GraphicLayer(LAYER, 1, "Measurements")
    colour = int(images[0].get("SamplesPerPixel") or 1) > 1
    options: dict[str, Any] = {}
    if colour:
        options["icc_profile"] = images[0].get("ICCProfile") or _srgb()
    else:
        inverse = images[0].get("PhotometricInterpretation") == "MONOCHROME1"
        options["presentation_lut_transformation"] = highdicom.PresentationLUTTransformation(
            presentation_lut_shape="INVERSE" if inverse else "IDENTITY"
        )
    kind = highdicom.pr.ColorSoftcopyPresentationState if colour else highdicom.pr.GrayscaleSoftcopyPresentationState
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # highdicom quotes names: patient data has no place in a log
        state: Dataset = kind(
            referenced_images=images,
            series_instance_uid=generate_uid(prefix=None),
            series_number=new_series_number(images[0]),
            sop_instance_uid=generate_uid(prefix=None),
            instance_number=1,
            manufacturer="gpukit",
            manufacturer_model_name="gpukit",
            software_versions=(__version__, *map(short_text, software)),
            device_serial_number=__version__,
            content_label=LAYER,
            content_description=short_text(description),
            content_creator_name=creator,
            graphic_layers=[layer],
            graphic_annotations=[
                _graphics(highdicom, annotation, images[used.index(annotation.image.sop_instance_uid)], layer)
                for annotation in annotations
            ],
            series_description=short_text(description),
            **options,
        )
    words = [description, *software, *(word for a in annotations for word in (a.text, a.tracking_id))]
    fit_character_set(state, headers[used[0]].get("SpecificCharacterSet"), words)
    state.Laterality = str(headers[used[0]].get("Laterality") or "")  # type 2C, and nobody knows the body part
    _set_pixel_shape(state, headers[used[0]])
    if not colour:
        show_values(state, [headers[uid] for uid in used])
    if raster and len(images) == 1 and not colour and int(images[0].get("NumberOfFrames") or 1) == 1:
        _add_raster(state, images[0], [figure for annotation in annotations for figure in annotation.figures])
    return state


def _srgb() -> bytes:
    """The colours that images without a profile are in, as far as anyone knows."""
    from PIL import ImageCms

    profile: bytes = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # DICOM wants the profile of an input device (PS3.3 C.11.15); one of matrix and curves serves both classes (ICC.1)
    return profile[:12] + b"scnr" + profile[16:]


def _clean(header: Dataset) -> Dataset:
    """The header with values that are there and valid: highdicom takes any other for a mistake of ours.

    Without its character set, of which highdicom does not take all, and without what is put into the state afterwards:
    highdicom refuses images whose rescaling differs.
    """
    from pydicom import DataElement, Dataset

    image = Dataset()
    for element in header:
        if element.tag.is_private or element.tag.group == 0x0002 or element.keyword in _LEFT_OUT:
            continue
        if is_valid(element):
            image.add(element)
        elif element.keyword in REQUIRED:
            image.add(DataElement(element.tag, element.VR, ""))
    if "SamplesPerPixel" not in image:
        image.SamplesPerPixel = 1
    return image


def _with_groups(image: Dataset) -> Dataset:
    """With empty functional groups: highdicom looks for them in every image of several frames."""
    from pydicom import Dataset

    image.SharedFunctionalGroupsSequence, image.PerFrameFunctionalGroupsSequence = [Dataset()], [Dataset()]
    return image


def _graphics(highdicom: Any, annotation: Annotation, image: Dataset, layer: Any) -> Any:
    """One item of the graphic annotation sequence."""
    pr = highdicom.pr
    pixel = pr.AnnotationUnitsValues.PIXEL
    names: dict[str, str] = {}
    if annotation.tracking_uid:
        names = {
            "tracking_id": short_text(annotation.tracking_id or "measurement"),
            "tracking_uid": annotation.tracking_uid,
        }
    objects = []
    for figure in annotation.figures:
        points = np.asarray(figure.points, dtype=np.float64) + TO_CORNER
        shapes = [points[n : n + 1] for n in range(len(points))] if figure.type in ("POINT", "MULTIPOINT") else [points]
        for shape in shapes:
            kind = "POINT" if figure.type == "MULTIPOINT" else _TYPES[figure.type]
            objects.append(
                pr.GraphicObject(
                    graphic_type=pr.GraphicTypeValues[kind], graphic_data=np.maximum(shape, 0.0), units=pixel, **names
                )
            )
    texts = []
    if annotation.text:
        columns, rows = image_size(image)
        anchor = np.asarray(annotation.figures[-1].points[-1] if annotation.figures else (0.0, 0.0)) + TO_CORNER
        anchor = np.clip(anchor, 0.0, (columns, rows))
        texts.append(
            pr.TextObject(
                annotation.text[:1024], units=pixel, anchor_point=(float(anchor[0]), float(anchor[1])), **names
            )
        )
    frame = annotation.image.frame if int(image.get("NumberOfFrames") or 1) > 1 else None
    parts = {"graphic_layer": layer, "graphic_objects": objects or None, "text_objects": texts or None}
    try:
        return pr.GraphicAnnotation(referenced_images=[image], referenced_frame_number=frame, **parts)
    except TypeError:
        if frame is None:
            raise
        # several frames in an object of a class for one: a reference to a frame would not be valid
        return pr.GraphicAnnotation(referenced_images=[image], **parts)


def _set_pixel_shape(state: Dataset, image: Dataset) -> None:
    """Show pixels in their true shape: highdicom takes them all for squares."""
    measures = functional_group(image, "PixelMeasuresSequence", 1)
    spacing = image.get("PixelSpacing") or (None if measures is None else measures.get("PixelSpacing"))
    aspect = image.get("PixelAspectRatio")
    detector = image.get("ImagerPixelSpacing")
    if spacing is None and detector is not None and len(detector) == 2 and min(detector) > 0:
        # mm at the detector are not mm of the patient (PS3.3 10.7.1.3): only the shape of the pixels is stated
        share = Fraction(float(detector[0]) / float(detector[1])).limit_denominator(10000)
        aspect = [share.numerator, share.denominator]
    for area in state.DisplayedAreaSelectionSequence:
        if spacing is not None and len(spacing) == 2:
            if "PresentationPixelAspectRatio" in area:
                del area.PresentationPixelAspectRatio
            area.PresentationPixelSpacing = spacing
        elif aspect is not None and len(aspect) == 2:
            area.PresentationPixelAspectRatio = aspect


def _add_raster(state: Dataset, image: Dataset, figures: Sequence[Figure]) -> None:
    """The figures as a bitmap shutter: an overlay plane, and the white that stands in its place."""
    from PIL import Image, ImageDraw

    columns, rows = image_size(image)
    if not figures:
        return
    used = {element.tag.group for element in image if 0x6000 <= element.tag.group <= 0x601E}
    group = next((g for g in range(0x6000, 0x6020, 2) if g not in used), None)
    if group is None:
        return
    picture = Image.new("1", (columns, rows))
    draw = ImageDraw.Draw(picture)
    for figure in figures:
        points = _outline(figure)
        if len(points) == 1 or figure.type == "MULTIPOINT":
            draw.point(points, fill=1)
        else:
            draw.line(points, fill=1)
    bits = np.packbits(np.asarray(picture, dtype=np.uint8).reshape(-1), bitorder="little").tobytes()
    add = state.add_new
    add((group, 0x0010), "US", rows)
    add((group, 0x0011), "US", columns)
    add((group, 0x0022), "LO", "Measurements")
    add((group, 0x0040), "CS", "G")
    add((group, 0x0050), "SS", [1, 1])
    add((group, 0x0100), "US", 1)
    add((group, 0x0102), "US", 0)
    add((group, 0x3000), "OW", bits + b"\0" * (len(bits) % 2))
    state.ShutterShape = "BITMAP"
    state.ShutterOverlayGroup = group
    state.ShutterPresentationValue = _WHITE


def _outline(figure: Figure) -> list[tuple[float, float]]:
    """The figure as a line through pixel centres; PIL counts pixels from their centres as gpukit does."""
    points = np.asarray(figure.points, dtype=np.float64)[:, :2]
    turns = np.linspace(0.0, 2.0 * np.pi, _SIDES + 1)[:, None]
    if figure.type == "CIRCLE":
        radius = float(np.linalg.norm(points[1] - points[0]))
        points = points[0] + radius * np.hstack([np.cos(turns), np.sin(turns)])
    elif figure.type == "ELLIPSE":
        middle, a, b = points.mean(axis=0), (points[1] - points[0]) / 2, (points[3] - points[2]) / 2
        points = middle + np.cos(turns) * a + np.sin(turns) * b
    return [(float(x), float(y)) for x, y in np.rint(points)]
