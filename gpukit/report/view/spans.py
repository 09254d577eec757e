"""Values as spans: pieces of text with what a format must know of them (number, language, direction, link)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from gpukit.dicom.modules.codes import Code
from gpukit.report.document.images import class_words
from gpukit.report.document.model import Document, Field, ImageEntry, Region, Value
from gpukit.report.words.catalogue import Catalogue
from gpukit.report.words.dates import shown_date, shown_datetime, shown_time
from gpukit.report.words.names import shown_name
from gpukit.report.words.numbers import shown_number
from gpukit.report.words.safe_text import direction_of, is_html, safe, text_of_html
from gpukit.report.words.units import shown_unit

__all__ = ["Span", "Spans", "anchor", "plain"]

#: ``t`` text; ``k`` kind (num, empty, problem, link); ``lang``; ``dir``; ``href`` without its ``#``.
Span = dict[str, str]
#: Between a number and its unit.
_BLANK = "\u00a0"

_SHAPES = {
    "POINT": "point", "MULTIPOINT": "points", "POLYLINE": "line", "POLYGON": "polygon", "CIRCLE": "circle",
    "ELLIPSE": "ellipse", "ELLIPSOID": "ellipsoid",
}  # fmt: skip


#: Language of Han characters by the character set that writes them: their shapes differ.
_SCRIPTS = {("GB18030", "GBK", "IR 58"): "zh", ("IR 87", "IR 159", "IR 13"): "ja", ("IR 149",): "ko"}
_HAN = re.compile("[\u3000-\u30ff\u3400-\u9fff\uac00-\ud7af\uff00-\uffef]")
#: A number with what belongs to it: sign, times, unit.
_QUANTITY = re.compile(
    r"[+\-±≤≥<>~]?\d[\d.,:/×x*+\-]*(?:[^\S\n]?(?:[A-Za-zµμΩ°%‰][A-Za-zµμΩ°²³⁻¹/·.\d^]*))?"
    r"(?:[^\S\n]?[×x*][^\S\n]?\d[\d.,]*(?:[^\S\n]?[A-Za-zµμΩ°%][A-Za-zµμ²³/·.]*)?)*"
)


def anchor(path: str) -> str:
    """Identifier of the place of a content item."""
    return "s" + path.replace(".", "-").replace(":", "_")


def plain(spans: Iterable[Span]) -> str:
    """Their text."""
    return "".join(span["t"] for span in spans)


class Spans:
    """Makes spans for one document in one language.

    Parameters
    ----------
    document : Document
    words : Catalogue
    raw_html : bool
        Show HTML in a TEXT item as its source.
    """

    def __init__(self, document: Document, words: Catalogue, *, raw_html: bool = False) -> None:
        self.words = words
        self.language = document.language
        self._raw_html = raw_html
        self._images = {entry.id: (n, entry) for n, entry in enumerate(document.images, 1)}
        self._regions = {region.id: region for region in document.regions}
        self.sections: set[str] = set()
        sets = document.header.get("SpecificCharacterSet", "").upper()
        self._script = next((language for words, language in _SCRIPTS.items() if any(w in sets for w in words)), "")
        self._codes: dict[tuple[Code, str], Span] = {}

    def text(self, text: str, language: str = "") -> Span:
        """Words of the report."""
        if is_html(text) and not self._raw_html:
            text = text_of_html(text)
        span: Span = {"t": safe(text)}
        self._mark(span, language)
        return span

    def texts(self, text: str, language: str = "") -> list[Span]:
        """As `text`; in text from right to left a number with its unit is a span of its own, in one piece."""
        whole = self.text(text, language)
        if whole.get("dir") != "rtl":
            return [whole]
        spans: list[Span] = []
        last = 0
        for match in _QUANTITY.finditer(whole["t"]):
            spans += [
                {**whole, "t": whole["t"][last : match.start()]},
                {"t": match[0].replace(" ", _BLANK), "k": "num"},
            ]
            last = match.end()
        spans.append({**whole, "t": whole["t"][last:]})
        return [span for span in spans if span["t"]]

    def _mark(self, span: Span, language: str) -> None:
        own = language.partition("-")[0].lower()
        if own and own != self.words.language:
            span["lang"] = language
        if not span["t"].isascii():
            if direction_of(span["t"]) == "rtl":
                span["dir"] = "rtl"
            if "lang" not in span and self._script and _HAN.search(span["t"]):
                span["lang"] = self._script

    def message(self, text: str, **arguments: object) -> Span:
        """Words of ours."""
        return {"t": self.words.message(text, **arguments)}

    def code(self, code: Code | None, language: str = "") -> Span:
        """Words of a code."""
        if code is None:
            return {"t": ""}
        language = language or self.language
        span = self._codes.get((code, language))
        if span is None:
            text, foreign = self.words.code(code, language)
            span = {"t": safe(text)}
            self._mark(span, foreign)
            self._codes[code, language] = span
        return span

    def codes(self, codes: Iterable[Code], language: str = "") -> list[Span]:
        """Words of several codes."""
        spans: list[Span] = []
        for code in codes:
            spans += [*([{"t": "; "}] if spans else []), self.code(code, language)]
        return spans

    def name(self, field: Field) -> list[Span]:
        """Name of a field."""
        if field.name is not None:
            return [self.code(field.name)]
        return [self.message(field.label)] if field.label else []

    def number(self, value: Value) -> list[Span]:
        """A number with its unit, or the words in place of one."""
        unit = safe(shown_unit(value.unit))
        if not value.text:
            if value.qualifier is not None and (value.qualifier.meaning or value.qualifier.value):
                return [{**self.code(value.qualifier, value.language), "k": "empty"}]
            return [{**self.message("no value"), "k": "empty"}]
        shown = safe(shown_number(value.text, self.words.language))
        tie = "" if not unit or unit in ("°",) else _BLANK
        spans: list[Span] = [{"t": f"{shown}{tie}{unit}" if unit else shown, "k": "num"}]
        if value.qualifier is not None and (value.qualifier.meaning or value.qualifier.value):
            spans += [{"t": " ("}, self.code(value.qualifier, value.language), {"t": ")"}]
        return spans

    def value(self, value: Value) -> list[Span]:
        """One value of any kind."""
        kind = value.kind
        if kind == "number":
            return self.number(value)
        if kind == "code":
            return [self.code(value.code, value.language)] if value.code else []
        if kind == "text":
            return self.texts(value.text, value.language)
        if kind == "person":
            return [self.text(shown_name(value.text))]
        if kind == "date":
            return [{"t": safe(shown_date(value.text)), "k": "num"}]
        if kind == "time":
            return [{"t": safe(shown_time(value.text)), "k": "num"}]
        if kind == "datetime":
            return [{"t": safe(shown_datetime(value.text)), "k": "num"}]
        if kind == "uid":
            return [{"t": safe(value.text), "k": "uid"}]
        if kind == "image":
            return self.image(value.text)
        if kind == "region":
            return self.region(value.text)
        if kind == "link":
            span = {"t": f"{self.words.message('item')}{_BLANK}{value.text}", "k": "link"}
            if value.text in self.sections:
                span["href"] = anchor(value.text)
            return [span]
        if kind == "problem":
            return [{"t": safe(self.words.message("This item is damaged: {what}.", what=value.text)), "k": "problem"}]
        if kind == "empty":
            return [{**self.message("no value"), "k": "empty"}]
        return [{"t": safe(value.text)}]

    def values(self, values: Sequence[Value]) -> list[Span]:
        """Several values, separated."""
        spans: list[Span] = []
        for value in values:
            if spans:
                spans.append({"t": "; "})
            spans += self.value(value)
        return spans

    def inline(self, field: Field) -> list[Span]:
        """The values of a field with its modifiers in brackets, in one line."""
        spans = self.values(field.values)
        if field.fields:
            inner: list[Span] = []
            for sub in field.fields:
                if inner:
                    inner.append({"t": "; "})
                inner += [*self.name(sub), {"t": ": "}, *self.inline(sub)]
            spans += [{"t": " ("}, *inner, {"t": ")"}] if spans else inner
        return spans

    def image(self, name: str) -> list[Span]:
        """``Image 2 (MR), frame 5``, with a link to the list of images."""
        number, entry = self._images[name]
        return [{"t": self.image_words(number, entry), "k": "link", "href": f"image-{number}"}]

    def image_words(self, number: int, entry: ImageEntry) -> str:
        """What an image is called in the text."""
        message = self.words.message
        kind = {"IMAGE": "Image", "WAVEFORM": "Waveform"}.get(entry.value_type, "Object")
        words = f"{message(kind)}{_BLANK}{number}"
        modality = class_words(entry.reference.sop_class_uid)
        if modality:
            words += f" ({message(modality)})"
        for label, numbers in (("frame", entry.reference.frames), ("segment", entry.reference.segments)):
            if numbers:
                words += f", {message(label)}{_BLANK}{', '.join(map(str, numbers))}"
        return words

    def region(self, name: str) -> list[Span]:
        """``ellipse on Image 2 (MR)``."""
        region: Region = self._regions[name]
        shape = self.words.message(_SHAPES.get(region.coordinates.type, region.coordinates.type or "region"))
        if region.image:
            return [{"t": f"{safe(shape)} – "}, *self.image(region.image)]
        return [{"t": f"{safe(shape)} – {self.words.message('in the patient')}"}]
