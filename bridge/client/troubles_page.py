"""The table of troubles on its page, docs/doctor.md, made from the one in the code.

python -m bridge.client.troubles_page [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from bridge.client.troubles import TROUBLES

__all__ = ["main", "table"]


def table() -> str:
    """Return the table of them, as Markdown."""
    lines = ["| trouble | what is wrong | why it matters |", "|---|---|---|"]
    for place, title in (
        ("bus", "seen on the bus, from anywhere"),
        ("host", "seen on the host of a bridge, with `--host`"),
    ):
        lines.append(f"| **{title}** | | |")
        lines += [f"| `{name}` | {one.what} | {one.why} |" for name, one in TROUBLES.items() if one.where == place]
    return "\n".join(lines)


BEGIN: Final = "<!-- made by python -m bridge.client.troubles_page -->\n"
END: Final = "\n<!-- end -->"


def main(arguments: list[str]) -> int:
    """Write the table to its page, or with `--check` see that it is there; return the exit status."""
    page = Path(__file__).parents[2] / "docs" / "doctor.md"
    text = page.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = f"{before}{BEGIN}{table()}{END}{after}"
    if wanted == text:
        return 0
    if "--check" in arguments:
        sys.stderr.write(f"{page}: the table of troubles is of old: run python -m bridge.client.troubles_page\n")
        return 1
    page.write_text(wanted, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
