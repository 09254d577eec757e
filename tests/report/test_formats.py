"""Numbers, hostile text, scripts and accessibility of the formats."""

from __future__ import annotations

import html as markup
import json
import re
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support import sr_files as sr
from support.report_words import squeezed, words_of

from gpukit.dicom.reader.discovery import Location
from gpukit.report.run import options_of, render
from gpukit.report.words.numbers import shown_number
from gpukit.report.words.safe_text import cell_width
from gpukit.report.words.units import shown_unit

DOSE = ("122130", "DCM", "Dose Area Product")
FORMATS = ["text", "markdown", "html", "pdf", "json"]


def shown(dataset: Any, format: str, folder: Path, **options: Any) -> bytes:
    """A made report in a format."""
    file = sr.save(dataset, folder / "sr.dcm")
    return render([Location(str(file))], options_of(format, **{"lang": "en", **options}))


@pytest.mark.parametrize("digits", ["1.07E-05", "0.0003152200", "54.20", "0", "-3.50", "+1.0", ".5", "100", "1e3"])
def test_no_digit_of_a_number_is_changed(digits: str) -> None:
    assert Decimal(shown_number(digits)) == Decimal(digits)
    assert shown_number(digits).lstrip("+-") == digits.lstrip("+-")
    german = shown_number(digits, "de")
    assert german.replace(",", ".") == shown_number(digits)
    assert shown_number("-0") == shown_number("0") == "0"
    assert shown_number("-0.00", "fr") == "0,00"


def test_units_are_written_as_people_do() -> None:
    from gpukit.dicom.modules.codes import Code

    cases = {
        "[hnsf'U]": "HU", "mm2": "mm²", "mm3": "mm³", "1": "", "Gy.m2": "Gy·m²", "mGy.cm": "mGy·cm",
        "{events}": "events",
        "mm[Hg]": "mmHg", "m/s": "m/s", "ug/ml": "µg/ml", "cm/s2": "cm/s²", "%": "%", "Gym2": "Gym²", "/min": "/min",
    }  # fmt: skip
    assert {code: shown_unit(Code(code, "UCUM", code)) for code in cases} == cases


@pytest.mark.parametrize("format", FORMATS)
def test_numbers_are_found_again_to_the_digit(format: str, tmp_path: Path) -> None:
    digits = ["1.07E-05", "0.0003152200", "54.20", "0", "12345678.9012345"]
    dataset = sr.report(
        *(sr.number((f"{n}", "99X", f"Quantity {n}"), value, "Gy.m2") for n, value in enumerate(digits))
    )
    content = shown(dataset, format, tmp_path, include_measurements=format == "json")
    if format == "json":
        assert [number["text"] for number in json.loads(content)["measurements"]] == digits
        return
    words = words_of(content, format, tmp_path)
    found = [Decimal(number) for number in re.findall(r"([\d.]+(?:[eE][-+]?\d+)?)[\s\u00a0]*Gy·m²", words)]
    # the first four stand in the table; a summary may repeat them
    assert set(found) >= {Decimal(value) for value in digits}
    for value in digits:
        assert value in words


def test_methods_keep_measurements_apart(tmp_path: Path) -> None:
    fraction = ("10230-1", "LN", "Left ventricular ejection fraction")
    method = ("370129005", "SCT", "Measurement Method")
    names = ["Teichholz", "Biplane", "Area Length"]
    dataset = sr.report(
        *(sr.number(fraction, f"{50 + n}", "%", children=[sr.coded(method, (f"{n}", "99X", name), "HAS CONCEPT MOD")])
          for n, name in enumerate(names))
    )  # fmt: skip
    text = shown(dataset, "text", tmp_path).decode()
    for n, name in enumerate(names):
        assert re.search(rf"ejection fraction\s+{50 + n} %\s+{name}", text)


def test_a_column_that_does_not_differ_stands_above(tmp_path: Path) -> None:
    site, side = ("363698007", "SCT", "Finding Site"), ("272741003", "SCT", "Laterality")
    dataset = sr.report(
        *(sr.number(("1", "99X", name), "5", "mm", children=[
            sr.coded(site, ("39607008", "SCT", "Lung"), "HAS CONCEPT MOD"),
            sr.coded(side, (f"{n}", "99X", hand), "HAS CONCEPT MOD")])
          for n, (name, hand) in enumerate([("Size A", "Left"), ("Size B", "Right")]))
    )  # fmt: skip
    text = shown(dataset, "text", tmp_path).decode()
    assert text.count("Lung") == 1
    assert re.search(r"Measurement\s+Value\s+Laterality", text)


