from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from core.errors import UsageError
from core.model.push import check_push, push

_TOKEN = "hf_" + "s" * 34


class Hub:
    """What a stand-in for the hub was asked, and how it answers: a user `me`, whose repositories it keeps in memory."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.private: dict[str, bool] = {}
        self.files: dict[str, bytes] = {}
        self.refusal: tuple[int, str] | None = None
        self.tokens: set[str] = set()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        path = path.partition("?")[0]
        self.asked.append((method, path))
        if method == "GET":
            return self._look(path)
        return (self.refusal[0], {"error": self.refusal[1]}) if self.refusal else self._write(path, body)

    def _look(self, path: str) -> tuple[int, Any]:
        match path.strip("/").split("/"):
            case ["api", "whoami-v2"]:
                return 200, {"name": "me", "type": "user"}
            case ["api", "models", owner, name] if f"{owner}/{name}" in self.private:
                return 200, {"id": f"{owner}/{name}", "private": self.private[f"{owner}/{name}"]}
        return 404, {"error": "no such place"}

    def _write(self, path: str, body: bytes) -> tuple[int, Any]:
        match path.strip("/").split("/"):
            case ["api", "repos", "create"]:
                wanted = json.loads(body)
                name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
                if name in self.private:
                    return 409, {"error": "exists", "url": f"{self.url}/{name}"}
                self.private[name] = wanted["visibility"] == "private"
                return 200, {"url": f"{self.url}/{name}", "name": name, "id": name}
            case ["api", "validate-yaml"]:
                return 200, {"errors": [], "warnings": []}
            case ["api", "models", _, _, "preupload", "main"]:
                files = json.loads(body)["files"]
                return 200, {
                    "files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]
                }
            case ["api", "models", owner, name, "commit", "main"]:
                for line in body.splitlines():
                    record = json.loads(line)
                    if record["key"] == "file":
                        self.files[record["value"]["path"]] = base64.b64decode(record["value"]["content"])
                return 200, {"commitUrl": f"{self.url}/{owner}/{name}/commit/1", "commitOid": "1", "commitMessage": "m"}
        return 404, {"error": "no such place"}

    url = ""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def _respond(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            code, answer = hub.answer(self.command, self.path, self.rfile.read(size))
            hub.tokens.add(self.headers.get("Authorization", ""))
            data = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            if code == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _respond

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", _TOKEN)
    yield hub
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "out"
    made.mkdir()
    (made / "config.json").write_text("{}")
    (made / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    (made / "README.md").write_text("---\nlicense: unknown\n---\n")
    return made


@pytest.mark.parametrize("private", [True, False])
def test_every_file_is_uploaded_to_a_repository_that_is_private_unless_asked(
    hub: Hub, folder: Path, private: bool
) -> None:
    check_push("me/small", private=private)
    assert not hub.private, "nothing is made before the work is done"
    where = push(folder, "me/small", private=private)
    assert where == f"{hub.url}/me/small"
    assert hub.private == {"me/small": private}
    assert hub.files == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert hub.tokens - {""} == {f"Bearer {_TOKEN}"}


def test_a_repository_that_everyone_sees_is_not_taken_for_a_private_one(hub: Hub) -> None:
    hub.private["me/small"] = False
    for name in ("me/small", "small"):
        with pytest.raises(UsageError, match="me/small is on the hub already, and public"):
            check_push(name, private=True)
    check_push("me/small", private=False)
    hub.private["me/small"] = True
    check_push("small", private=True)


def test_a_refusal_is_told_without_the_token(hub: Hub, folder: Path) -> None:
    hub.refusal = (403, f"the token {_TOKEN} may not write")
    with pytest.raises(UsageError, match="the hub did not take it") as caught:
        push(folder, "me/small", private=True)
    assert "403" in str(caught.value)
    assert _TOKEN not in str(caught.value)
    assert f"lies in {folder}" in caught.value.hint
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]


def test_a_hub_that_is_not_reached_is_words(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UsageError, match="the hub did not take it"):
        check_push("me/small", private=True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="the hub did not take it"):
        check_push("me/small", private=True)


def test_a_wrong_name_and_a_missing_login_are_told_before_anything_is_asked(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/b/c", "-x", "me/sm all"):
        with pytest.raises(UsageError, match="--push"):
            check_push(name, private=True)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(UsageError, match="no login") as caught:
        check_push("me/small", private=True)
    assert "hf auth login" in caught.value.hint
    assert not hub.asked
