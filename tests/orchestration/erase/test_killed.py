"""What killed builds and releases leave behind does not outlive an erasure."""

from pathlib import Path

from orchestration.erase.files import remove_killed
from pollux.runtime.settings import Settings


def test_what_killed_builds_and_releases_had_begun_is_removed(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    remove_killed(settings)
    builds = tmp_path / "builds" / "live"
    begun = [
        settings.releases_dir / "household" / ".r3" / "live" / "lines.arrow",
        builds / "household" / ".a1b2" / "files" / "lines.arrow",
    ]
    kept = [
        settings.releases_dir / "household" / "r2" / "live" / "lines.arrow",
        builds / "household" / "invocation" / "lines.arrow",
    ]
    for path in (*begun, *kept):
        path.parent.mkdir(parents=True)
        path.touch()
    (settings.releases_dir / "household" / "current").symlink_to("r2")
    remove_killed(settings)
    assert [path for path in (*begun, *kept) if path.exists()] == kept
    assert (settings.releases_dir / "household" / "current").exists()
