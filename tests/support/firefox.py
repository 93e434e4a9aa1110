"""Debian's Firefox, driven over WebDriver BiDi (w3.org/TR/webdriver-bidi): JSON commands over a WebSocket."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.leaks import wait_until
from tests.support.needs import need
from tests.support.processes import Family
from tests.support.websockets import Client

PREFERENCES = {
    "network.proxy.type": 1,  # what is not on this machine is asked of a proxy that is not there
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
}
ENVIRONMENT = {"MOZ_CRASHREPORTER_DISABLE": "1"}
START_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 30.0


class BiDiError(AssertionError):
    """Firefox refused a command, or a script threw."""


class Firefox:
    """A Firefox with a profile of its own; both are gone after the `with` block.

    complaints: what pages wrote to the console but by `console.log`, and errors nobody caught.
    """

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self._family = Family()
        self._commands = 0

    def __enter__(self) -> Firefox:
        with ExitStack() as stack:
            profile = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="firefox-")))
            stack.callback(self._end, self._start(profile))
            self._client = stack.enter_context(self._connect(profile))
            self.command("session.new", capabilities={})
            self.command("session.subscribe", events=["log.entryAdded"])
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self, profile: Path) -> subprocess.Popen[bytes]:
        lines = (
            f"user_pref({json.dumps(key)}, {json.dumps(value)});\n" for key, value in PREFERENCES.items()
        )
        (profile / "user.js").write_text("".join(lines))
        return subprocess.Popen(
            [
                need("firefox-esr"),
                "--headless",
                "--no-remote",
                "--remote-debugging-port=0",
                "--profile",
                profile,
            ],
            env={**os.environ, **ENVIRONMENT, **self._family.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Kill it with all its helpers, which are no children of its process any more."""
        self._family.kill()
        process.wait()

    @staticmethod
    def _connect(profile: Path) -> Client:
        said = profile / "WebDriverBiDiServer.json"
        assert wait_until(lambda: said.exists() and said.stat().st_size > 0, START_TIMEOUT_S)
        return Client.connect(json.loads(said.read_text())["ws_port"], path="/session")

    def open(self) -> Tab:
        """Return a new tab with nothing in it."""
        context: str = self.command("browsingContext.create", type="tab")["context"]
        return Tab(self, context)

    def command(self, method: str, **parameters: object) -> dict[str, Any]:
        """Return the result of a command; raises BiDiError."""
        self._commands += 1
        self._client.say(id=self._commands, method=method, params=parameters)
        while (message := self._client.text(ANSWER_TIMEOUT_S)).get("id") != self._commands:
            self._note(message)
        if message["type"] == "error":
            raise BiDiError(f"{method}: {message['error']}: {message['message']}")
        result: dict[str, Any] = message["result"]
        return result

    def _note(self, event: dict[str, Any]) -> None:
        if event["method"] == "log.entryAdded" and event["params"].get("method") != "log":
            self.complaints.append(event["params"]["text"])


class Tab:
    """A tab of a Firefox; as much of Playwright's `Page` as tests need."""

    def __init__(self, firefox: Firefox, context: str) -> None:
        self._firefox = firefox
        self._context = context

    def __enter__(self) -> Tab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._firefox.command("browsingContext.close", context=self._context)

    def goto(self, url: str) -> None:
        """Show a page; returns when it is parsed: one with a stream in it never ends to load."""
        self._firefox.command("browsingContext.navigate", context=self._context, url=url, wait="interactive")

    def evaluate(self, function: str, argument: str = "") -> Any:
        """Return what a JavaScript function of one string returns or resolves to, a plain value."""
        answer = self._firefox.command(
            "script.callFunction",
            functionDeclaration=function,
            arguments=[{"type": "string", "value": argument}],
            target={"context": self._context},
            awaitPromise=True,
        )
        if answer["type"] == "exception":
            raise BiDiError(answer["exceptionDetails"]["text"])
        return answer["result"].get("value")
