"""What a session is told before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from robot_rl.config.model import Component, Config


class PageConfig(Config):
    """Where the page is served, and who may open it.

    Without a word it is on 127.0.0.1, and still needs the token of the address that is printed.
    Any other address needs a token of its own and TLS.

    Args:
        host: address to listen on.
        port: its port; 0 takes a free one.
        token_file: holds the token, readable by its owner alone; without it one is made.
        tls_cert, tls_key: PEM files of the certificate chain and its private key.
        names: further host names by which the page is opened, as its address says them.
        jpeg_quality: of live pictures, 1 to 100.
        most_clients: tabs at a time.
    """

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8400, ge=0, le=65535)
    token_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    names: tuple[str, ...] = ()
    jpeg_quality: int = Field(default=80, ge=1, le=100)
    most_clients: int = Field(default=8, ge=1)

    @model_validator(mode="after")
    def _both_halves_of_tls(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together: expected both or neither")
        return self


class SessionConfig(Config):
    """How a correction session goes.

    Args:
        operator: name of the person, recorded with every episode.
        devices: components whose `build(bench)` returns a `core.protocol.Operator`: a SpaceMouse,
            a gamepad; the page's and the terminal's keys are always there.
        page: where the page is.
        camera_rate_hz: of the pictures of a bench that draws them.
        camera_width, camera_height: of these.
        camera_frozen_s: a picture that stands still for so long while the arm moves is frozen.
        camera_still_s: likewise while the arm rests, for cameras whose pictures have noise; null
            for those that may repeat themselves then, as drawn ones.
        rest_force_n, rest_torque_n_m: what a wrench sensor may show before the first episode,
            when nothing is touched.
        review_s: an episode that was judged is reviewed for so long before the next one begins;
            one that was not waits for its judgement. null waits for the person every time.
        key_speed: what a held key asks for, normalised.
        confirmations: what a person has to say that they tried, before the start.
        episodes: wanted; 0 for no target.
        reference: pictures to compare the cameras' poses with, by camera, as image files.
    """

    operator: str = Field(min_length=1, max_length=64)
    devices: tuple[Component, ...] = ()
    page: PageConfig = PageConfig()
    camera_rate_hz: float = Field(default=20.0, gt=0, le=60)
    camera_width: int = Field(default=640, ge=64, le=1920)
    camera_height: int = Field(default=480, ge=64, le=1080)
    camera_frozen_s: float = Field(default=1.0, gt=0)
    camera_still_s: float | None = Field(default=None, gt=0)
    rest_force_n: float = Field(default=3.0, gt=0)
    rest_torque_n_m: float = Field(default=0.3, gt=0)
    review_s: float | None = Field(default=4.0, ge=0)
    key_speed: float = Field(default=0.5, gt=0, le=1)
    confirmations: tuple[str, ...] = ("emergency stop tried", "dead-man tried")
    episodes: int = Field(default=0, ge=0)
    reference: Mapping[str, Path] = Field(default_factory=lambda: dict[str, Path]())
