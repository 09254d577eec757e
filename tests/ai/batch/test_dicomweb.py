"""Cases from a real PACS of PyPI, tiny_pacs with its DICOMweb front-end, started on the loopback as its users start it.

Unlike Orthanc it searches series of one study only, keeps transfer syntaxes, and is asked with a bearer token.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")
requests = pytest.importorskip("requests", reason="DICOMweb needs it: pip install 'gpukit[dicomweb]'")
pytest.importorskip("dicomweb_client", reason="DICOMweb needs it: pip install 'gpukit[dicomweb]'")
pytest.importorskip("tiny_pacs_dicomweb", reason="the PACS of these tests: pip install 'tiny_pacs[dicomweb]'")

import pydicom
from pydicom.uid import RLELossless, generate_uid
from support.batch_cases import above, bright_model, brighter, uid_of, write_series
from support.pacs_servers import free_port, served

import gpukit.remote.dicomweb as remote_dicomweb
from gpukit.ai.batch.find import find_cases
from gpukit.ai.batch.run import batch
from gpukit.errors import InputError, InputNotFoundError

TOKEN = "quite-a-secret-token"


@pytest.fixture
def pacs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of an empty PACS that asks for a token, which the environment has."""
    port = free_port()
    content = {
        "ae": {"port": free_port()},
        "log": {"version": 1, "disable_existing_loggers": False},
        "components": {
            "Database": {"on": True, "driver": "sqlite", "mode": "memory"},
            "Devices": {"on": True}, "PACS": {"on": True}, "InMemoryStorage": {"on": False},
            "TempFileStorage": {"on": True},
            "HttpServer": {"on": True, "host": "127.0.0.1", "port": port},
            "DICOMWeb": {"on": True, "prefix": "/dicomweb", "auth": "token", "tokens": [TOKEN]},
        },
    }  # fmt: skip
    (tmp_path / "pacs.yaml").write_text(json.dumps(content))  # JSON is YAML
    program = shutil.which("tiny-pacs", path=str(Path(sys.executable).parent))
    assert program, "tiny_pacs is installed without its command"
    address = f"http://127.0.0.1:{port}/dicomweb"
    monkeypatch.setenv(remote_dicomweb.TOKEN, TOKEN)
    command = [program, "run", "-c", tmp_path / "pacs.yaml"]
    with served(command, tmp_path, lambda: requests.get(f"{address}/studies", timeout=5).status_code == 401):
        yield address


def store(address: str, *folders: Path) -> None:
    """STOW-RS: the files of the folders, as one request each."""
    for folder in folders:
        body = b"".join(
            b"--part\r\nContent-Type: application/dicom\r\n\r\n" + file.read_bytes() + b"\r\n"
            for file in sorted(folder.glob("*.dcm"))
        )
        kind = 'multipart/related; type="application/dicom"; boundary=part'
        headers = {"Content-Type": kind, "Accept": "application/dicom+json", "Authorization": f"Bearer {TOKEN}"}
        given = requests.post(f"{address}/studies", data=body + b"--part--\r\n", headers=headers, timeout=30)
        assert given.status_code == 200, given.text


def test_every_series_of_a_pacs(pacs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pages of studies and of their series; compressed instances as they are held; a second run; no token."""
    with pytest.raises(InputNotFoundError, match="no image series"):
        find_cases(pacs)
    study = str(generate_uid())
    folders = [
        *(write_series(tmp_path / "in" / f"s{n}", seed=n, slices=2) for n in range(3)),
        *(write_series(tmp_path / "in" / f"t{n}", seed=9 + n, slices=2, study=study, number=n) for n in range(3)),
    ]
    for file in folders[1].glob("*.dcm"):
        content = pydicom.dcmread(file)
        content.compress(RLELossless, generate_instance_uid=False)
        content.save_as(file)
    store(pacs, *folders, write_series(tmp_path / "sr", slices=1, modality="SR"))
    monkeypatch.setattr(remote_dicomweb, "PAGE", 2)
    model = bright_model(tmp_path / "model")
    made = batch(pacs, model, tmp_path / "out", device="cpu")
    assert made.failed == () and sorted(row["case"] for row in made.rows) == sorted(map(uid_of, folders))
    for folder in folders:
        written = pydicom.dcmread(tmp_path / "out" / f"{uid_of(folder)}.dcm")
        assert int(written.pixel_array.sum()) == int(above(folder, 0.0).sum())
    assert sorted(case.key for case in find_cases(f"{pacs}/studies/{study}")) == sorted(map(uid_of, folders[3:]))
    (one,) = find_cases(f"{pacs}/studies/{study}/series/{uid_of(folders[4])}")
    assert one.key == uid_of(folders[4])
    assert batch(pacs, model, tmp_path / "out", device="cpu").before == 6
    for name in ("manifest.jsonl", "summary.json"):
        assert TOKEN not in (tmp_path / "out" / name).read_text()
    monkeypatch.delenv(remote_dicomweb.TOKEN)
    with pytest.raises(InputError, match="the service answers 401"):
        find_cases(pacs)


def test_channels_of_the_studies_of_a_pacs(pacs: str, tmp_path: Path) -> None:
    model = brighter(tmp_path / "model")
    study, lacking = str(generate_uid()), str(generate_uid())
    t1, flair, other = (
        write_series(tmp_path / name, seed=n, modality="MR", study=study, number=n, description=name)
        for n, name in ((3, "T1"), (5, "FLAIR sag"), (7, "DWI"))
    )
    alone = write_series(tmp_path / "l", modality="MR", study=lacking, number=3, description="T1")
    store(pacs, t1, flair, other, alone)
    channels = {"T1": "3", "FLAIR": "5"}
    made = batch(pacs, model, tmp_path / "out", channels=channels, format="json", device="cpu")
    (row,) = [row for row in made.rows if row["status"] == "done"]
    expected = sum(
        int((pydicom.dcmread(b).pixel_array > pydicom.dcmread(a).pixel_array).sum())
        for a, b in zip(sorted(t1.iterdir()), sorted(flair.iterdir()), strict=True)
    )
    assert row["case"] == study and row["result"]["labels"][0]["voxels"] == expected
    assert made.failed[0]["case"] == lacking and "lacks FLAIR (5)" in made.failed[0]["error"]
    assert made.aside == (f"{pacs}/studies/{study}/series/{uid_of(other)}",)
    with pytest.raises(InputError, match="only series of a service"):
        batch(pacs, model, tmp_path / "o2", channels={"T1": "t1/", "FLAIR": "flair/"}, device="cpu")
