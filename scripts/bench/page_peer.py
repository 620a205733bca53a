"""Motion JPEG over HTTP, and a page that reads back which picture an `<img>` shows."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from robot_rl.core.types import Image
from robot_rl.session.page.picture import encode_jpeg
from robot_rl.session.view import Frame

BITS, BLOCK = 16, 16
"""A picture's number is in its first rows, a block of pixels a bit, lowest first."""
_PATIENCE_S = 2.0
_BOUNDARY = "frame"
_PEER_PAGE = f"""<!doctype html><title>peer</title><img id="live" src="/stream"><script>
const live = document.getElementById("live");
const canvas = new OffscreenCanvas({BITS * BLOCK}, {BLOCK});
const pen = canvas.getContext("2d", {{ willReadFrequently: true }});
let shown = -1;
window.numbers = [];
function look() {{
  pen.drawImage(live, 0, 0);
  const row = pen.getImageData(0, {BLOCK // 2}, canvas.width, 1).data;
  let number = 0;
  for (let bit = 0; bit < {BITS}; bit += 1) {{
    if (row[4 * (bit * {BLOCK} + {BLOCK // 2})] > 127) number += 2 ** bit;
  }}
  if (number !== shown && live.naturalWidth > 0) {{
    shown = number;
    window.numbers.push([number, performance.timeOrigin + performance.now()]);
  }}
  requestAnimationFrame(look);
}}
requestAnimationFrame(look);
</script>"""


def mark(image: Image, number: int) -> None:
    """Write a number into a picture's first rows."""
    for bit in range(BITS):
        image[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 255 * (number >> bit & 1)


class Peer:
    """Serves the newest picture again and again to whoever asks."""

    def __init__(self, quality: int) -> None:
        self._quality = quality
        self._news = threading.Condition()
        self._frame: Frame | None = None
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/stream":
                    peer._stream(self)
                elif self.path == "/":
                    _send(self, "text/html", _PEER_PAGE.encode())
                else:
                    self.send_error(404)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def picture(self, frame: Frame) -> None:
        """Show a picture."""
        with self._news:
            self._frame = frame
            self._news.notify_all()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()

    def _stream(self, request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        kind = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
        request.send_header("Content-Type", kind)
        request.end_headers()
        shown = None
        try:
            while True:
                with self._news:
                    self._news.wait_for(lambda s=shown: self._frame is not s, _PATIENCE_S)
                    frame = self._frame
                if frame is None or frame is shown:
                    continue
                shown, jpeg = frame, encode_jpeg(frame, self._quality)
                head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\n"
                head += f"Content-Length: {len(jpeg)}\r\n\r\n"
                request.wfile.write(head.encode() + jpeg + b"\r\n")
        except OSError:
            return


def _send(request: BaseHTTPRequestHandler, kind: str, body: bytes) -> None:
    request.send_response(200)
    request.send_header("Content-Type", kind)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
