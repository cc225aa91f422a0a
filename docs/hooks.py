"""Pages of the site whose text lies elsewhere in the repository, where their readers look for it first."""

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import Any

from mkdocs.structure.files import File

PAGES = {
    "networks.md": "src/keyposs/weights/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages."""
    for page, source in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(Path(config.config_file_path).parent / source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turns links between files of the repository into links between pages, and leaves bars in code as they are."""
    source = PurePosixPath(PAGES.get(page.file.src_uri, f"docs/{page.file.src_uri}"))
    pages = {file: name for name, file in PAGES.items()}

    def link(found: re.Match[str]) -> str:
        file = normpath(source.parent / found[1])
        to = pages.get(file, file.removeprefix("docs/"))
        return f"]({relpath(to, PurePosixPath(page.file.src_uri).parent)}{found[2]}"

    markdown = re.sub(r"\]\(((?!\w+:)[^)#]+)([^)]*\))", link, markdown)
    return re.sub(r"`[^`\n]+`", lambda code: code[0].replace(r"\|", "|"), markdown)
