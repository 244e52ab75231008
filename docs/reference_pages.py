"""A hook of mkdocs: one page for each public module of penchant, so that none can be forgotten or stale.

A builder without hooks can have the same pages as files: for each pair of `pages()`, write one.
"""

from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

SOURCE = Path(__file__).parents[1] / "src"


def pages() -> Iterator[tuple[str, str]]:
    """Path below docs/ and text of each page. A package's page stands first in its folder."""
    for file in sorted((SOURCE / "penchant").rglob("*.py")):
        *folders, stem = file.relative_to(SOURCE).with_suffix("").parts
        if stem.startswith("_") and stem != "__init__":
            continue
        module = ".".join(folders if stem == "__init__" else [*folders, stem])
        page = "/".join(["reference", *folders[1:], "index.md" if stem == "__init__" else f"{stem}.md"])
        yield page, f"---\ntitle: {module}\n---\n\n::: {module}\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages to what mkdocs found in docs/."""
    for path, text in pages():
        files.append(File.generated(config, path, content=text))
    return files
