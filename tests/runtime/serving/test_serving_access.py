"""Who is let in, and where a server refuses to listen."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import stat
import subprocess

import pytest
from pydantic import ValidationError
from serving_rig import Echo, client_of, seen
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from robot_rl.core.errors import ConfigError
from robot_rl.runtime.serving.access import read_key
from robot_rl.runtime.serving.background import in_background
from robot_rl.runtime.serving.config import ServerConfig
from robot_rl.runtime.serving.server import PolicyServer


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory):
    """A certificate for this machine that it has signed itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 "
        "-subj /CN=localhost"
    )
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    key.chmod(0o600)
    return str(cert), str(key)


def refusal(address: str, **options) -> int:
    with pytest.raises(InvalidStatus) as refused, connect(address, **options):
        pass
    return refused.value.response.status_code


def test_by_default_nobody_else_can_reach_it(serve):
    address = serve({"echo": Echo()})
    assert address.startswith("ws://127.0.0.1:")
    port = int(address.rpartition(":")[2])
    with open("/proc/net/tcp") as table:
        listening = [line.split()[1] for line in table if line.split()[3] == "0A"]
    assert f"0100007F:{port:04X}" in listening
    assert f"00000000:{port:04X}" not in listening


OPEN = ["0.0.0.0", "::", "192.0.2.1", "::ffff:0.0.0.0"]
HALVES = [(), ("api_key_file",), ("tls_cert", "tls_key")]


@pytest.mark.parametrize("host", OPEN)
@pytest.mark.parametrize("given", HALVES, ids=["nothing", "key", "tls"])
def test_another_address_needs_key_and_tls(host, given, key_file, tls_files):
    files = {"api_key_file": key_file()[0], "tls_cert": tls_files[0], "tls_key": tls_files[1]}
    config = ServerConfig(host=host, **{name: files[name] for name in given})
    with pytest.raises(ConfigError, match="which other machines can reach; that needs") as error:
        PolicyServer({"echo": Echo()}, config)
    for name in files.keys() - given:
        assert name in str(error.value)


def test_with_key_and_tls_it_may_listen_anywhere(key_file, tls_files):
    path, _ = key_file()
    cert, key = tls_files
    config = ServerConfig(host="0.0.0.0", api_key_file=path, tls_cert=cert, tls_key=key)
    assert PolicyServer({"echo": Echo()}, config)


def test_a_certificate_without_its_key_is_refused():
    with pytest.raises(ValidationError, match="go together"):
        ServerConfig(tls_cert="cert.pem")


def test_over_tls_a_client_that_trusts_the_certificate_gets_plans(serve, key_file, tls_files):
    path, key = key_file()
    cert, tls_key = tls_files
    address = serve({"echo": Echo()}, api_key_file=path, tls_cert=cert, tls_key=tls_key)
    assert address.startswith("wss://")
    trust = ssl.create_default_context(cafile=cert)
    with client_of(address, key=key, ssl=trust) as client:
        assert client.ask(seen())


@pytest.mark.parametrize("scheme", ["Api-Key", "Bearer", "bearer"])
def test_who_knows_the_key_is_let_in(serve, key_file, scheme):
    path, key = key_file()
    address = serve({"echo": Echo()}, api_key_file=path)
    headers = {"Authorization": f"{scheme} {key}"}
    with client_of(address, additional_headers=headers) as client:
        assert client.ask(seen())


@pytest.mark.parametrize("given", ["", "Api-Key", "Api-Key wrong", "Basic {}", "{}", "Api-Key ü"])
def test_who_does_not_know_the_key_is_not(serve, key_file, given):
    path, key = key_file()
    address = serve({"echo": Echo()}, api_key_file=path)
    headers = {"Authorization": given.format(key)} if given else {}
    assert refusal(address, additional_headers=headers) == 401
    assert refusal(f"{address}/metrics", additional_headers=headers) == 401


def test_browsers_are_refused_whatever_they_know(serve, key_file):
    path, key = key_file()
    address = serve({"echo": Echo()}, api_key_file=path)
    headers = {"Authorization": f"Api-Key {key}", "Origin": "http://127.0.0.1"}
    assert refusal(address, additional_headers=headers) == 403


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_key_that_others_may_read_is_refused(key_file, mode):
    path, _ = key_file()
    os.chmod(path, mode)
    with pytest.raises(ConfigError, match=f"{mode:04o} lets others at the key; chmod 600"):
        PolicyServer({"echo": Echo()}, ServerConfig(api_key_file=path))


def test_a_tls_key_that_others_may_read_is_refused(tls_files, tmp_path):
    cert, key = tls_files[0], shutil.copy(tls_files[1], tmp_path / "key.pem")
    os.chmod(key, 0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        PolicyServer({"echo": Echo()}, ServerConfig(tls_cert=cert, tls_key=key))


def test_a_short_or_missing_key_is_refused(tmp_path):
    path = tmp_path / "key"
    with pytest.raises(ConfigError, match="cannot be read"):
        read_key(path)
    path.write_text("short\n")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="openssl rand"):
        read_key(path)


def test_a_port_that_is_taken_is_named(serve):
    port = int(serve({"echo": Echo()}).rpartition(":")[2])
    with pytest.raises(ConfigError, match=f"127.0.0.1:{port}"):
        serve({"echo": Echo()}, port=port)


def test_a_unix_socket_is_for_this_user_alone_and_goes_with_the_server(serve, tmp_path):
    path = tmp_path / "serve.sock"
    server = PolicyServer({"echo": Echo()}, ServerConfig(unix=path))
    with in_background(server) as address:
        assert address == f"unix://{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with client_of(address) as client:
            assert client.ask(seen())
        with pytest.raises(ConfigError, match="another server listens there"):
            serve({"echo": Echo()}, unix=path)
    assert not path.exists()


def test_a_socket_that_was_left_behind_is_replaced_and_a_file_is_not(serve, tmp_path):
    path = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with client_of(serve({"echo": Echo()}, unix=path)) as client:
        assert client.ask(seen())
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(ConfigError, match="is no socket"):
        serve({"echo": Echo()}, unix=file)
    assert file.read_text() == "precious"
