"""Cases of several channels: every way in which data sets put them together, and that none is ever taken for another.

The network's label is where FLAIR is larger than T1, so an exchanged order, or a channel of another case, shows.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")

from pydicom.uid import generate_uid
from support.batch_cases import bright_model, brighter, rows_of, uid_of, write_series, write_volume
from support.store_servers import s3_served

from gpukit.ai.batch.channels import channels_of
from gpukit.ai.batch.find import find_cases
from gpukit.ai.batch.run import Batch, batch
from gpukit.ai.registry.find import find_model
from gpukit.errors import FormatError, InputError, ModelError

Pair = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return brighter(tmp_path_factory.mktemp("models") / "two")


def pair(first: Path, second: Path, seed: int) -> Pair:
    return write_volume(first, seed=seed), write_volume(second, seed=seed + 100)


def labels_of(made: Batch) -> dict[str, np.ndarray]:
    """Label maps of what was done, by the part of the key that people read."""
    done = [row for row in made.rows if row["status"] == "done"]
    return {
        row["case"].rpartition("-")[0]: np.asarray(nibabel.load(made.folder / row["outputs"][0]).dataobj)
        for row in done
    }


def check(made: Batch, pairs: dict[str, Pair], failures: int = 0) -> None:
    labels = labels_of(made)
    assert sorted(labels) == sorted(pairs) and len(made.failed) == failures, made.failed
    for name, (t1, flair) in pairs.items():
        np.testing.assert_array_equal(labels[name] > 0, flair > t1, err_msg=name)


def run(inputs: Any, model: Path, output: Path, channels: dict[str, str] | None = None, **more: Any) -> Batch:
    return batch(inputs, model, output, format="nifti", device="cpu", channels=channels, **more)


# ---- files


def test_the_numbered_files_of_nnunet(model: Path, tmp_path: Path) -> None:
    """A flat folder as nnUNetv2_predict takes it, also as a shell writes it out; subfolders are cases of their own."""
    folder = tmp_path / "imagesTs"
    pairs = {name: pair(folder / f"{name}_0000.nii.gz", folder / f"{name}_0001.nii.gz", n)
             for n, name in enumerate(("la_001", "la_002", "Größe 3"))}  # fmt: skip
    made = run(folder, model, tmp_path / "out")
    check(made, {name.replace(" ", "-"): both for name, both in pairs.items()})
    row = next(row for row in made.rows if "la_002" in row["case"])
    assert {name: Path(one["source"]).name for name, one in row["channels"].items()} == {
        "T1": "la_002_0000.nii.gz", "FLAIR": "la_002_0001.nii.gz",
    }  # fmt: skip
    written_out = run(sorted(folder.iterdir(), reverse=True), model, tmp_path / "shell")
    assert {row["case"] for row in written_out.rows} == {row["case"] for row in made.rows}
    check(written_out, {name.replace(" ", "-"): both for name, both in pairs.items()})


def test_a_case_that_lacks_a_channel_or_has_one_more_is_a_row(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    whole = pair(folder / "whole_0000.nii.gz", folder / "whole_0001.nii.gz", 0)
    write_volume(folder / "lacks_0000.nii.gz")
    for n in range(3):
        write_volume(folder / f"more_{n:04d}.nii.gz", seed=n)
    pair(folder / "twice_0000.nii.gz", folder / "twice_0001.nii.gz", 5)
    write_volume(folder / "twice_0001.nii", seed=7)
    write_volume(folder / "alone.nii.gz")
    made = run(folder, model, tmp_path / "out")
    check(made, {"whole": whole}, failures=4)
    errors = {row["case"].rpartition("-")[0]: row["error"] for row in made.failed}
    assert "lacks FLAIR: the network wants 2 channels (T1, FLAIR), and there is lacks_0000" in errors["lacks"]
    assert "wants 2 channels" in errors["more"] and "more_0002" in errors["more"]
    assert "2 images are FLAIR" in errors["twice"]
    assert "1 volume was given" in errors["alone"]
    # the missing file comes: the same case is done, and no other again
    both = pair(folder / "lacks_0000.nii.gz", folder / "lacks_0001.nii.gz", 9)
    again = run(folder, model, tmp_path / "out", keep_failures=True)
    check(again, {"whole": whole, "lacks": both}, failures=3)
    assert again.before == 1 and len(rows_of(tmp_path / "out")) == 6


def test_files_told_by_a_pattern_whose_stars_name_the_case(model: Path, tmp_path: Path) -> None:
    """A folder a case (BraTS), a flat folder, BIDS' nested ones, and a folder a channel."""
    brats, flat, bids, split = (tmp_path / name for name in ("brats", "flat", "bids", "split"))
    pairs: dict[str, dict[str, Pair]] = {"brats": {}, "flat": {}, "bids": {}, "split": {}}
    for n in range(2):
        name = f"sub-{n}"
        pairs["brats"][name] = pair(brats / name / f"{name}-t1n.nii.gz", brats / name / f"{name}-t2f.nii.gz", n)
        write_volume(brats / name / f"{name}-seg.nii.gz")
        pairs["flat"][name] = pair(flat / f"{name}-t1n.nii.gz", flat / f"{name}-t2f.nii.gz", n + 10)
        place = bids / name / "ses-1" / "anat"
        pairs["bids"][name] = pair(place / f"{name}_T1w.nii.gz", place / f"{name}_FLAIR.nii.gz", n + 20)
        pairs["split"][name] = pair(split / "t1" / f"{name}.nii.gz", split / "flair" / f"{name}.nii.gz", n + 30)
    hyphens = {"T1": "*-t1n.nii.gz", "FLAIR": "*-t2f.nii.gz"}
    made = run(brats, model, tmp_path / "o1", hyphens)
    check(made, pairs["brats"])
    assert sorted(Path(one).name for one in made.aside) == ["sub-0-seg.nii.gz", "sub-1-seg.nii.gz"]
    check(run([brats / "sub-1", brats / "sub-0"], model, tmp_path / "o2", hyphens), pairs["brats"])
    check(run(flat, model, tmp_path / "o3", hyphens), pairs["flat"])
    check(run(bids, model, tmp_path / "o4", {"T1": "*_T1w.nii.gz", "FLAIR": "*_FLAIR.nii.gz"}), pairs["bids"])
    nested = {"T1": "*/*/anat/*_T1w.nii.gz", "FLAIR": "*/*/anat/*_FLAIR.nii.gz"}
    made = run(bids, model, tmp_path / "o5", nested)
    check(made, {f"{name}-ses-1-{name}": both for name, both in pairs["bids"].items()})
    folders = {"T1": "t1/*.nii.gz", "FLAIR": "flair/*.nii.gz"}
    for source in (split, [split / "flair", split / "t1"], str(split / "*/*.nii.gz")):
        output = tmp_path / f"o6-{len(str(source))}"
        check(run(source, model, output, folders), pairs["split"])