HOSTILE = [
    "<script>alert(1)</script>", "#import \"@preview/x:1.0.0\": *", "{{7*7}}", "*b* _i_ `c`", "a | b | c", "[x](http://e.org)",
    "# no heading", "1. no list", "$x$ \\ & &amp; ~~s~~", "= typst #eval(\"1\") <label> @ref", "{% raw %}",
    "www.example.org",
    "---", "    four blanks", "- item\n+ item\n> quote",
]  # fmt: skip


@pytest.mark.parametrize("format", FORMATS)
def test_text_of_the_report_is_never_markup(format: str, tmp_path: Path) -> None:
    dataset = sr.report(
        *(sr.text((f"{n}", "99X", words.replace("\n", " ")), words) for n, words in enumerate(HOSTILE)),
        PatientName="<b>Evil</b>^{{1+1}}", StudyDescription="*#[x]$ <i>|",
    )  # fmt: skip
    content = shown(dataset, format, tmp_path)
    if format == "json":
        texts = json.dumps(json.loads(content), ensure_ascii=False)
        assert all(json.dumps(words, ensure_ascii=False) in texts for words in HOSTILE)
        return
    words = squeezed(words_of(content, format, tmp_path))
    for hostile in [*HOSTILE, "<b>Evil</b>, {{1+1}}", "*#[x]$ <i>|"]:
        assert squeezed(hostile) in words, hostile
    assert "49" not in words.replace("1.2.826.0.1.3680043", "")
    if format == "html":
        page = content.decode()
        assert "<script" not in page
        assert "<b>Evil" not in page
        assert "alert(1)" in page


def test_markdown_gives_the_text_back(tmp_path: Path) -> None:
    from markdown_it import MarkdownIt

    from gpukit.report.formats.markdown import escape

    reader = MarkdownIt("commonmark").enable("table")
    for words in HOSTILE:
        page = reader.render(escape(words))
        assert "<p>" in page
        assert not re.search(r"<(em|strong|code|h1|ul|ol|a|blockquote|hr|script)\b", page), words
        back = markup.unescape(re.sub(r"<[^>]+>", "", page.replace("<br />", ""))).rstrip("\n").replace("\n\n", "\n")
        # CommonMark drops blanks at the beginning of a line, which is why they are written as references
        assert back.removesuffix("\n") == words


def test_a_page_of_html_is_shown_as_its_words(tmp_path: Path) -> None:
    page = "<html><head><style>p{}</style><script>bad()</script></head><body><p>Heart &amp; lung<br>normal</p><img src='http://e.org/x'></body></html>"
    dataset = sr.report(sr.text(sr.FINDING, page))
    text = shown(dataset, "text", tmp_path).decode()
    assert "Heart & lung\nnormal" in text
    assert "bad()" not in text
    assert "<" not in text.split("Findings")[-1]
    raw = shown(dataset, "text", tmp_path, raw_html=True).decode()
    assert "<script>bad()</script>" in squeezed(raw)
    assert "http" not in shown(dataset, "html", tmp_path).decode().split("<main>")[1]


def test_overrides_of_direction_and_controls_are_shown(tmp_path: Path) -> None:
    dataset = sr.report(sr.text(sr.FINDING, "size \u202e21\u202c mm \x07 end"))
    for format in ("text", "html", "pdf"):
        words = words_of(shown(dataset, format, tmp_path), format, tmp_path)
        assert "[U+202E]" in words
        assert "\u202e" not in words


def test_text_keeps_to_80_columns(tmp_path: Path) -> None:
    words = "左肺上叶见一结节，大小约十二毫米，" * 12
    dataset = sr.report(
        sr.text(sr.FINDING, words), sr.text(sr.FINDING, "word " * 80),
        *(sr.number((f"{n}", "99X", "名" * 20 + f" {n}"), "1.5", "mm") for n in range(3)), PatientName="山田^太郎",
    )  # fmt: skip
    lines = shown(dataset, "text", tmp_path).decode().splitlines()
    assert max(map(cell_width, lines)) <= 80
    assert any(cell_width(line) in (79, 80) and len(line) <= 40 for line in lines)
    assert squeezed(words) in squeezed("".join(lines))


