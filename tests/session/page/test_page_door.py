"""Who is let in, before there is a process."""

from __future__ import annotations

import pytest
import trustme

from robot_rl.core.errors import ConfigError
from robot_rl.session.config import PageConfig
from robot_rl.session.page.door import Door, bearer, check_page, page_url

TOKEN = "0123456789abcdef0123"


class ManualClock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def door(clock: ManualClock | None = None, **config: object) -> Door:
    return Door(PageConfig.model_validate(config), 8400, TOKEN, clock or ManualClock())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A token file and a certificate with its key, readable by nobody else."""
    folder = tmp_path_factory.mktemp("keys")
    paths = {name: folder / name for name in ("token_file", "tls_cert", "tls_key")}
    certificate = trustme.CA().issue_cert("localhost")
    paths["token_file"].write_text(TOKEN + "\n")
    certificate.cert_chain_pems[0].write_to_path(paths["tls_cert"])
    certificate.private_key_pem.write_to_path(paths["tls_key"])
    for path in paths.values():
        path.chmod(0o600)
    return paths


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "::ffff:0.0.0.0"])
@pytest.mark.parametrize(
    "given", [(), ("token_file",), ("tls_cert", "tls_key")], ids=["nothing", "token", "tls"]
)
def test_another_address_needs_a_token_of_its_own_and_tls(host, given, files):
    config = PageConfig(host=host, **{name: files[name] for name in given})
    with pytest.raises(ConfigError, match="which other machines can reach; that needs") as error:
        check_page(config)
    for name in files.keys() - given:
        assert f"page.{name}" in str(error.value)


def test_with_token_and_tls_it_may_be_anywhere(files):
    assert check_page(PageConfig(host="0.0.0.0", **files)) == TOKEN


def test_a_token_that_others_may_read_is_refused(tmp_path):
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        check_page(PageConfig(token_file=path))


def test_a_token_of_odd_letters_is_refused(tmp_path):
    path = tmp_path / "token"
    path.write_bytes("ü".encode() * 20)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="plain letters"):
        check_page(PageConfig(token_file=path))


def test_without_a_file_the_token_is_new_each_time_and_long():
    first, second = check_page(PageConfig()), check_page(PageConfig())
    assert first != second
    assert len(first) >= 40


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8400", "localhost:8400", "LOCALHOST:8400", "[::1]:8400", "arm.lab:8400"]
)
def test_its_own_names_are_known_with_their_port(host):
    own = door(names=("arm.lab",))
    assert not own.is_foreign([host], [])
    assert not own.is_foreign([host], [f"http://{host.lower()}"])


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [""],
        ["127.0.0.1"],
        ["127.0.0.1:8401"],
        ["evil.example:8400"],
        ["127.0.0.1.evil.example:8400"],
        ["localhost:8400", "evil.example"],
        ["localhost:8400@evil.example"],
        ["0.0.0.0:8400"],
        ["192.0.2.1:8400"],
        ["arm.lab:8400"],
    ],
)
def test_other_names_are_foreign_wherever_they_point(hosts):
    assert door().is_foreign(hosts, [])


@pytest.mark.parametrize(
    "origins",
    [
        ["null"],
        [""],
        ["http://evil.example"],
        ["https://localhost:8400"],
        ["http://localhost"],
        ["http://localhost:8401"],
        ["http://127.0.0.1:8400"],
        ["http://localhost:8400", "http://evil.example"],
        ["http://localhost:8400.evil.example"],
    ],
)
def test_a_page_of_another_origin_is_foreign(origins):
    assert door().is_foreign(["localhost:8400"], origins)


def test_a_name_may_have_the_port_of_a_tunnel():
    tunnelled = door(names=("localhost:9000",))
    assert not tunnelled.is_foreign(["localhost:9000"], ["http://localhost:9000"])
    assert tunnelled.is_foreign(["localhost:9001"], [])


def test_browsers_leave_the_usual_port_out():
    config = PageConfig(tls_cert="c", tls_key="k", names=("arm.lab",))
    usual = Door(config, 443, TOKEN, ManualClock())
    assert not usual.is_foreign(["arm.lab"], ["https://arm.lab"])
    assert page_url(config, 443, "t") == "https://127.0.0.1/#token=t"


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "ü", "\ud800"])
def test_only_the_token_opens(token):
    assert door().knows(TOKEN, "a")
    assert not door().knows(token, "a")


def test_after_ten_wrong_tokens_an_address_waits_a_minute_and_others_do_not():
    clock = ManualClock()
    guarded = door(clock)
    for _ in range(11):
        assert not guarded.knows("wrong", "a")
    assert guarded.is_shut("a")
    assert not guarded.knows(TOKEN, "a")
    assert guarded.knows(TOKEN, "b")
    clock.now_s += 60.1
    assert guarded.knows(TOKEN, "a")


def test_who_tries_from_everywhere_is_not_remembered_for_ever():
    guarded = door()
    for number in range(3000):
        guarded.knows("wrong", str(number))
    assert len(guarded._failures) <= 1024


@pytest.mark.parametrize(
    ("values", "token"),
    [
        (["Bearer abc"], "abc"),
        (["bearer abc"], "abc"),
        (["Basic abc"], ""),
        (["abc"], ""),
        ([], ""),
        (["Bearer a", "Bearer b"], ""),
    ],
)
def test_the_token_of_a_header(values, token):
    assert bearer(values) == token


@pytest.mark.parametrize(
    ("host", "names", "url"),
    [
        ("127.0.0.1", (), "http://127.0.0.1:8400/#token=a%2Fb"),
        ("::1", (), "http://[::1]:8400/#token=a%2Fb"),
        ("0.0.0.0", (), "http://localhost:8400/#token=a%2Fb"),
        ("0.0.0.0", ("arm.lab",), "http://arm.lab:8400/#token=a%2Fb"),
    ],
)
def test_the_address_that_is_printed(host, names, url):
    assert page_url(PageConfig(host=host, names=names), 8400, "a/b") == url
