"""Secrets in files: read for each connection and client, never shown, and told of when they cannot be read."""

from pathlib import Path

import pytest
from confluent_kafka import KafkaException

from txbox.daemon import Database, Kafka, RefusedSetting, UnfitUrl
from txbox.daemon.kafka import told


def test_a_url_in_a_file_is_read_each_time(tmp_path: Path):
    file = tmp_path / "url"
    database = Database(url="host=first", url_file=file)
    for host in ("second", "third"):
        file.write_text(f"host={host} password=hunter2\n")
        assert database.parameters()["host"] == host
    assert "hunter2" not in repr(Database(url=file.read_text()))


@pytest.mark.parametrize("content", [None, b"\xff", b"hunter2", b"postgresql://u:hunter2@x@h"])
def test_a_file_that_has_no_url_is_named_and_not_shown(tmp_path: Path, content: bytes | None):
    file = tmp_path / "url"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UnfitUrl, match=r"database\.url") as refused:
        Database(url="", url_file=file).parameters()
    assert "hunter2" not in str(refused.value)


def test_settings_in_files_are_read_each_time(tmp_path: Path):
    file = tmp_path / "password"
    kafka = Kafka(bootstrap_servers="b", client={"sasl.username": "u"}, files={"sasl.password": file})
    for password in ("first", "second"):
        file.write_text(password + "\n")
        assert kafka.settings() == {"sasl.username": "u", "sasl.password": password}
    file.unlink()
    with pytest.raises(KafkaException) as refused:
        kafka.settings()
    assert "sasl.password" in told(refused.value)
    assert str(file) in told(refused.value)


def test_a_setting_that_is_refused_is_so_from_a_file_too(tmp_path: Path):
    with pytest.raises(RefusedSetting, match=r"group\.id"):
        Kafka(bootstrap_servers="b", files={"group.id": tmp_path / "x"}).settings()
    assert "hunter2" not in repr(Kafka(bootstrap_servers="b", client={"sasl.password": "hunter2"}))
