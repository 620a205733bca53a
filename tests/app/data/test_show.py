from __future__ import annotations

import base64
import dataclasses
import http.server
import io
import queue
import shutil
import subprocess
import sys
import threading
import urllib.parse
from html.parser import HTMLParser

import av
import numpy as np
import pytest

from robot_rl.app.data.page import page
from robot_rl.app.data.rerun_file import curves
from robot_rl.data.labelling import rlif_reward

CHROMIUM = shutil.which("chromium")


@pytest.fixture
def filmed(make_store, make_episode):
    return make_store(make_episode("online-0", human=(3, 4), gated=(7,)))


class Page(HTMLParser):
    """Text and the addresses that a page refers to."""

    def __init__(self, text):
        super().__init__()
        self.words, self.addresses, self.tags = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for key, value in attrs if key in ("src", "href")]

    def handle_data(self, data):
        self.words.append(data.strip())


def test_the_page_needs_nothing_but_itself(data, filmed, tmp_path):
    said = data("show", filmed, "online-0", "--out", tmp_path / "a.html")
    assert said.status == 0
    assert f"wrote {tmp_path / 'a.html'}, " in said.out
    shown = Page((tmp_path / "a.html").read_text())
    assert len(shown.addresses) == 1
    assert all(address.startswith("data:video/mp4;base64,") for address in shown.addresses)
    assert {"video", "svg", "input"} <= set(shown.tags)


def test_the_page_says_how_it_went(data, filmed, tmp_path):
    data("relabel", filmed, "online-0", "--label", "failure", "--by", "ann")
    data("show", filmed, "online-0", "--out", tmp_path / "a.html")
    words = Page((tmp_path / "a.html").read_text()).words
    assert "failure" in words
    # 10 steps of 0.1 s; 2 of 10 a person's; force (3, 4, 0) N.
    for word in ("1.0 s", "20 %", "5 N", "max_force_n", "30.0", "false; by ann", "0.70 s"):
        assert word in words, word


def test_the_camera_is_in_the_page_frame_by_frame(data, filmed, tmp_path):
    data("show", filmed, "online-0", "--out", tmp_path / "a.html")
    (address,) = Page((tmp_path / "a.html").read_text()).addresses
    video = base64.b64decode(address.partition(",")[2])
    with av.open(io.BytesIO(video)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    # T + 1 observations of 0.1 s.
    assert times == pytest.approx([0.1 * k for k in range(11)])


def test_videos_are_written_beside_when_asked_for(data, filmed, tmp_path):
    data("show", filmed, "online-0", "--out", tmp_path / "a.html", "--video", tmp_path / "v")
    (video,) = (tmp_path / "v").iterdir()
    assert video.name == "online-0-wrist.mp4"
    with av.open(str(video)) as container:
        assert container.streams.video[0].codec_context.name == "h264"


def test_an_episode_without_cameras_has_a_page(data, store, tmp_path):
    assert data("show", store, "online-1", "--out", tmp_path / "a.html").status == 0
    assert "video" not in Page((tmp_path / "a.html").read_text()).tags


def test_the_page_is_named_after_the_episode(data, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data("show", store, "online-1")
    assert (tmp_path / "online-1.html").is_file()


def test_what_somebody_wrote_into_the_metadata_is_no_markup(make_episode, make_spec):
    episode = make_episode()
    evil = dataclasses.replace(
        episode,
        metadata=dataclasses.replace(episode.metadata, operator="<script>alert(1)</script>"),
    )
    html = page(evil, make_spec(), [rlif_reward(evil)], {})
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


def test_what_is_not_finite_or_interrupted_is_said_first(data, make_store, make_episode, tmp_path):
    episode = make_episode(images=False)
    wrench = episode.vectors["observation.wrench"].copy()
    wrench[2:4, 0] = np.nan
    broken = dataclasses.replace(
        episode,
        vectors={**episode.vectors, "observation.wrench": wrench},
        metadata=dataclasses.replace(episode.metadata, interrupted=True),
    )
    store = make_store(broken, images=False)
    said = data("show", store, "online-0", "--out", tmp_path / "a.html")
    assert "observation.wrench: 2 of 66 values are not finite." in said.out
    words = Page((tmp_path / "a.html").read_text()).words
    assert any(word.startswith("Interrupted: recovered") for word in words)


def test_a_folder_that_cannot_be_written_is_named(refused, store, tmp_path):
    said = refused("show", store, "online-0", "--out", tmp_path / "absent/a.html")
    assert f"{tmp_path / 'absent/a.html'}: cannot be written" in said


def test_rerun_is_named_when_it_is_not_installed(data, store, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    said = data("show", store, "online-0", "--rerun", tmp_path / "a.rrd")
    assert said.status == 1
    assert "DependencyError" in said.err
    assert "pip install rerun-sdk" in said.err


def test_rerun_gets_every_column(make_episode, make_spec):
    found = curves(make_episode(), make_spec())
    assert found["observation/state/j0"].tolist() == list(range(11))
    assert len(found["action/y"]) == 10
    assert {"reward", "source", "gate_reason", "base_action/x"} <= set(found)
    assert not any("latent" in name for name in found)
    steered = make_episode(latent=np.tile(np.array([1, 2], np.float32), (10, 1)))
    assert curves(steered, make_spec())["latent/1"].tolist() == [2.0] * 10


@pytest.fixture
def told(tmp_path):
    """Opens a page in a browser and returns what it sends to `/told?...`."""
    heard: queue.Queue[str] = queue.Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            address = urllib.parse.urlsplit(self.path)
            if address.path == "/told":
                heard.put(urllib.parse.unquote(address.query))
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            if address.path == "/page.html":
                self.wfile.write((tmp_path / "page.html").read_bytes())

        def log_message(self, *words):
            pass

    def open_page(text):
        (tmp_path / "page.html").write_text(text)
        address = f"http://127.0.0.1:{server.server_port}/page.html"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        browser = subprocess.Popen(
            [str(CHROMIUM), *options, profile, address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return heard.get(timeout=90)
        finally:
            browser.terminate()
            browser.wait(timeout=20)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield open_page
        server.shutdown()
        thread.join()


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_browser_moves_cursor_and_video_to_the_step(data, filmed, told, tmp_path):
    data("show", filmed, "online-0", "--out", tmp_path / "a.html")
    probe = """<script>
    const seen = document.querySelector("video");
    const begin = () => {
      seen.addEventListener("seeked", () => fetch("/told?" + encodeURIComponent([
        where.textContent, cursors[0].getAttribute("d").slice(0, 4), seen.videoWidth,
        seen.currentTime.toFixed(2), seen.error].join("|"))));
      at.value = 5;
      at.dispatchEvent(new Event("input"));
    };
    const ready = () => seen.readyState >= 2 && !seen.seeking && +at.value === 0;
    setInterval(() => { if (ready()) begin(); }, 50);
    </script></body>"""
    said = told((tmp_path / "a.html").read_text().replace("</body>", probe))
    # Step 5 of 10 lies half way: 46 + 0.5 * (480 - 46 - 12) / 1.02 = 252.9 px. Frame 5 is shown
    # from 0.5 s to 0.6 s, the middle of it is sought.
    assert said == "step 5 of 10, 0.50 s|M252|96|0.55|"
