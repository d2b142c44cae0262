"""What every long-running process of ours needs: stop, health, metrics port, connections, failpoints, log."""

from txbox.daemon.backoff import Backoff
from txbox.daemon.errors import CannotListen, DaemonError, Failed, PortTaken, RefusedSetting, UnknownFailpoint
from txbox.daemon.failpoint import POINTS, failpoint
from txbox.daemon.health import Check, Health, Report
from txbox.daemon.http import Http, serving
from txbox.daemon.kafka import Kafka, Meaning, admin_settings, consumer_settings, meaning, producer_settings
from txbox.daemon.person import person
from txbox.daemon.postgres import Database, Link, UnfitUrl, connect
from txbox.daemon.stop import Stop
from txbox.daemon.systemd import notifying

__all__ = [
    "POINTS",
    "Backoff",
    "CannotListen",
    "Check",
    "DaemonError",
    "Database",
    "Failed",
    "Health",
    "Http",
    "Kafka",
    "Link",
    "Meaning",
    "PortTaken",
    "RefusedSetting",
    "Report",
    "Stop",
    "UnfitUrl",
    "UnknownFailpoint",
    "admin_settings",
    "connect",
    "consumer_settings",
    "failpoint",
    "meaning",
    "notifying",
    "person",
    "producer_settings",
    "serving",
]
