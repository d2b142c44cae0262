"""Pages and files that are made from the code: written anew, or with `--check` compared with what is there."""

import sys
from pathlib import Path

__all__ = ["keep"]

ROOT = Path(__file__).parent.parent


def keep(file: Path, text: str, module: str) -> int:
    """Write `text`; with --check, return 1 if it is not what the file has. `module` is what makes it."""
    name = file.relative_to(ROOT)
    if "--check" not in sys.argv:
        file.write_text(text, "utf-8")
        return 0
    if file.exists() and file.read_text("utf-8") == text:
        print(f"{name} is as it should be")
        return 0
    print(f"{name} has drifted from the code: run python -m {module}", file=sys.stderr)
    return 1