def test_many_rows_fold_and_one_file_holds_all(tmp_path: Path) -> None:
    dataset = sr.report(*(sr.number((f"{n}", "99X", f"Quantity {n}"), f"{n}", "mm") for n in range(60)))
    page = shown(dataset, "html", tmp_path).decode()
    assert page.count("<details>") == 1
    assert "60 rows" in page
    assert "::details-content{content-visibility:visible" in page
    assert "default-src 'none'" in page
    assert not re.search(r"(src|href)=\"(?!#|data:)", page)
    assert '<html lang="en">' in page
    assert '<th scope="row"' in page
    assert '<th scope="col"' in page
    few = shown(
        sr.report(*(sr.number((f"{n}", "99X", f"Q{n}"), "1", "mm") for n in range(50))), "html", tmp_path
    ).decode()
    assert "<details>" not in few


def test_the_same_report_gives_the_same_pdf(tmp_path: Path) -> None:
    dataset = sr.report(sr.text(sr.FINDING, "words"), sr.number(DOSE, "1.5", "Gy.m2"))
    assert shown(dataset, "pdf", tmp_path) == shown(dataset, "pdf", tmp_path)


def test_pdf_is_tagged_and_sound(tmp_path: Path) -> None:
    rows = [sr.number((f"{n}", "99X", f"Quantity {n}"), f"{n}.0", "mm") for n in range(80)]
    file = tmp_path / "a.pdf"
    file.write_bytes(shown(sr.report(sr.container(sr.FINDING, *rows)), "pdf", tmp_path))
    if shutil.which("pdfinfo") is None or shutil.which("qpdf") is None:
        pytest.skip("poppler and qpdf are not installed")
    about = subprocess.run(["pdfinfo", file], capture_output=True, text=True).stdout
    assert re.search(r"Tagged:\s+yes", about)
    assert "Diagnostic Imaging Report" in about
    assert subprocess.run(["qpdf", "--check", file], capture_output=True).returncode == 0
    text = subprocess.run(["pdftotext", file, "-"], capture_output=True, text=True).stdout
    pages = int(re.search(r"Pages:\s+(\d+)", about)[1])
    assert pages > 1
    for page in range(1, pages + 1):
        assert f"Page {page} of {pages}" in text
    assert text.count("Doe, Jane · P1") >= pages  # the patient is on every page


def test_header_cells_of_pdf_tables_have_a_scope(tmp_path: Path) -> None:
    pikepdf = pytest.importorskip("pikepdf", reason="pikepdf, which reads the tags, is not installed")
    file = tmp_path / "a.pdf"
    file.write_bytes(shown(sr.report(sr.number(DOSE, "1.5", "Gy.m2")), "pdf", tmp_path))
    scopes: list[str] = []

    def walk(node: Any) -> None:
        if isinstance(node, pikepdf.Array):
            for inner in node:
                walk(inner)
        elif isinstance(node, pikepdf.Dictionary):
            if str(node.get("/S", "")) == "/TH":
                own = node.get("/A")
                own = list(own) if isinstance(own, pikepdf.Array) else [own]
                scopes.append(
                    next(str(a["/Scope"]) for a in own if isinstance(a, pikepdf.Dictionary) and "/Scope" in a)
                )
            if "/K" in node:
                walk(node["/K"])

    with pikepdf.open(file) as pdf:
        assert str(pdf.Root.Lang) == "en"
        walk(pdf.Root.StructTreeRoot)
    assert scopes == ["/Column", "/Column"]


SCRIPTS = {
    "Greek": "Πνεύμονας", "Cyrillic": "Лёгкое", "Arabic": "عقدة في الرئة", "Hebrew": "קשרית בריאה", "Thai": "ปอดซ้าย",
    "Japanese": "左肺上葉に結節を認める", "Chinese": "左肺上叶见一结节", "Korean": "폐 결절",
}  # fmt: skip


