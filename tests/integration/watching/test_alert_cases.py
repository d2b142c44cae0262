"""Each alert fires when it should and not when it should not, as Prometheus' own tool reckons."""

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


@pytest.mark.parametrize("change", [("> 600", "> 60000"), ("> 600", "> 6"), ("for: 20m", "for: 20s")])
def test_cases_notice_a_rule_that_is_wrong(tmp_path: Path, change: tuple[str, str]):
    """Else an empty or mistyped case would pass for ever."""
    rules = (FOLDER / "txbox.rules.yml").read_text()
    assert change[0] in rules
    (tmp_path / "txbox.rules.yml").write_text(rules.replace(*change))
    (tmp_path / "tests").symlink_to(FOLDER / "tests")
    cases = [tmp_path / "tests" / f"{alert}.yml" for alert in ("TxboxGapHeldOpen", "TxboxBacklogGrows")]
    assert promtool("test", "rules", *cases).returncode == 1