def test_the_same_names_in_a_folder_a_case(model: Path, tmp_path: Path) -> None:
    """Without a star the folder names the case; two of one name in different places are two."""
    a = pair(tmp_path / "in/a/x/t1.nii.gz", tmp_path / "in/a/x/flair.nii.gz", 1)
    b = pair(tmp_path / "in/b/x/t1.nii.gz", tmp_path / "in/b/x/flair.nii.gz", 2)
    made = run(tmp_path / "in", model, tmp_path / "out", {"flair": "flair.nii.gz", "t1": "t1.nii.gz"})
    assert made.failed == () and [row["case"][:2] for row in made.rows] == ["x-", "x-"]
    for row in made.rows:
        t1, flair = a if "/a/" in row["source"] else b
        labels = np.asarray(nibabel.load(made.folder / row["outputs"][0]).dataobj)
        np.testing.assert_array_equal(labels > 0, flair > t1)


def test_an_image_is_never_two_channels(model: Path, tmp_path: Path) -> None:
    """The only T1 is the one after contrast, which both descriptions fit; and a star fits nothing in place of more."""
    study_of(tmp_path / "in/a", ((8, "T1 mprage post"),))
    made = batch(tmp_path / "in", model, tmp_path / "o1", channels={"T1": "t1*", "FLAIR": "*post"}, device="cpu")
    assert made.done == 0 and "is T1 and FLAIR at the same time" in made.failed[0]["error"]
    write_volume(tmp_path / "files/s1_t1c.nii.gz")
    both = pair(tmp_path / "files/s2_t1.nii.gz", tmp_path / "files/s2_t1c.nii.gz", 2)
    made = run(tmp_path / "files", model, tmp_path / "o2", {"T1": "*_t1.nii.gz", "FLAIR": "*_t1c.nii.gz"})
    check(made, {"s2": both}, failures=1)
    assert "lacks T1" in made.failed[0]["error"]


