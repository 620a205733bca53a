"""Where a session is and the token that opens it, from where nobody else can read them."""

from __future__ import annotations

import os
from pathlib import Path

from robot_rl.core.errors import ConfigError
from robot_rl.runtime.serving.access import read_key
from robot_rl.session.client.address import URL_VARIABLE, Address
from robot_rl_nodes.parameter import Parameter

ADDRESS_FILE = Parameter(
    name="address_file",
    default="",
    description="path of a file of mode 600 that has the address as the session printed it, with "
    f"its token; without one the environment's {URL_VARIABLE} has it",
)


def session_address(file: str) -> Address:
    """Return the address that a file has, or the environment where no file is named.

    Raises:
        ConfigError: if there is none, or others may read the file; the words do not quote it.
    """
    if "://" in file or "token=" in file:
        raise ConfigError(
            "parameter address_file: got an address, expected the path of a file that has it; "
            "everybody in the graph reads parameters, so let the session make another token"
        )
    if file:
        try:
            return Address.parse(read_key(Path(file)).decode())
        except UnicodeDecodeError as error:
            raise ConfigError(f"parameter address_file: {file} has no plain text") from error
    url = os.environ.get(URL_VARIABLE, "")
    if not url:
        raise ConfigError(
            f"no session is named: set {URL_VARIABLE} to the address that it printed, or the "
            "parameter address_file to a file of mode 600 that has it"
        )
    return Address.parse(url)
