"""Make the pictures of the guide by running the commands that stand beside them.

    python docs/make_pictures.py FOLDER [NAME...]

Every command in a ``bash`` block of the pages that names ``images/NAME.png`` or ``.gif`` is run as it stands, in a
folder with the inputs that the pages speak of, and its picture goes to ``docs/images``. With names only those are made
anew.

FOLDER is the unpacked source distribution of totalsegmentator 2.18.0 from PyPI (Apache-2.0), whose tests bring a chest
CT with contrast and a mask of its aorta::

    pip download --no-deps --no-binary :all: totalsegmentator==2.18.0

The head is the MNI template that comes with nilearn, the single slice a CT that comes with pydicom.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
MOST_BYTES = 150_000


def commands() -> dict[str, list[str]]:
    """Picture -> words of the command that makes it, from all pages."""
    found: dict[str, list[str]] = {}
    for page in sorted(HERE.glob("*.md")):
        for block in re.findall(r"^```bash\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                for word in words:
                    if word.startswith("images/") and word.endswith((".png", ".gif")):
                        found[word.removeprefix("images/")] = words
    return found


def prepare(folder: Path, source: Path) -> None:
    """The inputs that the pages speak of."""
    models = next(source.rglob("aorta_report/test_result/models"))
    (folder / "ct.nii.gz").symlink_to((models / "ct_cropped.nii.gz").resolve())
    (folder / "chest.nii.gz").symlink_to((models / "ct.nii.gz").resolve())
    (folder / "aorta.nii.gz").symlink_to((models / "aorta.nii.gz").resolve())
    points = middle_of(models / "aorta.nii.gz")
    rows = "\n".join(",".join(f"{v:.3f}" for v in row) for row in points)
    (folder / "aorta.csv").write_text(f"L,P,S\n{rows}\n", encoding="utf-8")
    from pydicom.data import get_testdata_file

    (folder / "ct.dcm").symlink_to(str(get_testdata_file("CT_small.dcm")))
    from nilearn.datasets import load_mni152_template

    load_mni152_template(resolution=1).to_filename(folder / "t1.nii.gz")


def middle_of(path: Path) -> np.ndarray:
    """LPS points down the middle of a tube, from its one end to the other: the way that stays far from the wall."""
    import nibabel
    from scipy import ndimage
    from skimage.graph import MCP_Geometric, route_through_array

    image = nibabel.load(path)
    mask = np.asarray(image.dataobj) > 0
    mask = ndimage.label(mask)[0] == 1 + np.argmax(np.bincount(ndimage.label(mask)[0][mask])[1:])
    wall = ndimage.distance_transform_edt(mask)

    def farthest(start: tuple[int, ...]) -> tuple[int, ...]:
        costs, _ = MCP_Geometric(np.where(mask, 1.0, -1.0)).find_costs([start])
        return tuple(np.unravel_index(np.argmax(np.where(np.isfinite(costs), costs, -1)), mask.shape))

    one = farthest(tuple(np.argwhere(mask)[0]))
    other = farthest(one)
    cost = np.where(mask, 1.0 / np.maximum(wall, 0.5) ** 3, 1e6)
    way = np.array(route_through_array(cost, one, other, geometric=True)[0])
    inner = way[wall[tuple(way.T)] >= 0.5 * np.median(wall[tuple(way.T)])][::6]
    return np.asarray(nibabel.affines.apply_affine(image.affine, inner) * [-1, -1, 1])


def main(source: Path, wanted: list[str]) -> None:
    """Make the pictures."""
    (HERE / "images").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        prepare(folder, source)
        for picture, words in commands().items():
            if wanted and picture not in wanted and Path(picture).stem not in wanted:
                continue
            subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL)
            made = folder / "images" / picture
            if made.stat().st_size > MOST_BYTES:
                sys.exit(f"{picture} has {made.stat().st_size:,} bytes: make it smaller")
            made.replace(HERE / "images" / picture)
            print(picture)
    if not wanted or any(name.startswith("volume") for name in wanted):
        from volume_pictures import draw

        draw(source, HERE / "images")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
