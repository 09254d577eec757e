"""Many cases: nothing lost, nothing done twice, whatever ends a run; and the three stages really overlap."""

from __future__ import annotations

import csv
import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.batch_cases import above, bright_model, check_outputs, rows_of, uid_of, write_series

from gpukit.ai.batch import job
from gpukit.ai.batch.case import Case
from gpukit.ai.batch.find import find_cases
from gpukit.ai.batch.job import Job
from gpukit.ai.batch.manifest import Manifest
from gpukit.ai.batch.pipeline import DEPTH, Pipeline
from gpukit.ai.batch.run import MOST_LOSSES, batch, drive
from gpukit.ai.registry.find import find_model
from gpukit.ai.runtimes import choose, keep_networks
from gpukit.errors import FormatError, InputError, InputNotFoundError, ModelError, OutputError, OutputExistsError

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bright_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def study(tmp_path: Path) -> list[Path]:
    """Four series below one folder."""
    return [write_series(tmp_path / "in" / f"s{n}", seed=n) for n in range(4)]


def test_every_series_and_volume_of_a_folder(study: list[Path], model: Path, tmp_path: Path) -> None:
    values = np.zeros((5, 6, 7), np.int16)
    values[1:3, 2:4, 3:5] = 100
    nibabel.save(nibabel.Nifti1Image(values, np.diag([1.0, 1.0, 2.0, 1.0])), tmp_path / "in" / "volume.nii.gz")
    (tmp_path / "in" / "notes.pdf").write_text("no image")
    output = tmp_path / "out"
    made = batch(tmp_path / "in", model, output, format="nifti", device="cpu")
    assert (made.done, made.failed, made.before) == (5, (), 0)
    by_case = {row["case"]: row for row in made.rows}
    for folder in study:
        row = by_case.pop(uid_of(folder))
        labels = np.asarray(nibabel.load(output / row["outputs"][0]).dataobj)
        # NIfTI is RAS and [i, j, k]: x and y run the other way than the rows and columns of an axial DICOM slice
        assert int(labels.sum()) == int(above(folder, 0.0).sum()) == row["result"]["labels"][0]["voxels"]
    (row,) = by_case.values()
    assert row["case"].startswith("volume-")
    np.testing.assert_array_equal(np.asarray(nibabel.load(output / row["outputs"][0]).dataobj), values > 0)
    summary = json.loads((output / "summary.json").read_text())
    assert (summary["schema_version"], summary["cases"], summary["done"], summary["failed"]) == (1, 5, 5, 0)
    with (output / "summary.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert [line["case"] for line in table] == [row["case"] for row in made.rows]
    assert all("ml" in line["result"] for line in table)


def test_no_patient_is_named_in_the_record(study: list[Path], model: Path, tmp_path: Path) -> None:
    batch(study[0], model, tmp_path / "out", format="json", device="cpu")
    for file in (tmp_path / "out").iterdir():
        text = file.read_text()
        assert "Nobody" not in text and "X-42" not in text, file


def test_lists_name_what_they_hold_and_a_line_that_leads_nowhere_is_a_row(
    study: list[Path], model: Path, tmp_path: Path
) -> None:
    listed = tmp_path / "cases.txt"
    listed.write_text("# two\n\nin/s0\nin/s2\nin/s0\nin/nothing\n")
    made = batch(listed, model, tmp_path / "out", device="cpu")
    assert [row["status"] for row in made.rows] == ["done", "done", "failed"]
    assert "no such file" in made.failed[0]["error"].lower() and "nothing" in made.failed[0]["error"]
    check_outputs(tmp_path / "out", [study[0], study[2]])


def test_copies_with_one_uid_are_cases_each(study: list[Path], tmp_path: Path) -> None:
    shutil.copytree(study[0], tmp_path / "copy")
    cases = find_cases([study[0], tmp_path / "copy", study[0]])
    assert len(cases) == len({case.key for case in cases}) == 2
    assert {case.source for case in cases} == {str(study[0]), str(tmp_path / "copy")}


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=80))
def test_a_uid_from_a_hostile_file_never_leads_out_of_the_folder(text: str) -> None:
    from gpukit.ai.batch.case import file_key

    key = file_key(text)
    assert key == Path(key).name and key not in ("", ".", "..") and not key.startswith(".")


