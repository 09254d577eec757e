"""The modality transformation of a presentation state is that of the values."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from support.dicom_items import item

from gpukit.dicom.pr.grayscale_pipeline import show_values


@pytest.mark.parametrize("slope", [2, 0])
def test_a_rescale_outside_the_functional_groups_goes_into_the_state(slope: int) -> None:
    """Its window is in HU: without the transformation a viewer would apply it to stored values."""
    image = item(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1", SOPInstanceUID="1.2.3", NumberOfFrames=2, RescaleSlope=slope,
        RescaleIntercept=-1000, SharedFunctionalGroupsSequence=[Dataset()],
        PerFrameFunctionalGroupsSequence=[
            item(FrameVOILUTSequence=[item(WindowCenter=40, WindowWidth=400)]) for _ in range(2)
        ],
    )  # fmt: skip
    state = Dataset()
    show_values(state, [image])
    assert (float(state.RescaleSlope), float(state.RescaleIntercept)) == (float(slope or 1), -1000.0)
    assert float(state.SoftcopyVOILUTSequence[0].WindowCenter) == 40.0
