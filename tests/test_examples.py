"""The examples can be read by what they are for, and name nothing that the server does not have."""

from __future__ import annotations

import configparser
import html
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from stream_server.cli import command
from tests.support.paths import CHECKOUT
from tests.support.server import Server
from tests.support.viewers import Viewer
from tests.test_wheel import FILES, SOURCES

EXAMPLES = CHECKOUT / "examples"
SERVER, CAMERA = "http://192.168.1.10:8080", "front-door"
PROGRAM = "/opt/stream-server/bin/stream-server"
DASHBOARD: dict[str, Any] = json.loads((EXAMPLES / "grafana" / "dashboard.json").read_text())
DOCKERFILE = (EXAMPLES / "docker" / "Dockerfile").read_text().replace("\\\n", "")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The camera of the examples, with things in its picture."""
    camera = f"cameras.{CAMERA}={{source: 'demo:', width: 640, height: 360, fps: 10}}"
    with Server("--set", camera, "--set", "detector.workers=1") as server:
        server.wait_for_camera(lambda info: "person" in info["objects"], 30, CAMERA)
        yield server


def _files() -> list[Path]:
    return sorted(path for path in EXAMPLES.rglob("*") if path.is_file())


def _yaml(path: str) -> Any:
    return yaml.safe_load((EXAMPLES / path).read_text())


def _addresses() -> list[tuple[str, str]]:
    """Return the paths on the server that examples name, with the examples' names."""
    found = []
    for path in _files():
        text = html.unescape(path.read_text()).replace("$server", SERVER).replace("$camera", CAMERA)
        found += [
            (str(path.relative_to(EXAMPLES)), address)
            for address in re.findall(rf"{re.escape(SERVER)}(/[^\s\"'\\<>]*)", text)
        ]
    return found


def test_every_example_is_explained() -> None:
    explained = re.findall(r"\]\(([^)]+)\)", (EXAMPLES / "README.md").read_text())
    files = {str(path.relative_to(EXAMPLES)) for path in _files()}
    assert set(explained) <= files
    assert files - set(explained) == {"README.md", "docker/Dockerfile.dockerignore"}


def test_examples_name_addresses() -> None:
    assert {name for name, _ in _addresses()} == {
        "grafana/dashboard.json",
        "home-assistant/cameras.yaml",
        "home-assistant/configuration.yaml",
        "home-assistant/dashboard.yaml",
        "octoprint/config.yaml",
    }


@pytest.mark.parametrize(("name", "address"), _addresses())
def test_address_in_an_example_is_there(server: Server, name: str, address: str) -> None:
    method = "HEAD" if "/stream.mjpg" in address else "GET"
    assert server.get(address, method=method).status == 200, name


# Home Assistant.


def test_home_assistants_sensors_read_the_api(server: Server) -> None:
    (rest,) = _yaml("home-assistant/configuration.yaml")["rest"]
    info = server.get(rest["resource"].removeprefix(SERVER)).json
    shown = {
        sensor["unique_id"].removeprefix("stream_server_front_door_"): jinja2.Template(
            sensor["value_template"], undefined=jinja2.StrictUndefined
        ).render(value_json=info)
        for sensor in (*rest["binary_sensor"], *rest["sensor"])
    }
    assert shown == {
        "online": "True",
        "people": str(info["objects"]["person"]),
        "cars": "0",
        "fps": str(round(info["fps"], 1)),
    }


def test_home_assistant_is_told_its_forms_fields() -> None:
    forms = _yaml("home-assistant/cameras.yaml")
    assert set(forms) == {"MJPEG IP Camera", "Generic Camera"}
    assert all("Still image URL" in form for form in forms.values())


# Prometheus and Grafana.


@pytest.fixture(scope="module")
def samples(server: Server) -> dict[str, dict[str, set[str]]]:
    """What Prometheus reads: the values of each label of each sample's name."""
    (job,) = _yaml("grafana/prometheus.yml")["scrape_configs"]
    assert job["static_configs"] == [{"targets": [SERVER.removeprefix("http://")]}]
    with Viewer(server.port, f"/cameras/{CAMERA}/stream.mjpg") as viewer:
        viewer.read(2)
        text = server.get(job["metrics_path"]).text
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            for label, value in {**sample.labels, "job": job["job_name"]}.items():
                found[sample.name][label].add(value)
    return found


def _panels(kind: str = "") -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] == kind or not kind]


