"""Each alert fires when it should and not when it should not, as Prometheus' own tool reckons."""

import re
from pathlib import Path

import pytest

from tests.integration.watching.prometheus import DEPLOY, promtool

FOLDER = DEPLOY / "prometheus"


def test_rules_are_well_formed():
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", FOLDER / "txbox.rules.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_case_of_every_alert():
    cases = sorted((FOLDER / "tests").glob("*.yml"))
    done = promtool("test", "rules", *cases)
    assert (len(cases) > 0, done.returncode) == (True, 0), done.stdout + done.stderr


def test_every_case_in_prometheus_3(tmp_path: Path):
    """There a range leaves out its beginning: of samples a minute apart, `[5m]` has five, where it had six before."""
    shortened = re.sub(r"\[([0-9dhms]+)\]", _a_second_less, (FOLDER / "txbox.rules.yml").read_text())
    cases = _beside(tmp_path, shortened)
    done = promtool("test", "rules", *cases)
    assert (len(cases) > 0, done.returncode) == (True, 0), done.stdout + done.stderr


def _a_second_less(duration: re.Match[str]) -> str:
    units = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
    return f"[{sum(int(n) * units[unit] for n, unit in re.findall(r'([0-9]+)([dhms])', duration[1])) - 1}s]"


def _beside(folder: Path, rules: str) -> list[Path]:
    """The cases, beside other rules."""
    (folder / "txbox.rules.yml").write_text(rules)
    (folder / "tests").symlink_to(FOLDER / "tests")
    return sorted((folder / "tests").glob("*.yml"))


@pytest.mark.parametrize("change", [("> 600", "> 60000"), ("> 600", "> 6"), ("for: 20m", "for: 20s")])
def test_cases_notice_a_rule_that_is_wrong(tmp_path: Path, change: tuple[str, str]):
    """Else an empty or mistyped case would pass for ever."""
    rules = (FOLDER / "txbox.rules.yml").read_text()
    assert change[0] in rules
    cases = _beside(tmp_path, rules.replace(*change))
    wrong = [case for case in cases if case.stem in ("TxboxGapHeldOpen", "TxboxBacklogGrows")]
    assert promtool("test", "rules", *wrong).returncode == 1