def test_scripts_of_the_world_print_or_are_coded(tmp_path: Path) -> None:
    dataset = sr.report(*(sr.text((f"{n}", "99X", name), words) for n, (name, words) in enumerate(SCRIPTS.items())))
    words = squeezed(words_of(shown(dataset, "pdf", tmp_path), "pdf", tmp_path))
    from gpukit.report.formats.fonts import uncovered

    for name, text in SCRIPTS.items():
        missing = uncovered([text], ())
        if missing:  # no font for it on this machine
            assert all(f"[U+{ord(sign):04X}]" in words for sign in missing), name
        elif name not in ("Arabic", "Hebrew", "Thai"):  # pdftotext gives those in another order, or in parts
            assert squeezed(text) in words, name


def test_what_no_font_has_is_written_as_its_code(tmp_path: Path) -> None:
    dataset = sr.report(sr.text(sr.FINDING, "odd \U000f1234 and \ue123 signs"))
    with pytest.warns(UserWarning, match="no font has U\\+E123"):
        content = shown(dataset, "pdf", tmp_path)
    words = words_of(content, "pdf", tmp_path)
    assert "[U+F1234]" in words
    assert "[U+E123]" in words


def test_number_and_unit_stay_together_in_arabic(tmp_path: Path) -> None:
    """On the page the number stands left of its unit, although the text runs from right to left."""
    dataset = sr.report(sr.text(sr.FINDING, "عقدة بحجم 12.5 mm في الرئة"))
    page = shown(dataset, "html", tmp_path).decode()
    assert '<bdi dir="ltr" class="n">12.5\u00a0mm</bdi>' in page
    file = tmp_path / "a.pdf"
    file.write_bytes(shown(dataset, "pdf", tmp_path))
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext of poppler is not installed")
    boxes = subprocess.run(["pdftotext", "-bbox", file, "-"], capture_output=True, text=True).stdout
    words = re.findall(r'xMin="([\d.]+)" yMin="([\d.]+)" xMax="([\d.]+)" yMax="[\d.]+">([^<]*)<', boxes)
    numbers = [(float(x), float(right), float(y)) for x, y, right, word in words if word.startswith("12.5")]
    units = [(float(x), float(y)) for x, y, _, word in words if word == "mm"]
    assert numbers
    for left, right, y in numbers:
        near = [x for x, unit_y in units if abs(unit_y - y) < 1]
        assert not near or min(near) >= left
        assert not near or min(near) - right < 6, "the unit follows its number at once"


def test_names_print_all_their_groups(tmp_path: Path) -> None:
    dataset = sr.report(sr.text(sr.FINDING, "x"), PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう")
    for format in ("text", "html", "pdf"):
        words = squeezed(words_of(shown(dataset, format, tmp_path), format, tmp_path))
        assert all(part in words for part in ("Yamada,Tarou", "山田太郎", "やまだたろう"))


def test_banners_name_what_the_report_is(tmp_path: Path) -> None:
    dataset = sr.report(sr.text(sr.FINDING, "x"), CompletionFlag="PARTIAL", PreliminaryFlag="PRELIMINARY")
    for format in ("text", "markdown", "html", "pdf"):
        words = words_of(shown(dataset, format, tmp_path), format, tmp_path)
        assert all(word in words for word in ("PARTIAL", "UNVERIFIED", "PRELIMINARY"))
    final = sr.report(sr.text(sr.FINDING, "x"), VerificationFlag="VERIFIED")
    assert "VERIFIED" not in shown(final, "text", tmp_path).decode()


def test_text_json_and_markdown_need_no_further_package(tmp_path: Path) -> None:
    """In a process in which typst, Jinja2, Pillow and highdicom cannot be imported."""
    import sys

    file = sr.save(sr.report(sr.text(sr.FINDING, "words"), sr.number(DOSE, "1.50", "Gy.m2")), tmp_path / "sr.dcm")
    code = (
        "import sys\n"
        "for name in ('typst', 'jinja2', 'PIL', 'highdicom', 'babel'): sys.modules[name] = None\n"
        "import gpukit as gk\n"
        "for suffix in ('txt', 'md', 'json'): gk.report.write(sys.argv[1], sys.argv[1] + '.' + suffix)\n"
        "for suffix in ('pdf', 'html'):\n"
        "    try: gk.report.write(sys.argv[1], sys.argv[1] + '.' + suffix)\n"
        "    except gk.GpukitError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all("1.50" in (tmp_path / f"sr.dcm.{suffix}").read_text() for suffix in ("txt", "md"))
    assert "words" in (tmp_path / "sr.dcm.json").read_text()
    assert done.stdout.count("[report]") == 2