def test_other_tasks_write_what_their_commands_write(tmp_path: Path) -> None:
    class Means(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            half = x.shape[3] // 2
            return torch.stack([x[..., :half].mean(dim=(1, 2, 3)), x[..., half:].mean(dim=(1, 2, 3))], dim=1)

    torch.jit.script(Means()).save(str(tmp_path / "means.ts"))
    content = {
        "schema_version": 1, "name": "means", "version": "1", "task": "classify", "format": "torchscript",
        "weights": "means.ts", "input": {"dimensions": 2, "channels": 1, "values": "rescaled"},
        "output": {"activation": "softmax", "classes": ["left", "right"]},
    }  # fmt: skip
    (tmp_path / "means.json").write_text(json.dumps(content))
    folder = write_series(tmp_path / "in")
    brighter = []
    for file in sorted(folder.glob("*.dcm")):
        pixels = pydicom.dcmread(file).pixel_array
        brighter.append("left" if pixels[:, :8].mean() > pixels[:, 8:].mean() else "right")
    options = {"top": 1}
    made = batch(folder, tmp_path / "means.ts", tmp_path / "out", options=options, format="csv", device="cpu")
    (row,) = made.rows
    with (tmp_path / "out" / row["outputs"][0]).open() as stream:
        assert [line["class"] for line in csv.DictReader(stream)] == brighter
    reported = batch(folder, tmp_path / "means.ts", tmp_path / "report", task="report", format="markdown", device="cpu")
    assert "probability" in (tmp_path / "report" / reported.rows[0]["outputs"][0]).read_text()


def test_a_phase_of_4d_images_is_chosen(model: Path, tmp_path: Path) -> None:
    """Its labels and its picture; images of 3D beside it are done too, and one that lacks the phase is a row."""
    values = np.random.default_rng(1).integers(-9, 9, (6, 7, 5, 3)).astype(np.int16)
    (tmp_path / "in").mkdir()
    for name, shown in (("four", values), ("three", values[..., 0]), ("one", values[..., :2])):
        nibabel.save(nibabel.Nifti1Image(shown, np.eye(4)), tmp_path / "in" / f"{name}.nii.gz")
    asked = {"format": "nifti", "device": "cpu", "overlay": True}
    made = batch(tmp_path / "in", model, tmp_path / "out", options={"phase": 2}, **asked)
    rows = {row["case"].partition("-")[0]: row for row in made.rows}
    assert [row["status"] for row in (rows["four"], rows["three"])] == ["done", "done"] and made.done == 2
    assert "no phase 2" in rows["one"]["error"]
    for name, shown in (("four", values[..., 2]), ("three", values[..., 0])):
        labels, picture = (tmp_path / "out" / file for file in rows[name]["outputs"])
        np.testing.assert_array_equal(np.asarray(nibabel.load(labels).dataobj), shown > 0)
        assert picture.stat().st_size > 100
    unasked = batch(tmp_path / "in", model, tmp_path / "unasked", format="nifti", device="cpu")
    assert "phases" in unasked.failed[0]["error"] and unasked.done == 1


def test_objects_that_refer_to_dicom_images_are_refused_for_others_before_the_work(model: Path, tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 4), np.int16), np.eye(4)), tmp_path / "v.nii.gz")
    made = batch(tmp_path / "v.nii.gz", model, tmp_path / "out", device="cpu")
    assert made.failed[0]["stage"] == "reading"
    assert "a DICOM SEG must refer to DICOM images" in made.failed[0]["error"] and "nifti" in made.failed[0]["error"]


