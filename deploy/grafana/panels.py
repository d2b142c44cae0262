"""What the dashboard shows: groups of panels, and the queries of each."""

from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["ALL", "ROWS", "Panel"]

#: What the variables on top of the dashboard choose
_RELAY: Final = 'namespace=~"$namespace", job=~"$relay"'
_CONSUMER: Final = 'namespace=~"$namespace", consumer=~"$consumer"'
ALL: Final = 'namespace=~"$namespace"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel: queries by their legends."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    #: (from which value on, color), the first one from below all values
    steps: tuple[tuple[float | None, str], ...] = ((None, "text"),)
    #: what a value is shown as
    words: dict[int, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    stacked: bool = False


_GOOD_IF_NONE: Final = ((None, "green"), (1, "red"))


def _rate(metric: str, selector: str, *by: str) -> str:
    return f"sum by ({', '.join(by)}) (rate({metric}{{{selector}}}[$__rate_interval]))"


def _quantile(q: float, metric: str, selector: str, *by: str) -> str:
    return f"histogram_quantile({q}, {_rate(f'{metric}_bucket', selector, *by, 'le')})"


def _stat(title: str, query: str, unit: str = "short", **more: Any) -> Panel:
    return Panel(title=title, queries={"": query}, unit=unit, kind="stat", width=3, height=4, **more)


#: What to see first: numbers that are green when all is well.
_GLANCE: Final = (
    _stat(
        "Leaders",
        f"sum(txbox_relay_leader{{{_RELAY}}})",
        steps=((None, "red"), (1, "green")),
    ),
    _stat(
        "Standbys",
        f"count(txbox_relay_leader{{{_RELAY}}} == 0) or vector(0)",
        steps=((None, "orange"), (1, "green")),
    ),
    _stat(
        "Oldest row that waits",
        f"max(txbox_outbox_oldest_pending_age_seconds{{{_RELAY}}})",
        "s",
        steps=((None, "green"), (10, "orange"), (60, "red")),
    ),
    _stat("Held by the relay", f"max(txbox_outbox_held_messages{{{_RELAY}}})", steps=_GOOD_IF_NONE),
    _stat(
        "Consumers late by",
        f"max(txbox_consumer_lag_seconds{{{_CONSUMER}}})",
        "s",
        steps=((None, "green"), (30, "orange"), (120, "red")),
    ),
    _stat(
        "Messages behind",
        f"sum(txbox_consumer_lag_messages{{{_CONSUMER}}})",
    ),
    _stat(
        "Dead messages",
        f'sum(max by (consumer) (txbox_consumer_held_messages{{{_CONSUMER}, state="dead"}}))',
        steps=_GOOD_IF_NONE,
    ),
    _stat(
        "Checks that fail",
        f"count(txbox_check_ok{{{ALL}}} == 0) or vector(0)",
        steps=_GOOD_IF_NONE,
    ),
)

_RELAYS: Final = (
    Panel(
        title="Published, by topic",
        queries={"{{topic}}": _rate("txbox_relay_published_total", _RELAY, "topic")},
        unit="mps",
        stacked=True,
    ),
    Panel(
        title="From written to acked",
        queries={
            "p50": _quantile(0.5, "txbox_relay_delivery_latency_seconds", _RELAY),
            "p99": _quantile(0.99, "txbox_relay_delivery_latency_seconds", _RELAY),
        },
        unit="s",
    ),
    Panel(
        title="Who leads",
        queries={"{{instance}}": f"txbox_relay_leader{{{_RELAY}}}"},
        kind="state-timeline",
        words={1: "leads", 0: "stands by"},
        steps=((None, "text"), (1, "green")),
        options={"showValue": "never", "mergeValues": True, "rowHeight": 0.8},
    ),
    Panel(title="Rows that wait", queries={"waiting": f"max by (job) (txbox_outbox_pending_messages{{{_RELAY}}})"}),
    Panel(
        title="How long the oldest has waited",
        queries={
            "row above the cursor": f"max by (job) (txbox_outbox_oldest_pending_age_seconds{{{_RELAY}}})",
            "since the last ack": f"time() - max by (job) (txbox_relay_last_success_timestamp_seconds{{{_RELAY}}} > 0)",
        },
        unit="s",
    ),
    Panel(
        title="Gaps: transactions that are still open",
        queries={
            "gaps": f"max by (job) (txbox_relay_gaps{{{_RELAY}}})",
            "age of the oldest, s": f"max by (job) (txbox_relay_oldest_gap_age_seconds{{{_RELAY}}})",
        },
    ),
    Panel(
        title="One read of the outbox",
        queries={
            "p50": _quantile(0.5, "txbox_relay_read_seconds", _RELAY),
            "p99": _quantile(0.99, "txbox_relay_read_seconds", _RELAY),
        },
        unit="s",
    ),
    Panel(
        title="Rows a read, and in flight",
        queries={
            "rows a read, p50": _quantile(0.5, "txbox_relay_batch_messages", _RELAY),
            "in flight": f"max by (job) (txbox_relay_in_flight_messages{{{_RELAY}}})",
        },
    ),
    Panel(
        title="What goes wrong",
        queries={
            "{{topic}} {{code}}": f"sum by (topic, code) (increase(txbox_relay_failures_total{{{_RELAY}}}[5m]))",
            "reconnects: {{server}}": f"sum by (server) (increase(txbox_relay_reconnects_total{{{_RELAY}}}[5m]))",
            "late rows": f"sum(increase(txbox_relay_late_rows_total{{{_RELAY}}}[5m]))",
        },
    ),
    Panel(
        title="Held by the relay",
        queries={"held": f"max by (job) (txbox_outbox_held_messages{{{_RELAY}}})"},
    ),
    Panel(title="Pruned", queries={"rows": _rate("txbox_relay_pruned_total", _RELAY, "job")}, unit="rowsps"),
    Panel(
        title="How often the lead was taken",
        queries={"{{job}}": f"max by (job) (txbox_relay_epoch{{{_RELAY}}})"},
    ),
)

_CONSUMERS: Final = (
    Panel(
        title="Messages, by what became of them",
        queries={"{{consumer}} {{outcome}}": _rate("txbox_consumer_messages_total", _CONSUMER, "consumer", "outcome")},
        unit="mps",
        stacked=True,
    ),
    Panel(
        title="From written to handled",
        queries={
            "{{consumer}} p50": _quantile(0.5, "txbox_consumer_end_to_end_latency_seconds", _CONSUMER, "consumer"),
            "{{consumer}} p99": _quantile(0.99, "txbox_consumer_end_to_end_latency_seconds", _CONSUMER, "consumer"),
        },
        unit="s",
    ),
    Panel(
        title="Late by",
        queries={"{{consumer}}": f"max by (consumer) (txbox_consumer_lag_seconds{{{_CONSUMER}}})"},
        unit="s",
    ),
    Panel(
        title="Messages behind, by topic",
        queries={
            "{{consumer}} {{topic}}": f"sum by (consumer, topic) (txbox_consumer_lag_messages{{{_CONSUMER}}})",
        },
    ),
    Panel(
        title="A handler's time, p99, by type",
        queries={
            "{{consumer}} {{type}}": _quantile(0.99, "txbox_consumer_handler_seconds", _CONSUMER, "consumer", "type")
        },
        unit="s",
    ),
    Panel(
        title="Held: waiting and dead",
        queries={
            "{{consumer}} {{state}}": f"max by (consumer, state) (txbox_consumer_held_messages{{{_CONSUMER}}})",
        },
    ),
    Panel(
        title="Transactions, by how they ended",
        queries={
            "{{consumer}} {{outcome}}": _rate("txbox_consumer_transactions_total", _CONSUMER, "consumer", "outcome")
        },
        unit="ops",
    ),
    Panel(
        title="Partitions, by process",
        queries={"{{consumer}} {{instance}}": f"txbox_consumer_partitions{{{_CONSUMER}}}"},
        stacked=True,
    ),
    Panel(
        title="Handlers at work",
        queries={
            "{{consumer}}": _rate("txbox_consumer_handler_seconds_sum", _CONSUMER, "consumer"),
        },
    ),
)

_PROCESSES: Final = (
    Panel(
        title="Checks of /readyz",
        queries={"{{job}} {{instance}} {{check}}": f"txbox_check_ok{{{ALL}}}"},
        kind="state-timeline",
        width=16,
        height=10,
        words={1: "ok", 0: "fails"},
        steps=((None, "red"), (1, "green")),
        options={"showValue": "never", "mergeValues": True, "rowHeight": 0.8},
    ),
    Panel(
        title="Versions",
        queries={
            "{{version}}, Python {{python}}, librdkafka {{librdkafka}}": (
                f"count by (version, python, librdkafka) (txbox_build_info{{{ALL}}})"
            ),
            "tables: version {{version}}": f'count_values by () ("version", txbox_schema_version{{{ALL}}} > 0)',
            "source: {{source}}": f"count by (source) (txbox_relay_source_info{{{_RELAY}}})",
        },
        kind="bargauge",
        height=10,
        options={"orientation": "horizontal", "displayMode": "basic"},
    ),
)

ROWS: Final = {"At a glance": _GLANCE, "Relay": _RELAYS, "Consumers": _CONSUMERS, "Processes": _PROCESSES}
