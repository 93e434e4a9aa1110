"""Prometheus itself reads the figures, with the example's settings, and answers what the dashboard asks."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from tests.support.leaks import wait_until
from tests.support.needs import need
from tests.support.nginx import Running, free_port
from tests.support.paths import CHECKOUT
from tests.support.server import Server, get

EXAMPLES = CHECKOUT / "examples" / "grafana"
TARGET = "192.168.1.10:8080"
CAMERA = "front-door"
TARGETS = [
    (panel["title"], target["expr"])
    for panel in json.loads((EXAMPLES / "dashboard.json").read_text())["panels"]
    for target in panel.get("targets", ())
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The camera of the examples, which nobody watches."""
    camera = f"cameras.{CAMERA}={{source: 'demo:', width: 320, height: 180, fps: 10}}"
    with Server("--set", camera, "--set", "detector.workers=1") as server:
        server.wait_for_camera(lambda info: info["latency_ms"] is not None, 30, CAMERA)
        yield server


@pytest.fixture(scope="module")
def prometheus(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Prometheus, which reads the server's figures once a second."""
    folder = tmp_path_factory.mktemp("prometheus")
    config = yaml.safe_load(
        (EXAMPLES / "prometheus.yml").read_text().replace(TARGET, f"127.0.0.1:{server.port}")
    )
    config["scrape_configs"][0] |= {"scrape_interval": "1s", "scrape_timeout": "1s"}
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    port = free_port()
    options = [f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={folder}/data"]
    with Running(port, [need("prometheus"), f"--config.file={file}", *options]) as prometheus:
        assert wait_until(lambda: get(port, "/-/ready").status == 200)
        yield prometheus


def ask(prometheus: Running, expression: str) -> list[dict[str, Any]]:
    """Return the series that an expression gives now."""
    answer = get(prometheus.port, f"/api/v1/query?{urlencode({'query': expression})}")
    assert answer.status == 200, answer.text
    found: list[dict[str, Any]] = answer.json["data"]["result"]
    return found


@pytest.mark.parametrize(("title", "expression"), TARGETS)
def test_each_panel_shows_something_though_nobody_watches(
    prometheus: Running, title: str, expression: str
) -> None:
    expression = expression.replace("$camera", ".*").replace("$__rate_interval", "1m")
    assert wait_until(lambda: bool(ask(prometheus, expression)), 30), f"{title}: nothing for {expression}"


def test_that_nobody_watches_is_a_figure(server: Server, prometheus: Running) -> None:
    expression = f'sum by (camera) (stream_server_viewers{{camera="{CAMERA}"}})'
    assert wait_until(lambda: bool(ask(prometheus, expression)), 30)
    (series,) = ask(prometheus, expression)
    assert series["value"][1] == "0"


def test_example_and_figures_are_as_promtool_wants_them(server: Server, tmp_path: Path) -> None:
    promtool = need("promtool")
    config = (EXAMPLES / "prometheus.yml").read_text()
    (tmp_path / "prometheus.yml").write_text(config)
    for command, text in (
        (["check", "config", str(tmp_path / "prometheus.yml")], ""),
        (["check", "metrics"], server.get("/metrics").text),
    ):
        done = subprocess.run(
            [promtool, *command], input=text, capture_output=True, text=True, timeout=30, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
