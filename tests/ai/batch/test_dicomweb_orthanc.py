"""Cases from a real PACS, Orthanc with its DICOMweb plug-in, started on the loopback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")
requests = pytest.importorskip("requests", reason="DICOMweb needs it: pip install 'gpukit[dicomweb]'")
pytest.importorskip("dicomweb_client", reason="DICOMweb needs it: pip install 'gpukit[dicomweb]'")

import pydicom
from support.batch_cases import above, bright_model, uid_of, write_series
from support.pacs_servers import free_port, served

import gpukit.remote.dicomweb as remote_dicomweb
from gpukit.ai.batch.find import find_cases
from gpukit.ai.batch.run import batch
from gpukit.errors import InputError

PLUGIN = "libOrthancDicomWeb.so"
PLUGINS = ("/usr/share/orthanc/plugins", "/usr/local/share/orthanc/plugins", "/usr/lib/orthanc/plugins")


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an empty Orthanc that asks for a password."""
    program = shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    plugin = next((file for folder in PLUGINS if (file := Path(folder) / PLUGIN).is_file()), None)
    if program is None or plugin is None:
        pytest.skip("Orthanc is not here (Debian's packages orthanc and orthanc-dicomweb)")
    folder = tmp_path_factory.mktemp("orthanc")
    port = free_port()
    content = {
        "Name": "tests", "HttpPort": port, "HttpBindAddresses": ["127.0.0.1"], "DicomServerEnabled": False,
        "StorageDirectory": str(folder), "IndexDirectory": str(folder), "Plugins": [str(plugin)],
        "RemoteAccessAllowed": True, "AuthenticationEnabled": True, "RegisteredUsers": {"reader": "quite-a-secret"},
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(content))
    address = f"http://127.0.0.1:{port}"
    asked = {"auth": ("reader", "quite-a-secret"), "timeout": 5}
    with served([program, folder / "orthanc.json"], folder, lambda: requests.get(f"{address}/system", **asked).ok):
        yield address


def test_series_of_a_pacs(
    orthanc: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folders = [write_series(tmp_path / "in" / f"s{n}", seed=n, slices=4) for n in range(5)]
    write_series(tmp_path / "in" / "sr", slices=1, modality="SR")
    for file in (tmp_path / "in").rglob("*.dcm"):
        given = requests.post(
            f"{orthanc}/instances", data=file.read_bytes(), auth=("reader", "quite-a-secret"), timeout=30
        )
        assert given.ok
    address = f"{orthanc}/dicom-web"
    model = bright_model(tmp_path / "model")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))  # in place of the user's own
    with pytest.raises(InputError, match="the service answers 401"):
        find_cases(address)
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login reader password quite-a-secret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setattr(remote_dicomweb, "PAGE", 2)
    made = batch(address, model, tmp_path / "out", device="cpu")
    assert made.failed == () and sorted(row["case"] for row in made.rows) == sorted(map(uid_of, folders))
    for folder in folders:
        written = pydicom.dcmread(tmp_path / "out" / f"{uid_of(folder)}.dcm")
        assert int(written.pixel_array.sum()) == int(above(folder, 0.0).sum())
    study = str(pydicom.dcmread(folders[2] / "000.dcm").StudyInstanceUID)
    (one,) = find_cases(f"{address}/studies/{study}")
    assert (one.key, one.images) == (uid_of(folders[2]), 4)
    assert find_cases(f"{address}/studies/{study}/series/{one.key}") == [one]
    assert batch(address, model, tmp_path / "out", device="cpu").before == 5
    told = "".join(capfd.readouterr())
    written_text = b"".join(file.read_bytes() for file in (tmp_path / "out").iterdir())
    assert "quite-a-secret" not in told and b"quite-a-secret" not in written_text


def test_a_series_that_is_deleted_midway_is_a_row(
    orthanc: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_series(tmp_path / "s")
    made_here = requests.Session()
    made_here.auth = ("reader", "quite-a-secret")
    for file in folder.iterdir():
        stored = made_here.post(f"{orthanc}/instances", data=file.read_bytes(), timeout=30).json()
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login reader password quite-a-secret\n")
    study = str(pydicom.dcmread(folder / "000.dcm").StudyInstanceUID)

    def found(done: int, total: int) -> None:
        if done == 0:
            assert made_here.delete(f"{orthanc}/instances/{stored['ID']}", timeout=30).ok

    address = f"{orthanc}/dicom-web/studies/{study}"
    made = batch(address, bright_model(tmp_path / "model"), tmp_path / "out", device="cpu", progress=found)
    (failed,) = made.failed
    assert "gave 2 of 3 instances" in failed["error"]
