"""/healthz/ and /readyz/."""

import pytest
import redis
from django.conf import LazySettings
from django.conf import settings as conf
from django.db import connection
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from medagg.observing.health import recent_look
from medagg.observing.worker_heartbeat import ALIVE_SECONDS, QUEUES, heartbeat_key
from medagg.testing.worker import WorkerProcess


@pytest.fixture(autouse=True)
def look_anew() -> None:
    recent_look.forget()


@pytest.fixture
def heartbeats() -> redis.Redis:
    """As workers leave them that serve all queues."""
    client = redis.Redis.from_url(conf.REDIS_URL)
    for queue in QUEUES:
        client.set(heartbeat_key(queue), 1, ex=ALIVE_SECONDS)
    return client


def test_the_process_answers_without_any_server(client: Client) -> None:
    assert client.get("/healthz/").content == b"ok\n"


@pytest.mark.django_db
def test_all_parts_serve(client: Client, heartbeats: redis.Redis) -> None:
    response = client.get("/readyz/")
    assert response.json() == {
        "status": "ok",
        "broken": [],
        "parts": {"database": "ok", "broker": "ok", "worker": "ok", "migrations": "ok"},
    }


@pytest.mark.django_db
def test_a_queue_that_no_worker_serves_is_named(client: Client, heartbeats: redis.Redis) -> None:
    heartbeats.delete(heartbeat_key("builds"))
    response = client.get("/readyz/")
    assert (response.status_code, response.json()["broken"]) == (503, ["worker"])
    assert response.json()["parts"]["worker"] == "no worker serves: builds"


@pytest.mark.django_db
def test_a_broker_that_does_not_answer_is_named(client: Client, settings: LazySettings) -> None:
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    response = client.get("/readyz/")
    assert (response.status_code, response.json()["broken"]) == (503, ["broker"])


@pytest.mark.django_db
def test_migrations_that_are_missing_are_named(client: Client, heartbeats: redis.Redis) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'collections_app'")
    response = client.get("/readyz/")
    assert (response.status_code, response.json()["broken"]) == (503, ["migrations"])
    assert "run manage.py migrate" in response.json()["parts"]["migrations"]


@pytest.mark.django_db
def test_to_ask_again_and_again_costs_nothing(
    client: Client, heartbeats: redis.Redis, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    assert client.get("/readyz/").status_code == 200
    asked = heartbeats.info("stats")["total_commands_processed"]
    with django_assert_num_queries(0):
        assert {client.get("/readyz/").status_code for _ in range(20)} == {200}
    assert heartbeats.info("stats")["total_commands_processed"] - asked < 20


def test_a_real_worker_leaves_heartbeats(celery_worker_process: WorkerProcess) -> None:
    client = redis.Redis.from_url(conf.REDIS_URL)
    keys = [heartbeat_key(queue) for queue in QUEUES]
    client.delete(*keys)
    celery_worker_process.restart()
    assert all(0 < client.ttl(key) <= ALIVE_SECONDS for key in keys)
