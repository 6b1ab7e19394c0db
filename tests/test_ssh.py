"""A run started over a real sshd on loopback outlives its connection and is found again over the next."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.run.directory import Home, RunDirectory
from core.run.records import read_exit
from tests.training_runs import pretrain_preset, write_texts

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"

pytestmark = pytest.mark.skipif(
    not (Path(SSHD).exists() and shutil.which("ssh")), reason="needs openssh-server and openssh-client"
)


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[list[str]]:
    """A server of this user's own on loopback; the beginning of a command that logs in."""
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    (tmp_path / "authorized").write_text((tmp_path / "user.pub").read_text())
    (tmp_path / "authorized").chmod(0o600)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server_settings = {
        "Port": port, "ListenAddress": "127.0.0.1", "HostKey": tmp_path / "host", "PidFile": tmp_path / "pid",
        "AuthorizedKeysFile": tmp_path / "authorized", "StrictModes": "no", "UsePAM": "no",
        "PasswordAuthentication": "no", "PermitRootLogin": "yes",
    }  # fmt: skip
    (tmp_path / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in server_settings.items()))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with (tmp_path / "sshd.log").open("w") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", tmp_path / "sshd_config"], stderr=log)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        settings = {"StrictHostKeyChecking": "no", "UserKnownHostsFile": tmp_path / "known", "LogLevel": "ERROR"}
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        yield ["ssh", "-i", str(tmp_path / "user"), "-p", str(port), *options, "127.0.0.1"]
    finally:
        server.terminate()
        server.wait()


def test_a_run_outlives_its_connection(
    ssh: list[str], home: Home, environment: dict[str, str], footplate: list[str], tmp_path: Path
) -> None:
    texts = write_texts(tmp_path / "texts")
    preset = pretrain_preset(texts, schedule={"steps": 150})
    (tmp_path / "mine.yaml").write_text(json.dumps(preset))
    variables = [f"{name}={value}" for name, value in environment.items()]

    def remote(*words: str) -> list[str]:
        return [shlex.join(["env", *variables, *footplate, *words])]

    watch = subprocess.Popen(
        [*ssh[:1], "-tt", *ssh[1:], *remote("run", str(tmp_path / "mine.yaml"), "--name", "far")],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    run = RunDirectory(home.runs / "far")
    deadline = time.monotonic() + 120
    while not run.attempt(1).metrics.exists():
        assert time.monotonic() < deadline, "the run did not start"
        time.sleep(0.02)
    watch.kill()  # the laptop is closed
    watch.wait()
    rows = run.attempt(1).metrics.stat().st_size

    found = subprocess.run([*ssh, *remote("runs", "--json")], capture_output=True, text=True, timeout=60, check=True)
    (listed,) = [json.loads(line) for line in found.stdout.splitlines()]
    assert listed["run"] == "far"
    assert listed["status"] in {"running", "finished"}

    attached = subprocess.run(
        [*ssh, *remote("attach", "far", "--json")], capture_output=True, text=True, timeout=180, check=False
    )
    assert attached.returncode == 0, attached.stderr[-2000:]
    records = [json.loads(line) for line in attached.stdout.splitlines()]
    steps = [record["step"] for record in records if record["type"] == "metrics"]
    assert steps == list(range(1, 151)), "the whole history, once"
    assert records[-1]["type"] == "finished"
    record = read_exit(run.attempt(1))
    assert record is not None
    assert record.code == 0
    assert run.attempt(1).metrics.stat().st_size > rows, "the run ended before its connection did: nothing was tested"