def test_links_and_long_names_of_other_letters(model: Path, tmp_path: Path) -> None:
    """Links to folders are followed as for DICOM, also one that leads back; a name may have 4 bytes a letter."""
    name = "\U00020000" * 60  # a Chinese character beyond the first plane
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "in").mkdir()
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 4), np.int16), np.eye(4)), tmp_path / "elsewhere" / f"{name}.nii")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    made = batch(tmp_path / "in", model, tmp_path / "out", format="nifti", device="cpu", overlay=True)
    assert len(made.rows) == made.done == 1, made.failed


def test_files_that_a_shell_writes_out_are_one_series(study: list[Path], model: Path, tmp_path: Path) -> None:
    made = batch(sorted(study[1].glob("*.dcm")), model, tmp_path / "out", device="cpu")
    check_outputs(tmp_path / "out", [study[1]])
    assert len(made.rows) == 1


def test_series_of_a_zip_are_cases_each(study: list[Path], model: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "study"), "zip", tmp_path / "in")
    made = batch(archive, model, tmp_path / "out", device="cpu")
    assert made.failed == ()
    check_outputs(tmp_path / "out", study)


def test_a_changed_slice_makes_the_series_anew(study: list[Path], model: Path, tmp_path: Path) -> None:
    batch(tmp_path / "in", model, tmp_path / "out", device="cpu")
    file = study[1] / "001.dcm"
    content = pydicom.dcmread(file)
    content.PixelData = bytes(len(content.PixelData))
    content.save_as(file)
    made = batch(tmp_path / "in", model, tmp_path / "out", device="cpu")
    assert (made.done, made.before) == (4, 3)
    written = pydicom.dcmread(tmp_path / "out" / f"{uid_of(study[1])}.dcm")
    assert int((written.pixel_array > 0).sum()) == int(above(study[1], 0.0).sum())


# ---- failures


def test_failures_are_rows_and_are_tried_again(study: list[Path], model: Path, tmp_path: Path) -> None:
    missing = study[1] / "001.dcm"
    kept = missing.read_bytes()
    missing.unlink()  # a gap: 0 and 4 mm are two evenly spaced slices, so damage one too
    (study[2] / "002.dcm").write_bytes((study[2] / "002.dcm").read_bytes()[:600])
    made = batch(tmp_path / "in", model, tmp_path / "out", device="cpu")
    assert [row["status"] for row in made.rows].count("failed") == 1
    (failed,) = made.failed
    assert failed["case"] == uid_of(study[2]) and "002.dcm" in failed["error"] and failed["stage"] == "reading"
    again = batch(tmp_path / "in", model, tmp_path / "out", device="cpu", keep_failures=True)
    assert len(rows_of(tmp_path / "out")) == 4 and len(again.failed) == 1
    shutil.rmtree(study[2])
    write_series(study[2], seed=2)
    mended = batch(tmp_path / "in", model, tmp_path / "out", device="cpu")
    assert (mended.done, mended.before) == (4, 3)
    missing.write_bytes(kept)


def test_an_output_that_was_taken_away_is_made_again(study: list[Path], model: Path, tmp_path: Path) -> None:
    batch(tmp_path / "in", model, tmp_path / "out", device="cpu")
    (tmp_path / "out" / f"{uid_of(study[3])}.dcm").unlink()
    made = batch(tmp_path / "in", model, tmp_path / "out", device="cpu")
    assert (made.done, made.before) == (4, 3)
    assert len(rows_of(tmp_path / "out")) == 5


