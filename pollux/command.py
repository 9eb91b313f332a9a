"""The `pollux` command: that of the checkout or the image which this package lies in.

The wheel is the gateway alone: what loads, builds and serves has folders such as `cli` and
`services`, names that nobody may take in the packages of others. There the command says so.
"""

import sys
from importlib import import_module
from pathlib import Path

# Not from the settings: the command sets up more before it imports them.
CHECKOUT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Runs the command; where it is not, ends with 1 and says where it is."""
    if not (CHECKOUT / "cli" / "main.py").is_file():
        from importlib.metadata import metadata  # noqa: PLC0415 - as long as the command's help

        links = dict(link.split(", ") for link in metadata("pollux").get_all("Project-URL", []))
        sys.exit(
            "✗ This is Pollux's Python gateway alone (from pollux import Cohort). The pollux "
            "command runs from a checkout or the image, which load, build and serve: see "
            f"{links['Deployment']}"
        )
    # By its name: nothing else here knows of the folders above.
    import_module("cli.main").main()
