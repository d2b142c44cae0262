"""Draws the passwords of docker-compose.yml, once. They are in one volume, and nowhere else."""

import os
import secrets
from pathlib import Path

FOLDER = Path("/run/passwords")
#: who may read what: the postgres image's user, and ours
POSTGRES, TXBOX = 999, 10001
USERS = ("postgres", "shop", "shop_orders", "shop_relay", "shop_billing")


def write(name: str, text: str, reader: int) -> None:
    """Make a file that one user can read; it appears whole or not at all."""
    new = FOLDER / f".{name}"
    new.unlink(missing_ok=True)
    new.touch(0o400)
    new.chmod(0o600)
    new.write_text(text)
    os.chown(new, reader, reader)
    new.chmod(0o400)
    new.rename(FOLDER / name)


if not (FOLDER / "pgpass").exists():
    passwords = {user: secrets.token_urlsafe(24) for user in USERS}
    for user, password in passwords.items():
        write(user, password, POSTGRES)
    write("pgpass", "".join(f"*:*:*:{user}:{password}\n" for user, password in passwords.items()), TXBOX)
