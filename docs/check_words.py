"""Count words that `docs/style.md` advises against, and fail where there are more than `docs/style_counts.json` allows.

``python docs/check_words.py`` checks, ``--lower`` writes the present counts (never higher ones), ``--list KIND`` prints
where the words of a kind stand.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COUNTS = Path(__file__).with_name("style_counts.json")
SOURCES = ("gpukit", "backends", "cli")

#: Past participles that say nothing as the name of a variable.
PARTICIPLES = frozenset(
    {
        "asked", "brought", "done", "found", "given", "handed", "held", "kept", "known", "left", "looked", "lost",
        "made", "meant", "said", "seen", "stated", "taken", "told", "tried", "wanted",
    }
)  # fmt: skip
#: Phrases of comments, docstrings, help and errors.
PHRASES = {
    "is no": re.compile(r"\b(?:is|are|was|were|be) no (?!longer|more|less)[a-z]", re.IGNORECASE),
    "told": re.compile(r"\btold\b", re.IGNORECASE),
    "whose": re.compile(r"\bwhose\b", re.IGNORECASE),
    "passed over": re.compile(r"\b(?:passed over|left aside)\b", re.IGNORECASE),
    "what": re.compile(r"(?:^|[.:;] )what (?:a|an|the|is|was|has|it|they|one|makes?|gives?|comes?)\b", re.IGNORECASE),
}

Place = tuple[Path, int, str]


def names(path: Path) -> Iterator[Place]:
    """Assignments to a past participle."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in PARTICIPLES:
            yield path, node.lineno, node.id
        elif isinstance(node, ast.arg) and node.arg in PARTICIPLES:
            yield path, node.lineno, node.arg


def phrases(path: Path, phrase: re.Pattern[str]) -> Iterator[Place]:
    """Strings and comments that hold a phrase."""
    with tokenize.open(path) as stream:
        for token in tokenize.generate_tokens(stream.readline):
            if token.type in (tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", -1)):
                text = " ".join(token.string.split())
                for match in phrase.finditer(text.strip("\"'#rf ")):
                    yield path, token.start[0], match.group()


def places() -> dict[str, list[Place]]:
    """Every offender by kind."""
    files = [path for folder in SOURCES for path in sorted((ROOT / folder).rglob("*.py"))]
    result = {"participle as name": [place for path in files for place in names(path)]}
    for kind, phrase in PHRASES.items():
        result[kind] = [place for path in files for place in phrases(path, phrase)]
    return result


def main(words: list[str]) -> int:
    """Compare with the counts on record."""
    offenders = places()
    if words[:1] == ["--list"]:
        for path, line, word in offenders[words[1]]:
            sys.stdout.write(f"{path.relative_to(ROOT)}:{line}: {word}\n")
        return 0
    allowed: dict[str, int] = json.loads(COUNTS.read_text()) if COUNTS.exists() else {}
    present = {kind: len(places) for kind, places in offenders.items()}
    more = {kind: count for kind, count in present.items() if count > allowed.get(kind, count)}
    for kind, count in more.items():
        sys.stderr.write(f"{kind!r} stands {count} times, {allowed[kind]} are allowed: see docs/style.md\n")
    if words[:1] == ["--lower"]:
        lower = {kind: min(count, allowed.get(kind, count)) for kind, count in present.items()}
        COUNTS.write_text(json.dumps(lower, indent=2) + "\n")
    sys.stdout.write(", ".join(f"{kind}: {count}" for kind, count in present.items()) + "\n")
    return 1 if more else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
