"""Rules about what people are told, and how each may be broken."""

from tests.mutants.table import Mutant

__all__ = ["WATCHING"]

_CASES = "tests/integration/watching/test_alert_cases.py"
_FOLLOWING = "relay/txbox/relay/following.py"
_FOLLOWED = "tests/integration/relay/test_following.py"
_GLANCE = "tests/integration/cli/test_glance.py"
_LATE = "consumer/txbox/consumer/metrics.py"
_LATE_TEST = "tests/unit/consumer/test_metrics.py"
_RULES = "deploy/prometheus/txbox.rules.yml"

WATCHING = (
    Mutant(
        "a standby goes on telling of the outbox",
        "relay/txbox/relay/relay.py",
        "                self._metrics.stand_by()\n",
        "",
        "tests/integration/relay/test_relay_health.py -k who_led_before",
    ),
    Mutant(
        "the lag stands still with the loop",
        _LATE,
        "        lag_seconds.labels(consumer).set_function(self._late)\n",
        "        lag_seconds.labels(consumer).set(self._late() if hasattr(self, '_behind_since') else 0)\n",
        _LATE_TEST,
    ),
    Mutant(
        "the first message after a quiet night is late",
        _LATE,
        "        if not behind:\n            self._behind_since = None\n        elif",
        "        if",
        _LATE_TEST,
    ),
    Mutant(
        "a held message makes those that come late",
        _LATE,
        " if handled.message.attempt == 1",
        "",
        _LATE_TEST,
    ),
    Mutant(
        "a failed check is scraped as passed",
        "daemon/txbox/daemon/health.py",
        "family.add_metric([name], float(check.ok))",
        "family.add_metric([name], 1.0)",
        "tests/unit/daemon/test_health.py",
    ),
    Mutant(
        "daemons do not serve their checks",
        "cli/txbox/cli/daemons.py",
        "    checks(daemon.health, daemon.registry)\n",
        "",
        "tests/integration/watching/test_scrape.py",
    ),
    Mutant(
        "an alert asks for a metric that there is not",
        _RULES,
        "max by (namespace, job) (txbox_outbox_held_messages) > 0",
        "max by (namespace, job) (txbox_outbox_held_rows) > 0",
        "tests/unit/test_alerts.py",
    ),
    Mutant(
        "nobody is told of a relay that is gone",
        _RULES,
        "group by (namespace, job) (last_over_time(txbox_relay_leader[1d]))",
        "group by (namespace, job) (txbox_relay_leader)",
        _CASES,
    ),
    Mutant(
        "nobody is told of a consumer that never handled a message",
        _RULES,
        "unless sum by (namespace, job, consumer) (increase(txbox_consumer_messages_total[5m])) > 0",
        "and sum by (namespace, job, consumer) (increase(txbox_consumer_messages_total[5m])) == 0",
        _CASES,
    ),
    Mutant(
        "a row in a gap is told as published",
        "relay/txbox/relay/following.sql",
        "r.seq <= c.tail AND NOT c.gaps @> r.seq",
        "r.seq <= c.tail",
        f"{_FOLLOWED} -k below",
    ),
    Mutant(
        "a row that appears late is not told",
        _FOLLOWING,
        "[*self._missing, *self._written]",
        "[*self._written]",
        f"{_FOLLOWED} -k below",
    ),
    Mutant(
        "rows that came too fast are not counted",
        _FOLLOWING,
        "            self.passed_over += self._between(self._above, first)\n",
        "",
        f"{_FOLLOWED} -k counted",
    ),
    Mutant(
        "the leader is counted as its own standby",
        "relay/txbox/relay/report.sql",
        "            AND a.pid IS DISTINCT FROM lead.pid\n",
        "",
        f"{_GLANCE} -k stands_by",
    ),
    Mutant(
        "the lag of a consumer is that of its first partition",
        "consumer/txbox/consumer/report.py",
        'lag=sum(record["lag"] for record in after[name])',
        'lag=sum(record["lag"] for record in after[name][:0])',
        f"{_GLANCE} -k who_runs",
    ),
)
