"""Writes the contracts of the released marts into the file that ships with the services.

    python -m orchestration.transform.contracts MANIFEST FILE [--check]

`pollux.contracts` defines a contract; `graph` reads it from the manifest.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from orchestration.transform.graph import domains, served_tables
from orchestration.transform.marts import MartError, check_marts
from orchestration.transform.personal import PersonalError, check_personal
from pollux.contracts import Contract
from pollux.runtime.settings import PROJECT_DIR


def contracts_text(manifest: Mapping[str, Any]) -> str:
    """All contracts as JSON, by domain and name, one column per line so that diffs are readable."""
    marts = [
        _mart_text(table)
        for domain in domains(manifest)
        for table in served_tables(manifest, domain)
    ]
    return "[\n" + ",\n".join(marts) + "\n]\n"


def _mart_text(mart: Contract) -> str:
    parts = {field.name: getattr(mart, field.name) for field in fields(Contract)}
    columns = parts.pop("columns")
    lines = [f'"{name}": {_json(value)}' for name, value in parts.items()]
    listed = ",\n  ".join(_json(asdict(column)) for column in columns)
    return "{" + ",\n ".join(lines) + f',\n "columns": [\n  {listed}\n ]}}'


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def main() -> int:
    """Writes the file; with --check only checks that it agrees with the manifest."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    manifest = json.loads(asked.manifest.read_bytes())
    try:
        check_marts(manifest, PROJECT_DIR)
        check_personal(manifest)
    except (MartError, PersonalError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    text = contracts_text(manifest)
    if not asked.check:
        asked.file.write_text(text)
    elif not asked.file.exists() or asked.file.read_text() != text:
        print(f"{asked.file} is not what the models' YAML says: make contracts", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
