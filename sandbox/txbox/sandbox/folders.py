"""Where the sandbox keeps things, and the unprivileged user that runs PostgreSQL in root's place."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

import platformdirs

from txbox.sandbox.errors import Unreachable
from txbox.sandbox.processes import Account


def cache_folder() -> Path:
    """What can be fetched or made again: jars, start-up caches, copies of programs. TXBOX_CACHE_DIR overrides it."""
    if chosen := os.environ.get("TXBOX_CACHE_DIR"):
        return Path(chosen).absolute()
    return platformdirs.site_cache_path("txbox") if is_root() else platformdirs.user_cache_path("txbox")


def default_folder() -> Path:
    """The sandbox that `txbox sandbox up` means when no folder is named."""
    # root's own folders are closed to the user that runs PostgreSQL in root's place
    return Path("/var/lib/txbox/sandbox") if is_root() else platformdirs.user_data_path("txbox") / "sandbox"


def is_root() -> bool:
    return os.geteuid() == 0


def postgres_account() -> Account | None:
    """Who runs PostgreSQL, which refuses to run as root; None for ourselves."""
    if not is_root():
        return None
    nobody = pwd.getpwnam("nobody")
    return Account(uid=nobody.pw_uid, gid=nobody.pw_gid)


def require_reachable(folder: Path) -> None:
    """Raise Unreachable unless any user may enter all the folders above `folder`."""
    for parent in reversed(folder.absolute().parents):
        if parent.exists() and not parent.stat().st_mode & 0o001:
            raise Unreachable(folder, parent)


def copy_once(sources: list[Path], target: Path) -> Path:
    """Copy folders into `target` unless it is there already; it appears whole or not at all."""
    if not target.exists():
        new = target.with_name(f".{target.name}.{os.getpid()}.new")
        shutil.rmtree(new, ignore_errors=True)
        for source in sources:
            shutil.copytree(source, new / source.name, symlinks=True)
        new.chmod(0o755)
        try:
            new.rename(target)
        except OSError:  # somebody else was faster; theirs is as good
            shutil.rmtree(new)
    return target