def test_a_folder_of_another_job_or_run_is_not_touched(study: list[Path], model: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    batch(study[0], model, output, device="cpu")
    other = bright_model(tmp_path / "other", 50.0)
    before = (output / "manifest.jsonl").read_bytes()
    with pytest.raises(OutputExistsError, match="another models"):
        batch(study[0], other, output, device="cpu")
    with pytest.raises(OutputExistsError, match="another format"):
        batch(study[0], model, output, format="nifti", device="cpu")
    assert (output / "manifest.jsonl").read_bytes() == before
    assert batch(study[0], other, output, device="cpu", force=True).before == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    with pytest.raises(OutputExistsError, match="thesis"):
        batch(study[0], model, tmp_path / "mine", device="cpu")
    job = Job(task="segment", models=(str(other),), format="dicom-seg", output=str(output))
    with Manifest(output, job.identity()), pytest.raises(OutputError, match="another batch is at work"):
        batch(study[0], other, output, device="cpu")


def test_what_cannot_be_done_at_all_is_told_before_the_first_case(
    study: list[Path], model: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="not written as sr"):
        batch(study[0], model, tmp_path / "out", format="sr")
    with pytest.raises(InputError, match="no such option"):
        batch(study[0], model, tmp_path / "out", options={"top": 3})
    for options, said in (
        ({"labels": ["Spleen"]}, "no label 'Spleen'"), ({"flips": "q"}, "flips are of"), ({"batch": 0}, "at least 1"),
        ({"weights": [1, 2]}, "weights are for several"), ({"runtime": "abacus"}, "unknown runtime"),
        ({"runtime": "onnx"}, "does not run models of the format torchscript"),
    ):  # fmt: skip
        with pytest.raises((InputError, ModelError), match=said):
            batch(study[0], model, tmp_path / "out", options=options)
    with pytest.raises(InputError, match="no such option"):
        batch(study[0], model, tmp_path / "out", task="segment", options={"confidence": 0.5})
    with pytest.raises(InputNotFoundError):
        batch(tmp_path / "nothing", model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---- the record


def test_a_torn_last_line_is_cut_off_and_no_other(tmp_path: Path) -> None:
    with Manifest(tmp_path, {"task": "x"}) as manifest:
        manifest.add({"case": "1", "status": "done"})
        manifest.add({"case": "2", "status": "failed"})
    file = tmp_path / "manifest.jsonl"
    whole = file.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for cut in range(start + 1, len(whole)):
        file.write_bytes(whole[:cut])
        with Manifest(tmp_path, {"task": "x"}) as manifest:
            assert list(manifest.rows) == ["1"] and manifest.done("1")
            manifest.add({"case": "2", "status": "done"})
        with Manifest(tmp_path, {"task": "x"}) as manifest:
            assert list(manifest.rows) == ["1", "2"] and manifest.done("2")
    file.write_bytes(whole.replace(b'{"case": "1"', b'{"ca\x00e": "1"'))
    with pytest.raises(FormatError, match="line 2"):
        Manifest(tmp_path, {"task": "x"})


# ---- overlap


def test_one_case_is_read_while_one_is_run_and_one_written(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A barrier of three stages opens only when all three are inside their work for different cases at one time."""
    folders = [write_series(tmp_path / f"s{n}", seed=n) for n in range(4)]
    cases = [find_cases(folder)[0] for folder in folders]
    meet = threading.Barrier(3, timeout=60)
    met: list[tuple[str, str]] = []
    spans: dict[tuple[str, str], dict[str, float]] = {}
    third = {"reading": cases[2].key, "inference": cases[1].key, "writing": cases[0].key}

    def observe(stage: str, key: str, moment: str) -> None:
        spans.setdefault((stage, key), {})[moment] = time.perf_counter()
        if moment == "begins" and third[stage] == key:
            meet.wait()  # without overlap nobody else comes, and the barrier breaks
            met.append((stage, key))

    (tmp_path / "out").mkdir()
    job = Job(task="segment", models=(str(model),), format="nifti", output=str(tmp_path / "out"))
    pipeline = Pipeline(job, "cpu", "w", observe)
    rows = [pipeline.submit(case) for case in cases]
    done = [row.result(timeout=120) for row in rows]
    pipeline.close()
    assert [row["status"] for row in done] == ["done"] * 4, done
    assert sorted(met) == sorted(third.items())
    at_once = [spans[place] for place in third.items()]
    # reading of case n + 1, inference of n and writing of n - 1: the last to begin does so before the first one ends
    assert max(span["begins"] for span in at_once) < min(span["ends"] for span in at_once)


def test_a_network_is_loaded_once_for_all_cases(model: Path) -> None:
    described = find_model(model)
    with keep_networks():
        first = choose(described).load(described, "cpu", "float32")
        assert choose(described).load(described, "cpu", "float32") is first
        assert choose(described).load(described, "cpu", "auto") is not first
    assert choose(described).load(described, "cpu", "float32") is not first


# ---- workers that die


class Mortal:
    """Workers that answer or die by a list; no processes."""

    def __init__(self, fates: list[bool], deadly: str = "", count: int = 2) -> None:
        self._fates, self._deadly = iter(fates), deadly
        self._held: dict[str, list[Case]] = {f"w{n}": [] for n in range(count)}
        self._number = count
        self.most = 0

    def workers(self) -> list[str]:
        return list(self._held)

    def send(self, worker: str, case: Case) -> None:
        self._held[worker].append(case)
        self.most = max(self.most, len(self._held[worker]))

    def wait(self) -> list[tuple[str, dict[str, Any] | None]]:
        worker = next(w for w, held in self._held.items() if held)
        if any(c.key == self._deadly for c in self._held[worker]) or next(self._fates, False):
            del self._held[worker]
            return [(worker, None)]
        return [(worker, {"case": self._held[worker].pop(0).key, "status": "done"})]

    def renew(self, worker: str) -> str | None:
        self._number += 1
        self._held[f"w{self._number}"] = []
        return f"w{self._number}"

    def close(self, *, at_once: bool = False) -> None:
        pass


@given(fates=st.lists(st.booleans(), max_size=30), count=st.integers(1, 4), cases=st.integers(1, 20))
def test_each_case_gets_one_row_whatever_workers_do(fates: list[bool], count: int, cases: int) -> None:
    pool, rows = Mortal(fates, count=count), []
    drive([Case(str(n), str(n)) for n in range(cases)], pool, rows.append)
    assert sorted(row["case"] for row in rows) == sorted(map(str, range(cases)))
    assert pool.most <= DEPTH


def test_the_case_that_kills_its_worker_is_the_one_that_fails() -> None:
    rows: list[dict[str, Any]] = []
    drive([Case(str(n), str(n)) for n in range(9)], Mortal([], deadly="4"), rows.append)
    assert {row["case"] for row in rows if row["status"] == "failed"} == {"4"} and len(rows) == 9
    assert str(MOST_LOSSES) in next(row["error"] for row in rows if row["status"] == "failed")


# ---- processes


def test_results_go_to_disk_before_their_row(
    study: list[Path], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a row is appended, its outputs are there and whole."""
    real = Manifest.add
    seen = []

    def add(self: Manifest, row: dict[str, Any]) -> None:
        for name in row["outputs"]:
            assert pydicom.dcmread(tmp_path / "out" / name).pixel_array.size
            seen.append(name)
        real(self, row)

    monkeypatch.setattr(Manifest, "add", add)
    batch(tmp_path / "in", model, tmp_path / "out", device="cpu")
    assert len(seen) == 4


def test_formats_and_options_name_real_arguments() -> None:
    import inspect

    from gpukit.ai.tasks.classify import classify
    from gpukit.ai.tasks.detect import detect
    from gpukit.ai.tasks.enhance import enhance
    from gpukit.ai.tasks.report import report
    from gpukit.ai.tasks.segment import segment

    for function in (segment, classify, detect, enhance, report):
        known = set(inspect.signature(function).parameters) | {"labels", "phase", "top"}
        assert set(job.OPTIONS[function.__name__]) <= known