def test_phases_of_a_file_are_channels_and_can_be_drawn(model: Path, tmp_path: Path) -> None:
    t1, flair = pair(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", 3)
    (tmp_path / "in").mkdir()
    image = nibabel.Nifti1Image(np.stack([t1, flair], axis=-1), np.diag([1.0, 1.0, 2.0, 1.0]))
    nibabel.save(image, tmp_path / "in" / "both.nii.gz")
    made = run(tmp_path / "in", model, tmp_path / "out", overlay=True)
    check(made, {"both": (t1, flair)})
    assert (tmp_path / "out" / made.rows[0]["outputs"][1]).suffix == ".png"


@pytest.mark.parametrize("channel", [0, 1])
def test_a_changed_file_of_any_channel_makes_the_case_anew(channel: int, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    pairs = {name: pair(folder / f"{name}_0000.nii", folder / f"{name}_0001.nii", n) for n, name in enumerate("ab")}
    run(folder, model, tmp_path / "out")
    changed = list(pairs["b"])
    file = folder / f"b_{channel:04d}.nii"
    before = file.stat()
    changed[channel] = write_volume(file, seed=77)
    assert file.stat().st_size == before.st_size
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    again = run(folder, model, tmp_path / "out")
    assert again.before == 1 and len(rows_of(tmp_path / "out")) == 3
    check(again, {**pairs, "b": (changed[0], changed[1])})
    with pytest.raises(Exception, match="another channels"):
        run(folder, model, tmp_path / "out", {"T1": "*_0001.nii", "FLAIR": "*_0000.nii"})


def test_a_table_names_the_image_of_each_channel(model: Path, tmp_path: Path) -> None:
    one, two = pair(tmp_path / "x/1.nii", tmp_path / "y/2.nii", 1), pair(tmp_path / "x/3.nii", tmp_path / "y/4.nii", 2)
    table = tmp_path / "cases.csv"
    lines = ["case,age,Flair,T1", "Anna 1,50,y/2.nii,x/1.nii", f"B,61,{tmp_path}/y/4.nii,x/3.nii", "C,9,,x/3.nii",
             "D,9,y/none.nii,x/3.nii", "E,9,y,x/3.nii", "F,9,x/3.nii,x/3.nii", "", "G,1"]  # fmt: skip
    table.write_text("\n".join(lines), encoding="utf-8-sig")
    write_volume(tmp_path / "y/5.nii")
    made = run(table, model, tmp_path / "out")
    check(made, {"Anna-1": one, "B": two}, failures=5)
    errors = {row["case"][0]: row["error"] for row in made.failed}
    assert "lacks FLAIR" in errors["C"] and "no such file" in errors["D"].lower() and "FLAIR" in errors["D"]
    assert "3 images are FLAIR" in errors["E"] and "is T1 and FLAIR at the same time" in errors["F"]
    assert "lacks T1" in errors["G"]
    table.write_text("\n".join(line.replace(",", ";") for line in lines[:3]))
    assert {row["case"] for row in run(table, model, tmp_path / "o2").rows} < {row["case"] for row in made.rows}
    table.write_text("case,T1\nA,x/1.nii")
    with pytest.raises(FormatError, match=r"wants 2 channels \(T1, FLAIR\), and the table has no column FLAIR"):
        run(table, model, tmp_path / "o3")
    table.write_text("image\nx/1.nii\nx/3.nii\n")
    assert batch(table, bright_model(tmp_path / "m"), tmp_path / "o4", format="nifti", device="cpu").done == 2


# ---- series


def study_of(folder: Path, series: Sequence[tuple[int, str]], seed: int = 0, modality: str = "MR") -> dict[str, Path]:
    """Series of one study, each with a number and a description, in one folder each."""
    uid = str(generate_uid())
    return {
        text: write_series(
            folder / f"{number}", seed=seed + number, modality=modality, study=uid, number=number, description=text
        )
        for number, text in series
    }


def values_of(folder: Path) -> np.ndarray:
    return np.stack([pydicom.dcmread(file).pixel_array for file in sorted(folder.glob("*.dcm"))])


def check_seg(made: Batch, t1: Path, flair: Path) -> dict[str, Any]:
    uid = str(pydicom.dcmread(min(t1.glob("*.dcm"))).StudyInstanceUID)
    (row,) = [row for row in made.rows if row["case"] == uid]
    assert row["status"] == "done", row
    written = pydicom.dcmread(made.folder / f"{uid}.dcm")
    assert written.ReferencedSeriesSequence[0].SeriesInstanceUID == uid_of(t1)
    places = [
        float(g.PlanePositionSequence[0].ImagePositionPatient[2]) for g in written.PerFrameFunctionalGroupsSequence
    ]
    np.testing.assert_array_equal(written.pixel_array[np.argsort(places)] > 0, values_of(flair) > values_of(t1))
    assert {name: one["series"] for name, one in row["channels"].items()} == {"T1": uid_of(t1), "FLAIR": uid_of(flair)}
    return dict(row)


SERIES = ((1, "localizer"), (3, "T1 mprage"), (5, "t2 FLAIR sag"), (8, "T1 mprage post"))


@pytest.mark.parametrize(
    "channels", [{"T1": "3", "FLAIR": "5"}, {"flair": "*flair*", "t1": "t1 mprage"}], ids=["numbers", "descriptions"]
)
def test_series_of_each_study(channels: dict[str, str], model: Path, tmp_path: Path) -> None:
    """A number is the SeriesNumber, never the place in a list: series 3 of five is not the third."""
    one = study_of(tmp_path / "in/a", SERIES)
    two = study_of(tmp_path / "in/b", SERIES[1:], seed=50)
    lacks = study_of(tmp_path / "in/c", SERIES[:2] + SERIES[3:], seed=90)
    twice = study_of(tmp_path / "in/d", SERIES, seed=130)
    uid = str(pydicom.dcmread(twice["localizer"] / "131-000.dcm").StudyInstanceUID)
    write_series(tmp_path / "in/d/again", seed=140, modality="MR", study=uid, number=5, description="FLAIR")
    made = batch(tmp_path / "in", model, tmp_path / "out", channels=channels, device="cpu")
    for study in (one, two):
        check_seg(made, study["T1 mprage"], study["t2 FLAIR sag"])
    errors = {Path(row["source"]).name: row["error"] for row in made.failed}
    assert "lacks FLAIR" in errors["c"] and "series 1 (MR), series 3 (MR), series 8 (MR)" in errors["c"]
    assert "2 images are FLAIR" in errors["d"] and len(errors) == 2
    assert len(made.aside) > 0
    del lacks


def test_channels_that_are_modalities_need_no_words(tmp_path: Path) -> None:
    model = brighter(tmp_path / "model", ("CT", "PET"))
    uid = str(generate_uid())
    ct = write_series(tmp_path / "in/a/ct", seed=1, study=uid, description="x")
    pet = write_series(tmp_path / "in/a/pt", seed=2, study=uid, modality="PT", number=2, description="y")
    lone = write_series(tmp_path / "in/b", seed=3)
    made = batch(tmp_path / "in", model, tmp_path / "out", format="json", device="cpu")
    (row,) = [row for row in made.rows if row["status"] == "done"]
    assert row["case"] == uid
    assert {name: one["series"] for name, one in row["channels"].items()} == {"CT": uid_of(ct), "PET": uid_of(pet)}
    assert row["result"]["labels"][0]["voxels"] == int((values_of(pet) > values_of(ct)).sum())
    assert "lacks PET" in made.failed[0]["error"] and len(made.failed) == 1
    write_series(tmp_path / "in/a/nac", seed=4, study=uid, modality="PT", number=3, description="not corrected")
    again = batch(tmp_path / "in", model, tmp_path / "out", format="json", device="cpu")
    assert sorted("2 images are PET" in row["error"] for row in again.failed) == [False, True]
    del lone


def test_series_without_words_are_not_guessed(model: Path, tmp_path: Path) -> None:
    study_of(tmp_path / "in/a", SERIES[1:3])
    made = batch(tmp_path / "in", model, tmp_path / "out", device="cpu")
    (row,) = made.failed
    assert "nothing says which series is which: say --channel T1=... --channel FLAIR=..." in row["error"]


def test_folders_of_series(model: Path, tmp_path: Path) -> None:
    """A folder a channel, where an anonymiser gave each series a study of its own; and where one has two of them."""
    t1 = write_series(tmp_path / "in/case1/t1/scan", seed=1, modality="MR")
    flair = write_series(tmp_path / "in/case1/flair", seed=2, modality="MR")
    for file in flair.iterdir():
        content = pydicom.dcmread(file)
        content.FrameOfReferenceUID = pydicom.dcmread(t1 / "000.dcm").FrameOfReferenceUID
        content.save_as(file)
    write_series(tmp_path / "in/case2/t1", seed=3, modality="MR")
    channels = {"T1": "t1/", "FLAIR": "flair/*.dcm"}
    made = batch(tmp_path / "in", model, tmp_path / "out", channels=channels, format="json", device="cpu")
    (row,) = [row for row in made.rows if row["status"] == "done"]
    assert row["case"].startswith("case1-")
    assert row["result"]["labels"][0]["voxels"] == int((values_of(flair) > values_of(t1)).sum())
    assert made.failed[0]["case"].startswith("case2-") and "lacks FLAIR (flair/*.dcm)" in made.failed[0]["error"]


def test_a_damaged_slice_of_any_channel_fails_the_case(model: Path, tmp_path: Path) -> None:
    study = study_of(tmp_path / "in/a", SERIES[1:3])
    cut = min(study["t2 FLAIR sag"].iterdir())
    cut.write_bytes(cut.read_bytes()[:600])
    made = batch(tmp_path / "in", model, tmp_path / "out", channels={"T1": "3", "FLAIR": "5"}, device="cpu")
    assert made.done == 0 and cut.name in made.failed[0]["error"]


def test_one_series_of_each_study_for_a_network_of_one_channel(tmp_path: Path) -> None:
    study = study_of(tmp_path / "in/a", SERIES)
    model = bright_model(tmp_path / "model")
    made = batch(tmp_path / "in", model, tmp_path / "out", channels={"0": "T1 mprage"}, format="json", device="cpu")
    (row,) = made.rows
    assert row["channels"]["0"]["series"] == uid_of(study["T1 mprage"]) and len(made.aside) == 3


# ---- remote


def test_channels_below_a_prefix(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_served(tmp_path) as store:
        for name, value in store.settings().items():
            monkeypatch.setenv(name, value)
        numbered = pair(tmp_path / "n_0000.nii.gz", tmp_path / "n_0001.nii.gz", 1)
        named = pair(tmp_path / "m-t1.nii.gz", tmp_path / "m-flair.nii.gz", 2)
        for file in ("n_0000.nii.gz", "n_0001.nii.gz"):
            store.put(f"set/imagesTs/{file}", (tmp_path / file).read_bytes())
        for file in ("m-t1.nii.gz", "m-flair.nii.gz"):
            store.put(f"set/m/{file}", (tmp_path / file).read_bytes())
        study = study_of(tmp_path / "a", SERIES)
        for folder in study.values():
            for file in folder.iterdir():
                store.put(f"dicom/a/{file.name}", file.read_bytes())
        write_series(tmp_path / "sr", modality="SR", slices=1)
        store.put("dicom/a/sr.dcm", (tmp_path / "sr/000.dcm").read_bytes())
        check(run("s3://archive/set/imagesTs", model, tmp_path / "o1"), {"n": numbered})
        channels = {"T1": "*-t1.nii.gz", "FLAIR": "*-flair.nii.gz"}
        check(run("s3://archive/set/", model, tmp_path / "o2", channels), {"m": named})
        series = {"T1": "3", "FLAIR": "*flair*"}
        made = batch("s3://archive/dicom", model, tmp_path / "o3", channels=series, device="cpu")
        check_seg(made, study["T1 mprage"], study["t2 FLAIR sag"])
        assert len(made.rows) == 1 and not (tmp_path / "o3" / ".fetched").exists()
        # an object that is written anew is another image
        write_volume(tmp_path / "m-t1.nii.gz", seed=9)
        store.put("set/m/m-t1.nii.gz", (tmp_path / "m-t1.nii.gz").read_bytes())
        assert run("s3://archive/set/", model, tmp_path / "o2", channels).before == 0


# ---- words


@pytest.mark.parametrize(
    ("channels", "said"),
    [
        ({"T1": "3"}, "nothing says which image is FLAIR"),
        ({"T1": "3", "FLAIR": "*.nii.gz"}, "some channels are told by files and some by series"),
        ({"T1": "*_t1.nii.gz", "FLAIR": "flair.nii.gz"}, "have not the same number"),
        ({"T1": "3", "FLAIR": "5"}, "told by series of DICOM"),
    ],
)
def test_words_that_do_not_go_together(channels: dict[str, str], said: str, model: Path, tmp_path: Path) -> None:
    write_volume(tmp_path / "in/x.nii.gz")
    with pytest.raises(InputError, match=said):
        run(tmp_path / "in", model, tmp_path / "out", channels)
    assert not (tmp_path / "out").exists()


def test_channels_of_other_networks_are_refused(model: Path, tmp_path: Path) -> None:
    write_volume(tmp_path / "in/x.nii.gz")
    with pytest.raises(ModelError, match="no channel 'PET'"):
        run(tmp_path / "in", model, tmp_path / "out", {"PET": "3", "T1": "4"})
    unnamed = brighter(tmp_path / "unnamed", ())
    assert channels_of(find_model(unnamed), {"1": "b.nii", "0": "a.nii"}).which == ("a.nii", "b.nii")


def test_outputs_within_the_input_are_no_cases(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    both = pair(folder / "a_0000.nii.gz", folder / "a_0001.nii.gz", 1)
    (folder / "._a_0000.nii.gz").write_bytes(b"of macOS")
    for _ in range(2):
        check(run(folder, model, folder / "results"), {"a": both})
    shutil.rmtree(folder / "results")
    assert len(find_cases(folder)) == 2
