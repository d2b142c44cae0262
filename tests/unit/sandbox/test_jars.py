"""The lock file: what it says of a jar, and that it says enough."""

from __future__ import annotations

import re

from txbox.sandbox.jars import KAFKA_VERSION, ROOTS, Jar, locked_jars, parse_lock

SHA = "ab" * 32


def test_a_line_names_a_jar_and_its_hash():
    assert Jar.from_line(f"org.example:tool_2.13:1.0.1 {SHA}") == Jar(
        group="org.example", artifact="tool_2.13", version="1.0.1", sha256=SHA
    )


def test_comments_and_empty_lines_are_no_jars():
    assert [str(jar) for jar in parse_lock(f"# why\n\na:b:1 {SHA}\n")] == ["a:b:1"]


def test_the_lock_holds_the_roots_and_a_whole_hash_a_jar():
    jars = locked_jars()
    assert {str(jar) for jar in jars} >= set(ROOTS)
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) for jar in jars)


def test_no_two_jars_have_one_file_name():
    jars = locked_jars()
    assert len({jar.file_name for jar in jars}) == len(jars)


def test_all_parts_of_kafka_have_one_version():
    assert {jar.version for jar in locked_jars() if jar.group == "org.apache.kafka"} == {KAFKA_VERSION}
