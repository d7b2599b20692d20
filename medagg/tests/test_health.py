"""/healthz/ and /readyz/: alive, and every part serving."""

import pytest
import redis
from django.conf import LazySettings
from django.conf import settings as conf
from django.db import connection
from django.test import Client

from medagg.testing.worker import WorkerProcess
from medagg.worker_heartbeat import KEY, leave_sign_of_life


@pytest.fixture
def worker_sign() -> redis.Redis:
    client = redis.Redis.from_url(conf.REDIS_URL)
    leave_sign_of_life()
    return client


def test_the_process_answers_without_any_server(client: Client) -> None:
    assert client.get("/healthz/").content == b"ok\n"


@pytest.mark.django_db
def test_all_parts_serve(client: Client, worker_sign: redis.Redis) -> None:
    response = client.get("/readyz/")
    assert response.json() == {
        "status": "ok",
        "broken": [],
        "parts": {"database": "ok", "broker": "ok", "worker": "ok", "migrations": "ok"},
    }


@pytest.mark.django_db
def test_a_worker_that_is_not_heard_of_is_named(client: Client, worker_sign: redis.Redis) -> None:
    worker_sign.delete(KEY)
    response = client.get("/readyz/")
    assert (response.status_code, response.json()["broken"]) == (503, ["worker"])


@pytest.mark.django_db
def test_a_broker_that_does_not_answer_is_named(client: Client, settings: LazySettings) -> None:
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    response = client.get("/readyz/")
    assert (response.status_code, response.json()["broken"]) == (503, ["broker"])


@pytest.mark.django_db
def test_migrations_that_are_missing_are_named(client: Client, worker_sign: redis.Redis) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'collections_app'")
    response = client.get("/readyz/")
    assert (response.status_code, response.json()["broken"]) == (503, ["migrations"])
    assert "run manage.py migrate" in response.json()["parts"]["migrations"]


def test_a_real_worker_leaves_a_sign_of_life(celery_worker_process: WorkerProcess) -> None:
    client = redis.Redis.from_url(conf.REDIS_URL)
    client.delete(KEY)
    celery_worker_process.restart()
    assert client.exists(KEY)
    assert 0 < client.ttl(KEY) <= 15
    celery_worker_process.stop()
    assert not client.exists(KEY), "a worker that ends takes its sign back"