@pytest.mark.parametrize(
    ("expression", "legend"),
    [(target["expr"], target["legendFormat"]) for panel in _panels() for target in panel.get("targets", ())],
)
def test_dashboard_asks_for_what_there_is(
    samples: dict[str, dict[str, set[str]]], expression: str, legend: str
) -> None:
    (name,) = re.findall(r"\b(?:stream_server|process)_\w+", expression)
    assert name in samples
    labels = samples[name]
    for label, values in re.findall(r'(\w+)=~?"([^"]*)"', expression):
        assert label in labels, (name, label)
        assert values == "$camera" or set(values.split("|")) <= labels[label], (name, label)
    grouped = re.search(r"by \(([^)]*)\)", expression)
    shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
    assert shown <= (set(grouped[1].split(", ")) if grouped else set(labels))


def test_dashboard_uses_no_variable_that_it_does_not_define(samples: dict[str, dict[str, set[str]]]) -> None:
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    inputs = {f"{{{field['name']}}}" for field in DASHBOARD["__inputs"]}
    used = set(re.findall(r"\$(\w+|\{\w+\})", json.dumps(DASHBOARD))) - {"__rate_interval", "__all"}
    assert used == set(variables) | inputs
    name, label = re.findall(r"\w+", variables["camera"]["query"].removeprefix("label_values"))
    assert samples[name][label] == {CAMERA}
    assert variables["server"]["query"] == SERVER


def test_panels_have_a_place_and_a_number_of_their_own() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in _panels():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & cells, panel["title"]
        cells |= own
    assert len({panel["id"] for panel in _panels()}) == len(_panels())


# systemd and Docker.


def _accept(words: list[str]) -> None:
    """Fail where `stream-server` does not know the arguments in `words`."""
    assert words[0] == "run"
    command.commands["run"].make_context("run", words[1:])


def test_service_runs_a_command_that_there_is() -> None:
    unit = configparser.RawConfigParser(strict=False, comment_prefixes="#")
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(EXAMPLES / "systemd" / "stream-server.service")
    program, *words = shlex.split(unit["Service"]["ExecStart"])
    assert program == PROGRAM
    _accept(words)


def test_service_is_understood_by_systemd(tmp_path: Path) -> None:
    systemd_analyze = shutil.which("systemd-analyze")
    if systemd_analyze is None:
        return  # parsed above; systemd is not worth installing for this
    unit = tmp_path / "stream-server.service"
    text = (EXAMPLES / "systemd" / "stream-server.service").read_text()
    unit.write_text(text.replace(PROGRAM, sys.executable))
    done = subprocess.run(
        [systemd_analyze, "verify", "--man=no", unit], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def _instructions(word: str) -> list[str]:
    return re.findall(rf"^\s*{word} (.*)$", DOCKERFILE, re.MULTILINE)


def test_image_is_built_of_what_the_package_is() -> None:
    copied = {name for line in _instructions("COPY") if "--from" not in line for name in line.split()[:-1]}
    assert copied == {*SOURCES, *FILES}
    allowed = re.findall(
        r"^!(.*)$", (EXAMPLES / "docker" / "Dockerfile.dockerignore").read_text(), re.MULTILINE
    )
    assert set(allowed) == copied


def test_image_runs_a_command_that_there_is() -> None:
    assert [json.loads(line) for line in _instructions("ENTRYPOINT")] == [[PROGRAM]]
    _accept(json.loads(_instructions("CMD")[-1]))


def test_image_looks_after_its_health(server: Server) -> None:
    (check,) = _instructions("HEALTHCHECK")
    python, *words = json.loads(check.partition("CMD ")[2])
    assert python == str(Path(PROGRAM).parent / "python")
    for port, code in ((server.port, 0), (1, 1)):
        asked = [word.replace(":8080/", f":{port}/") for word in words]
        done = subprocess.run([sys.executable, *asked], capture_output=True, timeout=30, check=False)
        assert done.returncode == code


def test_compose_file_fits_image_and_checkout() -> None:
    folder = EXAMPLES / "docker"
    (service,) = _yaml("docker/compose.yaml")["services"].values()
    context = (folder / service["build"]["context"]).resolve()
    assert context == CHECKOUT
    assert (context / service["build"]["dockerfile"]).samefile(folder / "Dockerfile")
    run = json.loads(_instructions("CMD")[-1])
    volume, accounts = service["volumes"]
    assert f"sqlite:///{accounts.partition(':')[2]}/" in run[run.index("--set") + 1]
    source, inside, _ = volume.split(":")
    assert (folder / source).is_file()
    assert inside == run[run.index("--config") + 1]
    (port,) = service["ports"]
    assert port.endswith(f":{run[run.index('--port') + 1]}")
