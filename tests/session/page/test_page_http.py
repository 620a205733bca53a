"""What is answered over HTTP, and to whom."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import time
from http.client import HTTPConnection

import pytest
import trustme
from page_rig import WAIT_S, Page, view
from websockets.sync.client import connect

from robot_rl.session.command import Command
from robot_rl.session.mode import Verb

API = ["/api/view", "/api/episodes", "/api/episode/e1", "/api/episode/e1/picture/wrist/0"]


def command(page: Page, body: object, token: str | None = "", **options):
    return page.http("POST", "/command", token, content=json.dumps(body), **options)


def seen_by_a_script(page: Page, number: int) -> int:
    """Look until that view is shown."""
    deadline_s = time.monotonic() + WAIT_S
    while (seen := page.http("GET", "/api/view").json())["number"] != number:
        assert time.monotonic() < deadline_s
    assert (seen["type"], seen["mode"]) == ("view", "auto")
    return seen["number"]


def test_the_page_needs_no_token_and_may_load_nothing_from_elsewhere(page: Page):
    for path in ("/", "/static/index.html"):
        answer = page.http("GET", path, None)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
        policy = answer.headers["content-security-policy"].split("; ")
        for rule in ("default-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"):
            assert rule in policy
        assert "img-src 'self' blob:" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_no_other_page_may_read_an_answer(page: Page):
    own = {"Origin": page.address}
    for method, path in [("GET", "/"), ("GET", "/healthz"), ("GET", API[0]), ("OPTIONS", "/")]:
        answer = page.http(method, path, headers=own)
        assert not [h for h in answer.headers if h.startswith("access-control")]
        foreign = page.http(method, path, headers={"Origin": "http://evil.example"})
        assert foreign.status_code == 403
        assert not [h for h in foreign.headers if h.startswith("access-control")]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{}", "127.0.0.1:1"])
def test_another_host_is_refused(page: Page, host):
    headers = {"Host": host.format(page.port)}
    for path in ("/", "/healthz", API[0]):
        refused = page.http("GET", path, headers=headers)
        assert refused.status_code == 403
        assert "session.page.names" in refused.text
        assert page.token not in refused.text
    assert command(page, {"verb": "stop"}, headers=headers).status_code == 403


@pytest.mark.parametrize("path", API)
def test_data_needs_the_token(page: Page, path):
    assert page.http("GET", path, None).status_code == 401
    assert page.http("GET", f"{path}?token={page.token}", None).status_code == 401
    assert page.http("GET", path).status_code in (200, 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_what_is_recorded_is_read_only(page: Page, method):
    for path in API:
        assert page.http(method, path).status_code == 405


def test_a_script_asks_and_is_answered(page: Page):
    page.process.show(view(31))
    seen = seen_by_a_script(page, 31)
    said = {"verb": "note", "view": seen, "arguments": {"text": "loose screw"}}
    answer = command(page, said)
    assert (answer.status_code, answer.json()) == (200, {"done": True, "words": "note"})
    asked = [c for n in range(1, 500) for c in page.desk.notes(Command, f"script-{n}")]
    assert asked[-1].verb == Verb.NOTE
    assert asked[-1].arguments == {"text": "loose screw"}
    page.desk.refuses = True
    try:
        assert command(page, {"verb": "start", "view": seen}).status_code == 409
    finally:
        page.desk.refuses = False


def test_a_script_says_what_it_saw_unless_it_stops(page: Page):
    answer = command(page, {"verb": "start"})
    assert answer.status_code == 400
    assert "/api/view" in answer.json()["detail"]
    answer = command(page, {"verb": "start", "view": 987654321})
    assert (answer.status_code, answer.json()["done"]) == (409, False)
    assert "look, then ask again" in answer.json()["words"]
    assert command(page, {"verb": "stop"}).json() == {"done": True, "words": "stop"}


def test_before_the_first_view_there_is_none(serve):
    page: Page = serve()
    assert page.http("GET", "/api/view").status_code == 404


@pytest.mark.parametrize("body", [{}, [], {"verb": "fly"}, {"verb": "note", "arguments": [1]}])
def test_what_a_script_must_not_say(page: Page, body):
    answer = command(page, body)
    assert answer.status_code == 400
    assert "not understood" in answer.json()["detail"]


def test_a_script_needs_the_token_and_few_words(page: Page):
    assert command(page, {"verb": "stop"}, None).status_code == 401
    assert command(page, {"verb": "note", "arguments": {"text": "x" * 70_000}}).status_code == 413
    assert page.http("GET", "/command").status_code == 405


def test_a_session_that_does_not_answer_is_told_of(page: Page):
    page.process.show(view(32))
    page.desk.answers = False
    try:
        answer = command(page, {"verb": "check", "view": seen_by_a_script(page, 32)})
    finally:
        page.desk.answers = True
    assert answer.status_code == 504


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e%2f%2e%2e%2f__init__.py",
        "/static//etc/passwd",
        "/static/..\\app.py",
        "/static/%00",
        "/api/episode/..%2f..%2fmanifest",
        "/api/episode/../episodes",
        "/api/episode/%2e%2e",
        "/api/episode/..%2f..%2fpage.log",
        "/api/episode/e1/picture/..%2f..%2fpage/0",
        "/api/episode/%2e%2e/picture/wrist/0",
        "/api/episode/e1/picture/wrist/-1",
        "/api/episode/e1/picture/wrist/x",
        "/api/episode/" + "e" * 3000,
    ],
)
def test_no_path_leads_out(page: Page, path):
    # As it is: whoever asks for a page folds the dots themselves.
    connection = HTTPConnection("127.0.0.1", page.port, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Authorization": f"Bearer {page.token}"})
        answer = connection.getresponse()
        content = answer.read()
    assert answer.status in (400, 404, 405, 422)
    assert b"root:" not in content
    assert b"import" not in content


def test_there_is_no_list_of_what_there_is(page: Page):
    for path in ("/docs", "/redoc", "/openapi.json", "/static/", "/static"):
        assert page.http("GET", path).status_code == 404


def test_over_tls_with_a_token_of_its_own(tmp_path, serve):
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    files = {name: tmp_path / name for name in ("token_file", "tls_cert", "tls_key")}
    files["token_file"].write_text("0123456789abcdef")
    certificate.cert_chain_pems[0].write_to_path(files["tls_cert"])
    certificate.private_key_pem.write_to_path(files["tls_key"])
    for path in files.values():
        path.chmod(0o600)
    page: Page = serve(host="0.0.0.0", names=("localhost",), **files)
    assert page.process.url == f"https://localhost:{page.port}/#token=0123456789abcdef"
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with page.browser(ssl=trusting, origin=page.address) as browser:
        browser.say(type="command", number=1, verb="stop")
        assert browser.until("answer")["done"]
    # Who begins no handshake is sent away.
    with socket.create_connection(("127.0.0.1", page.port)) as silent:
        silent.settimeout(10)
        assert silent.recv(1) == b""
    with pytest.raises(ssl.SSLCertVerificationError), connect(page.ws_address):
        pass
