"""The public names are a promise: a change here is a change for every user."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import gpukit

NAMES = {
    "Box",
    "Circle",
    "DeviceInfo",
    "Ellipse",
    "GpukitError",
    "Grid",
    "Label",
    "Measurement",
    "Polygon",
    "Quantity",
    "Segmentation",
    "SourceInstance",
    "Sphere",
    "Volume",
    "__version__",
    "angle",
    "area",
    "bidirectional",
    "cobb_angle",
    "classify",
    "compare",
    "count_transfers",
    "detect",
    "devices",
    "distance",
    "enhance",
    "explain",
    "find_series",
    "hu",
    "measure",
    "report",
    "viewer",
    "mip",
    "mpr",
    "open",
    "open_mask",
    "pixel",
    "polyline",
    "render",
    "roi",
    "save",
    "segment",
    "suv",
    "suv_volume",
}


def test_public_names_are_pinned() -> None:
    assert set(gpukit.__all__) == NAMES
    assert set(dir(gpukit)) == NAMES


def test_every_public_name_loads_from_where_it_says() -> None:
    for name in NAMES:
        assert getattr(gpukit, name) is not None


def test_importing_gpukit_imports_nothing_heavy() -> None:
    code = "import gpukit, sys; print(*(set(sys.modules) & {'numpy', 'torch', 'pydicom', 'scipy', 'monai', 'typer'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={})
    assert done.stdout.strip() == ""


def test_no_public_name_is_the_name_of_a_module_in_gpukit() -> None:
    # Importing a module sets its name on its package: a function of that name would be there or not by chance.
    modules = {module.name for module in pkgutil.iter_modules(gpukit.__path__)}
    assert not set(gpukit._PUBLIC) & modules
    verbs = set(gpukit.measure.__all__)
    assert not verbs & {module.name for module in pkgutil.iter_modules(gpukit.measure.__path__)}


def test_every_verb_of_measure_loads() -> None:
    for name in gpukit.measure.__all__:
        assert callable(getattr(gpukit.measure, name)), name
