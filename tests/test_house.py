"""What holds the house together and no tool looks at."""

import importlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("schema", "outbox", "daemon", "relay", "consumer", "sandbox", "demo", "doctor", "cli")


@pytest.mark.parametrize("room", ROOMS)
def test_no_stray_init_hides_the_other_parts_of_the_namespace(room: str):
    strays = [path for path in (ROOT / room / "__init__.py", ROOT / room / "txbox" / "__init__.py") if path.exists()]
    assert not strays


@pytest.mark.parametrize("room", ROOMS)
def test_a_door_names_what_it_opens(room: str):
    module = importlib.import_module(f"txbox.{room}")
    names = getattr(module, "__all__", [])
    assert len(set(names)) == len(names)
    assert [name for name in names if not hasattr(module, name)] == []
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith(f"txbox.{room}.")
    }
    assert public <= set(names), "imported by the door, but not in __all__"


def test_no_file_is_longer_than_a_reader_can_hold():
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py", "*.sql"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    lengths = {name: len((ROOT / name).read_text().splitlines()) for name in tracked.stdout.split()}
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}


def test_no_address_of_a_registry_is_in_a_lock_file():
    assert "://" not in (ROOT / "requirements.txt").read_text()
    assert "://" not in (ROOT / "sandbox/txbox/sandbox/kafka.lock").read_text()


def test_the_wheel_carries_what_the_code_reads(tmp_path: Path):
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    carried = set(zipfile.ZipFile(wheel).namelist())
    read = {
        str(path.relative_to(ROOT / room))
        for room in ROOMS
        for pattern in ("*.sql", "py.typed", "*.lock", "*.py")
        for path in (ROOT / room / "txbox").rglob(pattern)
    }
    assert read - carried == set()
    assert {f"txbox/{room}/py.typed" for room in ROOMS} <= carried
    assert not any(name in carried for name in ("txbox/__init__.py", "relay/__init__.py"))


def test_a_publishing_service_imports_no_kafka_client():
    code = "import sys, txbox.outbox; sys.exit('confluent_kafka' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
