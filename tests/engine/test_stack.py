"""docker-compose.yml, as people bring it up; then its containers are killed, and it is counted."""

import json
import random
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from tests.engine.stack import PORTS, Stack, docker
from tests.waiting import eventually

PROMETHEUS = f"http://127.0.0.1:{PORTS['PROMETHEUS']}"


def ask(query: str) -> list[Any]:
    """What Prometheus answers."""
    with urlopen(f"{PROMETHEUS}/api/v1/query?query={quote(query)}", timeout=10) as answer:  # noqa: S310
        return list(json.load(answer)["data"]["result"])


def test_everything_is_watched_and_one_relay_leads(stack: Stack) -> None:
    eventually(lambda: len(ask("up{job=~'txbox-.*'} == 1")) == 3, within=60, every=0.5)
    eventually(lambda: len(ask("txbox_relay_leader == 1")) == 1, within=60, every=0.5)


def test_no_port_is_open_to_others(stack: Stack) -> None:
    containers = [json.loads(line) for line in stack.compose("ps", "--format", "json").splitlines()]
    published = [port for one in containers for port in one["Publishers"] or () if port["PublishedPort"]]
    assert {str(port["PublishedPort"]) for port in published} == set(PORTS.values())
    assert {port["URL"] for port in published} == {"127.0.0.1"}


def test_no_password_is_to_be_seen(stack: Stack) -> None:
    pgpass = stack.compose("exec", "-T", "billing", "cat", "/run/passwords/pgpass")
    passwords = [line.rpartition(":")[2] for line in pgpass.split()]
    assert len(set(passwords)) == 5
    assert all(len(password) > 20 for password in passwords)
    services = ("passwords", "postgres", "migrate-orders", "migrate-billing", "furnish", "relay", "orders", "billing")
    seen = stack.compose("config") + stack.compose("logs")
    for container in (one for service in services for one in stack.containers(service)):
        seen += json.dumps(container.facts)
        seen += docker("top", container.name, "-eo", "pid,args") if container.pid else ""
    assert [password for password in passwords if password in seen] == []


@pytest.mark.parametrize(
    ("service", "statement"),
    [
        ("relay", "SELECT FROM orders"),
        ("relay", "INSERT INTO txbox.outbox (type, topic) VALUES ('a', 'b')"),
        ("orders", "SELECT payload FROM txbox.outbox"),
        ("billing", "DELETE FROM charges"),
    ],
)
def test_a_service_may_do_what_is_its_own(stack: Stack, service: str, statement: str) -> None:
    code = f"""
import os, psycopg
url = os.environ.get("TXBOX_DATABASE__URL") or os.environ["SHOP_ORDERS_URL"]
try:
    psycopg.connect(url).execute({statement!r})
except psycopg.errors.InsufficientPrivilege:
    print("refused")
"""
    assert stack.compose("exec", "-T", service, "python", "-c", code).strip() == "refused"


def test_the_database_asks_for_a_password(stack: Stack) -> None:
    said = stack.compose(
        *("exec", "-T", "--env", "PGPASSFILE=", "billing", "txbox", "db", "status"),
        ok=(1,),
    )
    assert said == ""


def test_nothing_is_lost_whatever_is_killed(stack: Stack) -> None:
    rng = random.Random(1)
    ours = [*stack.containers("relay"), stack.container("billing")]
    servers = [stack.container("postgres"), stack.container("kafka")]
    kills = ours * 3 + servers * 2
    for victim in rng.sample(kills, len(kills)):
        victim.crash()
        _goes_on(stack)
    for victim in ours[:2]:  # one that stays down until somebody comes
        victim.kill()
        _goes_on(stack)
        victim.start()
    stack.compose("stop", "orders")
    verdict = stack.compose("run", "--rm", "-T", "verdict", within=300)
    print(f"{len(kills)} containers were killed and started again by the engine, 2 by us\n{verdict}")
    assert "PASSED" in verdict


def _goes_on(stack: Stack) -> None:
    """Return when orders that were placed after now are charged."""
    placed = eventually(lambda: _count(stack, "shop_orders", "SELECT count(*) FROM orders"), within=90, every=0.5)
    charged = "SELECT count(DISTINCT order_id) FROM charges"
    eventually(lambda: _count(stack, "shop_billing", charged) > placed, within=120, every=0.5)


def _count(stack: Stack, database: str, query: str) -> int:
    """What PostgreSQL answers; 0 while it is away."""
    psql = ("psql", "--username", "postgres", "--dbname", database, "-Atc", query)
    told = stack.compose("exec", "-T", "postgres", *psql, ok=(0, 1, 2, 137))
    return int(told) if told.strip().isdecimal() else 0
