"""Writes the OpenAPI documents of all services into a folder, and names what breaks for clients.

python -m services.openapi FOLDER [--check]
"""

import argparse
import json
import sys
from pathlib import Path

from services.openapi.changes import breaking_changes
from services.openapi.documents import documents


def main() -> int:
    """Writes the files; with --check only says how they differ from the code."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    is_same = True
    for name, document in documents().items():
        path = asked.folder / f"{name}.json"
        text = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
        kept = path.read_text() if path.exists() else None
        if kept == text:
            continue
        is_same = False
        for change in breaking_changes(json.loads(kept), json.loads(text)) if kept else ():
            print(f"{name}: breaks clients: {change}")  # noqa: T201
        if asked.check:
            print(f"{path} is not what the code says: make openapi", file=sys.stderr)  # noqa: T201
        else:
            path.write_text(text)
    return 1 if asked.check and not is_same else 0


if __name__ == "__main__":
    sys.exit(main())
