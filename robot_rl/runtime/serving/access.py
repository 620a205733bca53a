"""Who may ask and who may send weights: key files, TLS, and the socket of a path."""

from __future__ import annotations

import hmac
import os
import socket
import ssl
import stat
from pathlib import Path

from websockets.datastructures import Headers

from robot_rl.core.errors import ConfigError
from robot_rl.runtime.serving.config import ServerConfig

_LEAST_KEY = 16
_OTHERS = 0o077
_ONLY_OWNER = 0o177
"""What is taken from the mode of a new socket."""
_SCHEMES = ("api-key", "bearer")


def read_key(path: Path) -> bytes:
    """Return the key that a file holds, without white space around it.

    Raises:
        ConfigError: if there is none, it is short, or others may read the file.
    """
    key = _private_bytes(path).strip()
    if len(key) < _LEAST_KEY:
        raise ConfigError(
            f"{path}: got a key of {len(key)} characters, expected at least {_LEAST_KEY}; make "
            f"one: (umask 077; openssl rand -hex 32 > {path})"
        )
    return key


def knows(key: bytes | None, headers: Headers) -> bool:
    """Whether a request carries the key, `Authorization: Api-Key KEY` or `Bearer KEY`.

    Where there is no key, everybody knows it. The time that it takes tells nothing of the key.
    """
    if key is None:
        return True
    given = headers.get_all("Authorization")
    scheme, _, word = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    same = hmac.compare_digest(word.strip().encode("utf-8", "surrogateescape"), key)
    return same and scheme.lower() in _SCHEMES


def tls_of(config: ServerConfig) -> ssl.SSLContext | None:
    """Return what TLS needs, or None without.

    Raises:
        ConfigError: if the files do not fit together, or others may read the key.
    """
    return tls_context(config.tls_cert, config.tls_key)


def tls_context(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Return what TLS needs from the PEM files of a certificate chain and its key, if both are.

    Raises:
        ConfigError: if the files do not fit together, or others may read the key.
    """
    if cert is None or key is None:
        return None
    _private_bytes(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except OSError as error:
        raise ConfigError(
            f"tls_cert {cert} and tls_key {key}: {error}; expected a certificate and its private "
            "key as PEM"
        ) from error
    return context


def private_socket(path: Path) -> socket.socket:
    """Return a socket of that path, mode 0600, in place of one that nobody listens on.

    Raises:
        ConfigError: if somebody listens there, something else lies there, or it cannot be made.
    """
    _clear_away(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode must hold from the first instant; the process has no other thread yet.
    before = os.umask(_ONLY_OWNER)
    try:
        listening.bind(str(path))
    except OSError as error:
        listening.close()
        raise ConfigError(f"unix: {path}: no socket can be made there: {error}") from error
    finally:
        os.umask(before)
    return listening


def _clear_away(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"unix: {path} is there already and is no socket; name another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(str(path)) == 0:
            raise ConfigError(f"unix: {path}: another server listens there; end it first")
    path.unlink(missing_ok=True)


def _private_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_IMODE(status.st_mode) & _OTHERS:
                raise ConfigError(
                    f"{path}: mode {stat.S_IMODE(status.st_mode):04o} lets others at the key; "
                    f"chmod 600 {path}"
                )
            if status.st_uid not in (os.geteuid(), 0):
                raise ConfigError(f"{path}: belongs to another user, who may change the key")
            return file.read()
    except OSError as error:
        raise ConfigError(f"{path}: the key cannot be read: {error}") from error
