"""Which Java it is, from what it says of itself."""

from __future__ import annotations

import pytest

from txbox.sandbox.java import major_version


@pytest.mark.parametrize(
    ("told", "major"),
    [
        ('openjdk version "25.0.2" 2026-01-20\nOpenJDK Runtime Environment', 25),
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "26-ea" 2026-03-17', 26),
        ('java version "1.8.0_401"', 8),
        ("zsh: command not found", 0),
    ],
)
def test_major_version_is_read_from_any_java(told: str, major: int):
    assert major_version(told) == major
